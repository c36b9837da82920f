"""The submit worker: sends what is stored, by nonce, and learns what became of it."""

from __future__ import annotations

from sqlmodel import Session

from chainwallet.bootstrap import Services
from chainwallet.entrypoints.workers.metrics import TRANSACTIONS_REPLACED, TRANSACTIONS_REVERTED
from chainwallet.payments.deposits import resubmit_group
from chainwallet.payments.endings import end_overtaken
from chainwallet.payments.exits import undo_exit_call
from chainwallet.payments.transfers import TransferStatus, advance
from chainwallet.settlement.batches import fail_batch, overtaken_orders
from chainwallet.settlement.lanes import OpenTx, TxKind
from chainwallet.settlement.submitter import Submitter


def submit_step(services: Services) -> bool:
    """One pass over the open transactions."""
    done = Submitter(
        services.database,
        services.node,
        services.operator,
        confirmations=services.settings.confirmations,
        cap_wei=services.gas_price_max_wei,
        on_reverted=undo,
    ).sweep()
    TRANSACTIONS_REPLACED.inc(done.replaced)
    TRANSACTIONS_REVERTED.inc(len(done.reverted))
    if done.sent:
        services.wake("index")
    return done.progress


def undo(session: Session, tx: OpenTx) -> None:
    """A reverted transaction moved nothing: what it was for waits for another one."""
    if tx.kind == TxKind.SETTLE:
        _undo_batch(session, int(tx.reference))
    elif tx.kind == TxKind.DEPOSIT:
        resubmit_group(session, tx.reference)
    elif tx.kind in (TxKind.EXIT_REQUEST, TxKind.EXIT):
        undo_exit_call(session, tx)


def _undo_batch(session: Session, batch_id: int) -> None:
    """Let its payments wait for another batch, except those that their payers made impossible meanwhile."""
    overtaken = overtaken_orders(session, batch_id)
    advance(session, fail_batch(session, batch_id, without=overtaken), TransferStatus.ACCEPTED)
    end_overtaken(session, overtaken)
