"""Final events of the chain are matched to what was ordered and booked, each exactly once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from chainwallet.chain.indexer import OpenEvent, mark_matched, unmatched_events
from chainwallet.kit.money import currency_by_id
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    capture_and_post,
    ensure_accounts,
    lift_nonces,
    lock_accounts,
    release_holds,
)
from chainwallet.payments.deposits import settle_deposits
from chainwallet.payments.endings import CANCELLED_ON_CHAIN, FUNDS_LEFT, adopt_settled, withdraw_transfers
from chainwallet.payments.exits import overtake_exits
from chainwallet.payments.transfers import TransferStatus, advance, complete_returns
from chainwallet.reconciliation.announcements import announce_fills, still_open
from chainwallet.reconciliation.breaks import BreakKind, open_break
from chainwallet.reconciliation.drafts import (
    Draft,
    Owners,
    clearing_account,
    customer_account,
    hub_account,
    place_of,
    treasury_account,
)
from chainwallet.reconciliation.owners import OwnersActs, follow_owners
from chainwallet.reconciliation.room import LEGS, Plan, make_room
from chainwallet.settlement.batches import legs_of, settle_batch
from chainwallet.settlement.makers import MakerQuote, use_quotes
from chainwallet.settlement.orders import OrderStatus, PlacedOrder, drop_legs, lock_orders

_COMPARED = (AccountKind.CUSTOMER, AccountKind.TREASURY, AccountKind.EXIT)


@dataclass(frozen=True, slots=True)
class Booked:
    """What one pass booked: how many events, up to which block, and whose positions they touched."""

    events: int
    up_to_block: int
    touched: frozenset[AccountKey]
    settled_transfers: tuple[str, ...]


def book_events(session: Session, *, up_to_block: int, treasury: str, limit: int = 2_000) -> Booked | None:
    """Book the oldest final events that are not booked yet, whole transactions at a time; None if there are none.

    Journal entries are unique by what they are for, so an event that comes again after a reorg is matched to
    the entry that exists and moves nothing. `treasury` is the address that surplus goes to. Raises
    LEDGER_INSUFFICIENT_FUNDS when money that left was promised anew in this moment: the same pass again makes room.
    """
    events = unmatched_events(session, up_to_block=up_to_block, limit=limit)
    if not events:
        return None
    by_name: dict[str, list[OpenEvent]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event)
    orders = _orders(session, by_name["PaymentSettled"])
    owners = Owners(session, _addresses(events, orders), treasury=treasury)
    drafts = _deposits(session, by_name["Deposited"], owners)
    payments, transfer_ids = _payments(session, by_name["PaymentSettled"], orders, owners)
    drafts += payments
    drafts += _batches(session, events, by_name, owners)
    settled = advance(session, transfer_ids, TransferStatus.SETTLED)
    complete_returns(session, settled)
    acts = follow_owners(session, events, owners)
    mark_matched(session, [event.id for event in events])
    drafts = sorted([*drafts, *acts.drafts], key=lambda draft: draft.place)
    touched = _post(session, drafts, acts)  # last: every acceptance waits for the accounts that this locks
    return Booked(len(events), max(event.block_number for event in events), touched, tuple(settled))


def _post(session: Session, drafts: Sequence[Draft], acts: OwnersActs) -> frozenset[AccountKey]:
    keys = sorted({key for draft in drafts for key, units in draft.postings.items() if units} | acts.passed.keys())
    ids = ensure_accounts(session, keys)
    cancelled = [*acts.cancelled, *(order_id + LEGS for order_id in acts.cancelled)]
    plan = make_room(session, drafts, ids, released=[*acts.release, *cancelled])
    release = [*acts.release, *_end_promises(session, plan, acts.cancelled)]
    for draft in plan.unfunded:
        detail = f"The books lack what this {draft.kind} took on chain; it is not booked."
        open_break(session, BreakKind.UNFUNDED_ENTRY, f"{draft.kind}/{draft.reference}", detail)
    _lock_all(session, plan, release, acts, ids)
    release_holds(session, release)
    for reference, account_id in plan.in_flight:
        release_holds(session, [reference], account_id=account_id)
    lift_nonces(session, {ids[key]: nonce for key, nonce in acts.passed.items()})
    capture_and_post(session, plan.entries)
    return frozenset(key for key in keys if key.kind in _COMPARED)


def _end_promises(session: Session, plan: Plan, cancelled: Sequence[str]) -> list[str]:
    """End what was cancelled and what can no longer be funded, makers' quotes included; the holds to be released."""
    if not (cancelled or plan.fail or plan.refund or plan.overtake):
        return []
    overtake_exits(session, plan.overtake)
    lock_orders(session, [*cancelled, *plan.fail, *plan.refund])
    ends = (
        (cancelled, TransferStatus.CANCELLED, CANCELLED_ON_CHAIN),
        (plan.fail, TransferStatus.FAILED, FUNDS_LEFT),
    )
    withdrawn = [
        withdraw_transfers(session, ids, target, code=code, detail=detail) for ids, target, (code, detail) in ends
    ]
    refunded = drop_legs(session, plan.refund)
    reserved = sum((one.reserved for one in withdrawn), legs_of(refunded))
    use_quotes(session, reserve={quote_id: -units for quote_id, units in reserved.items()}, fill={})
    release = [reference for one in withdrawn for reference in one.holds]
    return [*release, *(order.id + LEGS for order in refunded), *plan.overtake]


def _lock_all(
    session: Session, plan: Plan, release: Sequence[str], acts: OwnersActs, ids: Mapping[AccountKey, int]
) -> None:
    """Lock every account that the verbs to come change, at once and so in one order."""
    if not (release or plan.in_flight or acts.passed):
        return  # posting locks what it needs, which is all
    accounts = {account_id for entry in plan.entries for account_id, _ in entry.postings}
    captured = [reference for entry in plan.entries for reference in entry.capture]
    dropped = [reference for reference, _ in plan.in_flight]
    lock_accounts(session, accounts | {ids[key] for key in acts.passed}, references=[*captured, *release, *dropped])


def _orders(session: Session, events: Sequence[OpenEvent]) -> dict[str, PlacedOrder]:
    hashes = [event.payload["orderHash"] for event in events]
    if not hashes:
        return {}
    return {o.order_hash: o for o in session.exec(select(PlacedOrder).where(col(PlacedOrder.order_hash).in_(hashes)))}


def _addresses(events: Sequence[OpenEvent], orders: Mapping[str, PlacedOrder]) -> set[str]:
    parties = {address for order in orders.values() for address in (order.payer, order.payee)}
    shared = {share["account"] for event in events for share in event.payload.get("shares", ())}
    return parties | shared | {event.payload["account"] for event in events if "account" in event.payload}


def _deposits(session: Session, events: Sequence[OpenEvent], owners: Owners) -> list[Draft]:
    if not events:
        return []
    ours = settle_deposits(session, [event.payload["id"] for event in events])
    drafts = []
    strangers: Counter[str] = Counter()
    for event in events:
        deposit = ours.get(event.payload["id"])
        code = currency_by_id(event.payload["currency"]).code
        strangers[event.tx_hash] += deposit is None
        # Counted within its transaction: a log's index in its block changes when a fork includes it elsewhere.
        reference = deposit.id if deposit else f"{event.tx_hash}/{strangers[event.tx_hash]}"
        draft = Draft("deposit", reference, place_of(event))
        draft.move(hub_account(code), owners.account(event.payload["account"], code), int(event.payload["amount"]))
        drafts.append(draft)
    return drafts


def _payments(
    session: Session, events: Sequence[OpenEvent], orders: Mapping[str, PlacedOrder], owners: Owners
) -> tuple[list[Draft], list[str]]:
    drafts, transfer_ids, unheard = [], [], []
    for event in events:
        order = orders.get(event.payload["orderHash"])
        if order is None:
            open_break(session, BreakKind.UNKNOWN_PAYMENT, event.payload["orderHash"], f"in {event.tx_hash}")
            continue
        draft = Draft("payment", order.id, place_of(event))
        if order.status == OrderStatus.WITHDRAWN:  # its hold was given back: the books follow the chain all the same
            open_break(session, BreakKind.GIVEN_UP_PAYMENT, order.id, f"settled on chain in {event.tx_hash}")
        else:
            draft.capture.append(order.id)
        if order.status == OrderStatus.PLACED:  # these books are older than the batch that took it
            unheard.append(order)
            draft.capture += [order.id + LEGS] if order.legs else []
        payer = owners.account(order.payer, order.source_currency)
        payee = owners.account(order.payee, order.target_currency)
        draft.move(payer, clearing_account(order.source_currency), int(order.source_units))
        draft.move(clearing_account(order.target_currency), payee, int(order.target_units))
        drafts.append(draft)
        transfer_ids.append(order.id)
    adopt_settled(session, unheard)
    return drafts, transfer_ids


def _batches(
    session: Session, events: Sequence[OpenEvent], by_name: dict[str, list[OpenEvent]], owners: Owners
) -> list[Draft]:
    quotes = _filled_quotes(session, by_name["QuoteFilled"])
    drafts: dict[str, Draft] = {}
    news = still_open(session, [int(event.payload["batchId"]) for event in by_name["BatchSettled"]])
    for event in by_name["BatchSettled"]:
        batch_id = int(event.payload["batchId"])
        drafts[event.tx_hash] = Draft("batch", str(batch_id), place_of(event))
        if not settle_batch(session, batch_id):
            open_break(session, BreakKind.UNKNOWN_BATCH, str(batch_id), f"in {event.tx_hash}")
        elif int(event.payload["fills"]):
            drafts[event.tx_hash].capture.append(f"batch:{batch_id}")
    announce_fills(session, news)
    for event in events:
        draft = drafts.get(event.tx_hash)
        if draft is None:
            continue
        if event.name == "QuoteFilled":
            quote = quotes.get(event.payload["quoteHash"])
            if quote is None:
                open_break(session, BreakKind.UNKNOWN_QUOTE, event.payload["quoteHash"], f"in {event.tx_hash}")
                continue
            sold, bought = int(event.payload["sold"]), int(event.payload["bought"])
            draft.move(customer_account(quote.maker_id, quote.sell), clearing_account(quote.sell), sold)
            draft.move(clearing_account(quote.buy), customer_account(quote.maker_id, quote.buy), bought)
        elif event.name == "SurplusShared":
            for share in event.payload["shares"]:
                code = currency_by_id(share["currency"]).code
                draft.move(clearing_account(code), owners.account(share["account"], code), int(share["amount"]))
        elif event.name == "SurplusCollected":
            code = currency_by_id(event.payload["currency"]).code
            draft.move(clearing_account(code), treasury_account(code), int(event.payload["amount"]))
    return [draft for draft in drafts.values() if any(draft.postings.values())]  # perfectly netted: nothing to book


def _filled_quotes(session: Session, events: Sequence[OpenEvent]) -> dict[str, MakerQuote]:
    hashes = sorted({event.payload["quoteHash"] for event in events})
    if not hashes:
        return {}
    return {
        quote.quote_hash: quote
        for quote in session.exec(select(MakerQuote).where(col(MakerQuote.quote_hash).in_(hashes)))
    }
