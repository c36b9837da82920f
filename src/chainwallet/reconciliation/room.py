"""Making room: money that left a position on chain while the books had promised it.

The chain is right. What the books had promised of that money is given up, so that no account has less than nothing
available (I2): makers' shares of orders that others may fund; then orders that wait, reviews and exits asked for, the
youngest first; and at last what is in flight, whose transaction will revert for want of that money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from chainwallet.ledger import (
    MAY_GO_NEGATIVE,
    AccountKey,
    EntryDraft,
    HoldStatus,
    HoldView,
    Rehearsal,
    holds_of,
    open_holds,
)
from chainwallet.reconciliation.drafts import Draft
from chainwallet.settlement.orders import OrderStatus, order_statuses

LEGS, REVIEW, BATCH, EXIT = ":legs", ":review", "batch:", "ext_"


@dataclass(slots=True)
class Plan:
    """How the drafts can be booked: with which entries, after giving up what.

    `fail` are transfers whose money left, `overtake` exits, `refund` orders whose makers' money left: other makers may
    fund them. `in_flight` are (hold, account) of which only the hold goes. `unfunded` drafts have no entry: the books
    lack even with all that.
    """

    entries: list[EntryDraft] = field(default_factory=list)
    fail: list[str] = field(default_factory=list)
    refund: list[str] = field(default_factory=list)
    overtake: list[str] = field(default_factory=list)
    in_flight: list[tuple[str, int]] = field(default_factory=list)
    unfunded: list[Draft] = field(default_factory=list)


def make_room(
    session: Session, drafts: Sequence[Draft], ids: Mapping[AccountKey, int], *, released: Sequence[str]
) -> Plan:
    """Plan how to book these drafts, in this order, once the holds `released` are given back. Changes nothing.

    Drafts that only move what they had reserved are booked as they are, which costs one query.
    """
    wanted = {reference for draft in drafts for reference in draft.capture}
    holds = [hold for hold in holds_of(session, [*wanted, *released]) if hold.status is HoldStatus.OPEN]
    gone = [hold for hold in holds if hold.reference in set(released)]
    held = {hold.reference for hold in holds} - set(released)
    plan = Plan([_entry(draft, ids, held) for draft in drafts])
    if not all(_is_reserved(draft, ids, holds, held) for draft in drafts):
        _give_up(session, plan, drafts, ids, holds, gone)
    return plan


def _entry(draft: Draft, ids: Mapping[AccountKey, int], held: set[str]) -> EntryDraft:
    return draft.entry(ids, [reference for reference in draft.capture if reference in held])


def _is_reserved(draft: Draft, ids: Mapping[AccountKey, int], holds: Sequence[HoldView], held: set[str]) -> bool:
    """Whether the open holds that the draft captures cover all that it takes from accounts with a limit."""
    captured = {hold.account_id: hold.units for hold in holds if hold.reference in held & set(draft.capture)}
    taken = {ids[key]: -units for key, units in draft.postings.items() if units < 0 and key.kind not in MAY_GO_NEGATIVE}
    return all(captured.get(account, 0) >= units for account, units in taken.items())


def _give_up(
    session: Session,
    plan: Plan,
    drafts: Sequence[Draft],
    ids: Mapping[AccountKey, int],
    holds: Sequence[HoldView],
    gone: list[HoldView],
) -> None:
    """Give up promises, and at last drafts, until all that is left can be booked."""
    rehearsal, left = Rehearsal(session, plan.entries), list(drafts)
    promises: dict[int, list[HoldView]] = {}
    captured = {reference for draft in drafts for reference in draft.capture}
    while (short := rehearsal.shortage(plan.entries, gone)) is not None:
        account = short.account_id
        if account not in promises:
            known = {(hold.reference, hold.account_id) for hold in gone}
            promises[account] = [
                hold for hold in _by_worth(session, account, captured) if (hold.reference, account) not in known
            ]
        if not promises[account]:
            plan.unfunded += [draft for draft in left if (draft.kind, draft.reference) == short.name]
            left = [draft for draft in left if (draft.kind, draft.reference) != short.name]
        units = 0
        while promises[account] and units < short.units:
            promise = promises[account].pop(0)
            units += promise.units
            gone += _drop(session, promise, plan)
        dropped = {(hold.reference, hold.account_id) for hold in gone}
        open_now = {hold.reference for hold in holds if (hold.reference, hold.account_id) not in dropped}
        plan.entries = [_entry(draft, ids, open_now) for draft in left]


def _by_worth(session: Session, account_id: int, captured: set[str]) -> list[HoldView]:
    """The promises on an account, those to be given up first first."""
    holds = open_holds(session, account_id)
    statuses = order_statuses(session, [hold.reference for hold in holds])

    def worth(hold: HoldView) -> int:
        if hold.reference in captured:
            return 3  # captured by an entry at hand: it helps only an earlier one
        if hold.reference.endswith(LEGS):
            return 0
        is_waiting = hold.reference.endswith(REVIEW) or hold.reference.startswith(EXIT)
        return 1 if is_waiting or statuses.get(hold.reference) is OrderStatus.PLACED else 2

    return sorted(holds, key=worth)  # stable: the youngest first among equals


def _drop(session: Session, promise: HoldView, plan: Plan) -> list[HoldView]:
    """Note what becomes of a promise's subject; the holds that go with it."""
    reference = promise.reference
    if reference.endswith(LEGS):
        plan.refund.append(reference.removesuffix(LEGS))
        return [hold for hold in holds_of(session, [reference]) if hold.status is HoldStatus.OPEN]
    statuses = order_statuses(session, [reference])
    if reference.endswith(REVIEW):
        plan.fail.append(reference.removesuffix(REVIEW))
    elif statuses.get(reference) is OrderStatus.PLACED:
        plan.fail.append(reference)
        return [hold for hold in holds_of(session, [reference, reference + LEGS]) if hold.status is HoldStatus.OPEN]
    elif reference.startswith(EXIT):
        plan.overtake.append(reference)
    else:
        plan.in_flight.append((reference, promise.account_id))
    return [promise]
