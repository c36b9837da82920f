"""The settle worker: deposits, exits and batches become signed, stored transactions, which the submit worker sends."""

from __future__ import annotations

from datetime import datetime

import structlog

from chainwallet.bootstrap import Services
from chainwallet.chain.errors import CallReverted
from chainwallet.chain.fees import suggest
from chainwallet.chain.indexer import awaits_booking, followed_tip, without_events
from chainwallet.entrypoints.workers.leave import find_due, leave_step
from chainwallet.entrypoints.workers.metrics import OLDEST_ORDER, ORDERS_WAITING
from chainwallet.payments.deposits import any_pending, submit_deposits
from chainwallet.payments.endings import end_transfers, fail_expired
from chainwallet.payments.exits import Exit
from chainwallet.payments.renewal import sign_again
from chainwallet.payments.transfers import TransferStatus, advance
from chainwallet.settlement.batches import BatchStale, Draft, commit_batch, draft_batch, next_batch_id
from chainwallet.settlement.lanes import Fees, TxKind, has_open, open_hashes
from chainwallet.settlement.makers import refuse_quote
from chainwallet.settlement.orders import waiting

_log = structlog.get_logger(__name__)

ATTEMPTS = 8
SHORT = ("OrderFundsShort", "FillFundsShort")


def settle_step(services: Services) -> bool:
    """One pass: deposits and exits out, orders that came too late failed, and a batch if one is due."""
    with services.database.transaction() as session:
        deposits_wait, exits_due = any_pending(session), find_due(session)
        done = bool(fail_expired(session))
        count, oldest_s = waiting(session)
    ORDERS_WAITING.set(count)
    OLDEST_ORDER.set(oldest_s)
    if deposits_wait and _has_room(services, TxKind.DEPOSIT):
        done = _deposits(services) or done
    if exits_due:
        done = _leave(services, exits_due) or done
    settings = services.settings
    is_due = count >= settings.batch_max or oldest_s * 1000 >= settings.batch_linger_ms
    if count and is_due and _has_room(services, TxKind.SETTLE):
        done = _batch(services) or done
    return done


def _has_room(services: Services, kind: TxKind) -> bool:
    """Whether another transaction may join those that are not mined yet.

    When the chain is slower than what is asked of it, what waits shares fewer and larger transactions. Without this
    every transaction more makes each pass over them longer, and the chain seem slower.
    """
    ahead_max = services.settings.transactions_ahead_max
    with services.database.transaction() as session:
        hashes = open_hashes(session, services.operator.address, kind)
        return len(hashes) < ahead_max or without_events(session, hashes) < ahead_max


def _fees(services: Services) -> Fees:
    max_fee_wei, max_priority_wei = suggest(services.node, services.gas_price_max_wei)
    return Fees(max_fee_wei, max_priority_wei)


def _deposits(services: Services) -> bool:
    with services.database.transaction() as session:
        count = submit_deposits(
            session,
            hub=services.hub.address,
            tokens=services.deployment.tokens,
            signer=services.operator,
            chain_id=services.node.chain_id,
            fees=_fees(services),
        )
    if count:
        services.wake("submit")
    return bool(count)


def _leave(services: Services, due: list[Exit]) -> bool:
    return leave_step(
        services, due, fees=lambda: _fees(services), is_behind=lambda moment: _is_chain_behind(services, moment)
    )


def _batch(services: Services) -> bool:
    """Draft, clear, simulate and commit one batch. What would break it is found here, by name, not on chain."""
    for attempt in range(1, ATTEMPTS + 1):
        with services.database.transaction() as session:
            draft = draft_batch(session, services.mids, limit=services.settings.batch_max, rule=services.gain_rule)
            batch_id = next_batch_id(session) if draft is not None and draft.orders else 0
        if draft is None or not draft.orders:
            return False
        data = draft.encode(batch_id)
        try:
            services.node.call(services.hub.address, data, sender=services.operator.address)
        except CallReverted as reverted:
            if reverted.name in SHORT and _is_chain_behind(services, _placed_at(draft, reverted)):
                return False  # the money is on its way back: the draft is simulated again when it is there
            if reverted.name == "BatchAlreadySettled" and attempt < ATTEMPTS:
                continue  # these books were restored from before that batch: its number is taken
            if _are_books_behind(services, draft, reverted):
                return False  # an order of the draft is settled already: booking it takes it out
            if reverted.name == "OrderNonceStale" and _sign_again(services):
                continue
            _remove_culprit(services, draft, reverted)
            continue
        try:
            _commit(services, draft, batch_id, data)
        except BatchStale as stale:
            _log.info("batch_stale", detail=stale.detail)
            continue
        services.wake("submit")
        return True
    return False


def _commit(services: Services, draft: Draft, batch_id: int, data: bytes) -> None:
    fees = _fees(services)
    with services.database.transaction() as session:
        commit_batch(
            session,
            draft,
            batch_id,
            data=data,
            hub=services.hub.address,
            treasury=services.hub.treasury(),
            signer=services.operator,
            chain_id=services.node.chain_id,
            fees=fees,
            mids=services.mids,
            on_taken=lambda session, ids: advance(session, ids, TransferStatus.SUBMITTED),
        )
    _log.info("batch_committed", batch=batch_id, payments=len(draft.orders), fills=len(draft.clearing.fills))


def _placed_at(draft: Draft, reverted: CallReverted) -> datetime:
    placed_at: datetime = draft.orders[reverted.args_by_name.get("order", 0)].placed_at
    return placed_at


def _is_chain_behind(services: Services, moment: datetime) -> bool:
    """Whether the chain lacks what the books had booked by then: a fork undid it, and it is being sent again."""
    with services.database.transaction() as session:
        tip = followed_tip(session)
        under_way = has_open(session, services.operator.address, created_before=moment)
    if under_way or tip is None:
        return True
    block = services.node.block(tip.number)
    return block is None or block.hash != tip.hash  # a fork that is not followed yet


def _are_books_behind(services: Services, draft: Draft, reverted: CallReverted) -> bool:
    """Whether the chain may have settled the order it refuses already: it has blocks or an event not booked here.

    So it is when the books were restored from a backup. An order is failed only by books that know all the chain does.
    """
    if "order" not in reverted.args_by_name:
        return False
    head, order = services.node.head(), draft.orders[reverted.args_by_name["order"]]
    with services.database.transaction() as session:
        tip = followed_tip(session)
        is_settled = awaits_booking(session, "PaymentSettled", order.order_hash)
    return is_settled or tip is None or tip.number < head.number


def _sign_again(services: Services) -> bool:
    """Whether orders had been overtaken and are signed again: the hub will take those."""
    with services.database.transaction() as session:
        renewed = sign_again(session, services.vault, services.domain)
    if renewed:
        _log.info("overtaken_orders_signed_again", payments=len(renewed))
    return bool(renewed)


def _remove_culprit(services: Services, draft: Draft, reverted: CallReverted) -> None:
    """Fail the order, or take off the market the quote, that the hub names; nothing else of the batch is touched."""
    named = reverted.args_by_name
    _log.warning("batch_simulation_reverted", error=reverted.name, arguments=named)
    used = sorted({fill.offer_id for fill in draft.clearing.fills})
    if reverted.name.startswith("Order"):
        with services.database.transaction() as session:
            end_transfers(
                session,
                [draft.orders[named["order"]].id],
                TransferStatus.FAILED,
                code="TRANSFER_REFUSED_BY_HUB",
                detail=f"The settlement contract would refuse this order ({reverted.name}); nothing was moved.",
            )
    elif reverted.name.startswith(("Quote", "Fill")):
        quote = used[named["quote"]] if "quote" in named else draft.clearing.fills[named["fill"]].offer_id
        with services.database.transaction() as session:
            refuse_quote(session, quote, reason=reverted.name)
    else:
        raise reverted
