"""Sends what lanes hold: stored bytes out, receipts in, stuck transactions replaced, dropped ones sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from chainwallet.chain.fees import bump
from chainwallet.chain.node import Node
from chainwallet.chain.outcome import Rejected, RejectReason, Unknown
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.settlement.lanes import ChainTx, Fees, TxStatus, mark, open_transactions, replace_fee

_log = structlog.get_logger(__name__)

RESEND_AFTER_S = 3.0
REPLACE_AFTER_S = 30.0


@dataclass(slots=True)
class Sweep:
    """What one pass over the open transactions did."""

    sent: int = 0
    confirmed: list[ChainTx] = field(default_factory=list)
    reverted: list[ChainTx] = field(default_factory=list)

    @property
    def progress(self) -> bool:
        return bool(self.sent or self.confirmed or self.reverted)


def sweep(
    database: Database,
    node: Node,
    signer: Signer,
    *,
    confirmations: int,
    cap_wei: int,
    on_reverted: Callable[[Session, ChainTx], None],
) -> Sweep:
    """One pass: send signed transactions by nonce, and see what became of those sent before.

    A send whose outcome is unknown is looked up by its hash; the same bytes go out again when it is not found.
    `on_reverted` runs in the transaction that records a revert, to undo what the call was for.
    """
    done = Sweep()
    with database.transaction() as session:
        transactions = open_transactions(session, signer.address)
        session.expunge_all()
    head = node.head().number if transactions else 0
    for tx in transactions:
        if tx.status == TxStatus.SENT and _track(database, node, tx, head, confirmations, on_reverted, done):
            continue
        if tx.status == TxStatus.SIGNED or _is_older(tx.sent_at, RESEND_AFTER_S):
            stuck = tx.status == TxStatus.SENT and _is_older(tx.created_at, REPLACE_AFTER_S)
            if not _send(database, node, _replace(database, node, tx, signer, cap_wei) if stuck else tx):
                break
            done.sent += 1
    return done


def _is_older(moment: datetime | None, age_s: float) -> bool:
    return moment is not None and utc_now() - moment > timedelta(seconds=age_s)


def _track(
    database: Database,
    node: Node,
    tx: ChainTx,
    head: int,
    confirmations: int,
    on_reverted: Callable[[Session, ChainTx], None],
    done: Sweep,
) -> bool:
    """True when the transaction is mined: recorded if it is deep enough, otherwise left to get deeper."""
    receipt = node.receipt(tx.tx_hash)
    if receipt is None:
        return False
    if head - receipt.block_number + 1 < confirmations:
        return True
    assert tx.id is not None
    with database.transaction() as session:
        status = TxStatus.CONFIRMED if receipt.status else TxStatus.REVERTED
        mark(session, tx.id, status, block_number=receipt.block_number, gas_used=receipt.gas_used)
        if not receipt.status:
            _log.error("transaction_reverted", kind=tx.kind, reference=tx.reference, tx_hash=tx.tx_hash)
            on_reverted(session, tx)
    (done.confirmed if receipt.status else done.reverted).append(tx)
    return True


def _send(database: Database, node: Node, tx: ChainTx) -> bool:
    """False when later nonces of the lane had better wait."""
    outcome = node.send_raw(bytes(tx.raw))
    assert tx.id is not None
    if isinstance(outcome, Unknown):
        _log.warning("send_outcome_unknown", tx_hash=tx.tx_hash, error=outcome.error)
        return False
    if isinstance(outcome, Rejected) and outcome.reason != RejectReason.NONCE_TOO_LOW:
        _log.warning("send_rejected", tx_hash=tx.tx_hash, reason=outcome.reason, message=outcome.message)
        return False
    # A nonce that is too low is our own transaction, mined already: tracking finds its receipt.
    with database.transaction() as session:
        mark(session, tx.id, TxStatus.SENT)
    return True


def _replace(database: Database, node: Node, tx: ChainTx, signer: Signer, cap_wei: int) -> ChainTx:
    fees = Fees(min(bump(int(tx.max_fee_wei)), cap_wei), min(bump(int(tx.max_priority_wei)), cap_wei))
    if fees.max_fee_wei <= int(tx.max_fee_wei) or node.base_fee_wei() <= int(tx.max_fee_wei):
        return tx  # the fee is not what holds it up, or may not rise further: the same bytes go out again
    with database.transaction() as session:
        live = session.get(ChainTx, tx.id)
        assert live is not None
        _log.warning("transaction_replaced", tx_hash=tx.tx_hash, max_fee_wei=fees.max_fee_wei)
        replaced = replace_fee(session, live, signer=signer, chain_id=node.chain_id, fees=fees)
        session.flush()
        session.expunge(replaced)
    return replaced
