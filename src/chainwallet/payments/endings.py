"""Transfers that end before they reach the chain: cancelled, failed or declined; everything held is given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.ledger import release_holds
from chainwallet.payments.transfers import (
    TransferNotCancellable,
    TransferStatus,
    advance,
    find_transfer,
)
from chainwallet.settlement.batches import QUOTE_LASTS_S, legs_of
from chainwallet.settlement.makers import use_quotes
from chainwallet.settlement.orders import OrderStatus, PlacedOrder, settle_placed, withdraw_orders

FUNDS_LEFT = (
    "TRANSFER_FUNDS_LEFT",
    "The payer took the money off the hub before the payment settled; nothing was moved.",
)
CANCELLED_ON_CHAIN = ("ORDER_CANCELLED_ON_CHAIN", "The payer cancelled the order on chain; nothing was moved.")


def end_transfers(
    session: Session,
    transfer_ids: Sequence[str],
    target: TransferStatus,
    *,
    code: str | None = None,
    detail: str | None = None,
) -> list[str]:
    """End transfers that no batch has taken; their holds and their makers' reservations are released.

    Returns the ids that ended. Those that a batch took meanwhile are left to it.
    """
    withdrawn = withdraw_transfers(session, transfer_ids, target, code=code, detail=detail)
    use_quotes(session, reserve={key: -units for key, units in withdrawn.reserved.items()}, fill={})
    release_holds(session, withdrawn.holds)
    return withdrawn.ended


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Transfers that ended, what of makers' quotes was reserved for them, and the holds to be released."""

    ended: list[str]
    reserved: Counter[str]
    holds: list[str]


def withdraw_transfers(
    session: Session,
    transfer_ids: Sequence[str],
    target: TransferStatus,
    *,
    code: str | None = None,
    detail: str | None = None,
) -> Withdrawn:
    """The part of `end_transfers` before quotes and accounts: for who changes more of those, and locks them once."""
    ordered = session.exec(select(PlacedOrder.id).where(col(PlacedOrder.id).in_(transfer_ids))).all()
    withdrawn = withdraw_orders(session, ordered)
    ended = advance(session, [order.id for order in withdrawn], target, failure_code=code, failure_detail=detail)
    # One without an order is in review. If it is approved while we wait for its row, it has one: leave it.
    without_order, in_review = sorted(set(transfer_ids) - set(ordered)), TransferStatus.IN_REVIEW
    ended += advance(session, without_order, target, source=in_review, failure_code=code, failure_detail=detail)
    return Withdrawn(ended, legs_of(withdrawn), [reference for ended_id in ended for reference in _holds(ended_id)])


def _holds(transfer_id: str) -> tuple[str, str, str]:
    return transfer_id, f"{transfer_id}:legs", f"{transfer_id}:review"


def end_overtaken(session: Session, transfer_ids: Mapping[str, bool]) -> None:
    """End transfers whose orders are withdrawn: True where the payer cancelled on chain; else the money left.

    Their holds and what was reserved for them are the caller's to release.
    """
    cancelled = [transfer_id for transfer_id, is_cancelled in transfer_ids.items() if is_cancelled]
    failed = [transfer_id for transfer_id, is_cancelled in transfer_ids.items() if not is_cancelled]
    for ids, target, (code, detail) in (
        (cancelled, TransferStatus.CANCELLED, CANCELLED_ON_CHAIN),
        (failed, TransferStatus.FAILED, FUNDS_LEFT),
    ):
        advance(session, ids, target, failure_code=code, failure_detail=detail)


def adopt_settled(session: Session, orders: Sequence[PlacedOrder]) -> None:
    """Orders that wait for a batch here and are settled on chain: these books were restored from before it.

    No batch here may take them any more; what their makers had reserved for them is free again.
    """
    if not orders:
        return
    settle_placed(session, [order.id for order in orders])
    advance(session, [order.id for order in orders], TransferStatus.SUBMITTED)
    use_quotes(session, reserve={key: -units for key, units in legs_of(orders).items()}, fill={})


def cancel_transfer(session: Session, transfer_id: str) -> None:
    """Cancel a transfer that is accepted or in review. TRANSFER_UNKNOWN, TRANSFER_NOT_CANCELLABLE."""
    transfer = find_transfer(session, transfer_id)
    if not end_transfers(session, [transfer_id], TransferStatus.CANCELLED):
        session.refresh(transfer)
        raise TransferNotCancellable(
            f"The transfer is {transfer.status}; only one that no batch has taken yet can be cancelled.",
            status=transfer.status,
        )


def fail_expired(session: Session) -> list[str]:
    """Fail the orders that can no longer be mined before their deadline."""
    statement = select(PlacedOrder.id).where(
        PlacedOrder.status == OrderStatus.PLACED, col(PlacedOrder.deadline) < unix_seconds(utc_now()) + QUOTE_LASTS_S
    )
    overdue = session.exec(statement).all()
    if not overdue:
        return []
    return end_transfers(
        session,
        overdue,
        TransferStatus.FAILED,
        code="TRANSFER_EXPIRED",
        detail="No makers funded the payment before its deadline; nothing was moved. Ask for a new quote.",
    )
