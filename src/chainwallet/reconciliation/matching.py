"""Final events of the chain are matched to what was ordered and booked, each exactly once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from chainwallet.chain.indexer import OpenEvent, mark_matched, unmatched_events
from chainwallet.controls.identity import addresses_to_ids
from chainwallet.kit.money import currency_by_id
from chainwallet.ledger import AccountKey, AccountKind, EntryDraft, capture_and_post, ensure_accounts
from chainwallet.payments.deposits import settle_deposits
from chainwallet.payments.endings import adopt_settled
from chainwallet.payments.transfers import TransferStatus, advance
from chainwallet.reconciliation.breaks import BreakKind, open_break
from chainwallet.settlement.batches import settle_batch
from chainwallet.settlement.makers import MakerQuote
from chainwallet.settlement.orders import OrderStatus, PlacedOrder

TREASURY, CLEARING, HUB = "treasury", "clearing", "hub"


@dataclass(slots=True)
class _Draft:
    """A journal entry in the making: postings by account, and the holds that it captures."""

    kind: str
    reference: str
    postings: dict[AccountKey, int] = field(default_factory=lambda: defaultdict(int))
    capture: list[str] = field(default_factory=list)

    def move(self, source: AccountKey, target: AccountKey, units: int) -> None:
        self.postings[source] -= units
        self.postings[target] += units


@dataclass(frozen=True, slots=True)
class Booked:
    """What one pass booked: how many events, up to which block, and whose positions they touched."""

    events: int
    up_to_block: int
    touched: frozenset[AccountKey]
    settled_transfers: tuple[str, ...]


def customer_account(owner_id: str, code: str) -> AccountKey:
    return AccountKey(owner_id, code, AccountKind.CUSTOMER)


def _clearing(code: str) -> AccountKey:
    return AccountKey(CLEARING, code, AccountKind.CLEARING)


def book_events(session: Session, *, up_to_block: int, limit: int = 2_000) -> Booked | None:
    """Book the oldest final events that are not booked yet, whole transactions at a time; None if there are none.

    Journal entries are unique by what they are for, so an event that comes again after a reorg is matched to
    the entry that exists and moves nothing.
    """
    events = unmatched_events(session, up_to_block=up_to_block, limit=limit)
    if not events:
        return None
    by_name: dict[str, list[OpenEvent]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event)
    drafts = [*_deposits(session, by_name["Deposited"])]
    payments, transfer_ids = _payments(session, by_name["PaymentSettled"])
    drafts += payments
    drafts += _batches(session, events, by_name)
    settled = advance(session, transfer_ids, TransferStatus.SETTLED)
    mark_matched(session, [event.id for event in events])
    touched = _post(session, drafts)  # last: every acceptance waits for the accounts that this locks
    return Booked(len(events), max(event.block_number for event in events), touched, tuple(settled))


def _post(session: Session, drafts: Sequence[_Draft]) -> frozenset[AccountKey]:
    keys = sorted({key for draft in drafts for key, units in draft.postings.items() if units})
    ids = ensure_accounts(session, keys)
    entries = [
        EntryDraft(
            draft.kind,
            draft.reference,
            tuple((ids[key], units) for key, units in draft.postings.items() if units),
            tuple(draft.capture),
        )
        for draft in drafts
    ]
    capture_and_post(session, entries)
    return frozenset(key for key in keys if key.kind in (AccountKind.CUSTOMER, AccountKind.TREASURY))


def _owners(session: Session, addresses: Iterable[str]) -> Callable[[str], str]:
    """Who owns a position: the customer with that address, or the address itself where nobody here does."""
    known = addresses_to_ids(session, sorted(set(addresses)))
    return lambda address: known.get(address, address)


def _deposits(session: Session, events: Sequence[OpenEvent]) -> list[_Draft]:
    if not events:
        return []
    ours = settle_deposits(session, [event.payload["id"] for event in events])
    owner = _owners(session, (event.payload["account"] for event in events))
    drafts = []
    strangers: Counter[str] = Counter()
    for event in events:
        deposit = ours.get(event.payload["id"])
        code = currency_by_id(event.payload["currency"]).code
        strangers[event.tx_hash] += deposit is None
        # Counted within its transaction: a log's index in its block changes when a fork includes it elsewhere.
        reference = deposit.id if deposit else f"{event.tx_hash}/{strangers[event.tx_hash]}"
        draft = _Draft("deposit", reference)
        target = customer_account(owner(event.payload["account"]), code)
        draft.move(AccountKey(HUB, code, AccountKind.HUB), target, int(event.payload["amount"]))
        drafts.append(draft)
    return drafts


def _payments(session: Session, events: Sequence[OpenEvent]) -> tuple[list[_Draft], list[str]]:
    if not events:
        return [], []
    hashes = [event.payload["orderHash"] for event in events]
    orders = {o.order_hash: o for o in session.exec(select(PlacedOrder).where(col(PlacedOrder.order_hash).in_(hashes)))}
    owner = _owners(session, [a for order in orders.values() for a in (order.payer, order.payee)])
    drafts, transfer_ids, unheard = [], [], []
    for event in events:
        order = orders.get(event.payload["orderHash"])
        if order is None:
            open_break(session, BreakKind.UNKNOWN_PAYMENT, event.payload["orderHash"], f"in {event.tx_hash}")
            continue
        draft = _Draft("payment", order.id)
        if order.status == OrderStatus.WITHDRAWN:  # its hold was given back: the books follow the chain all the same
            open_break(session, BreakKind.GIVEN_UP_PAYMENT, order.id, f"settled on chain in {event.tx_hash}")
        else:
            draft.capture.append(order.id)
        if order.status == OrderStatus.PLACED:  # these books are older than the batch that took it
            unheard.append(order)
            draft.capture += [f"{order.id}:legs"] if order.legs else []
        payer = customer_account(owner(order.payer), order.source_currency)
        payee = customer_account(owner(order.payee), order.target_currency)
        draft.move(payer, _clearing(order.source_currency), int(order.source_units))
        draft.move(_clearing(order.target_currency), payee, int(order.target_units))
        drafts.append(draft)
        transfer_ids.append(order.id)
    adopt_settled(session, unheard)
    return drafts, transfer_ids


def _batches(session: Session, events: Sequence[OpenEvent], by_name: dict[str, list[OpenEvent]]) -> list[_Draft]:
    quotes = _filled_quotes(session, by_name["QuoteFilled"])
    drafts: dict[str, _Draft] = {}
    for event in by_name["BatchSettled"]:
        batch_id = int(event.payload["batchId"])
        drafts[event.tx_hash] = _Draft("batch", str(batch_id))
        if not settle_batch(session, batch_id):
            open_break(session, BreakKind.UNKNOWN_BATCH, str(batch_id), f"in {event.tx_hash}")
        elif int(event.payload["fills"]):
            drafts[event.tx_hash].capture.append(f"batch:{batch_id}")
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
            draft.move(customer_account(quote.maker_id, quote.sell), _clearing(quote.sell), sold)
            draft.move(_clearing(quote.buy), customer_account(quote.maker_id, quote.buy), bought)
        elif event.name == "SurplusCollected":
            code = currency_by_id(event.payload["currency"]).code
            treasury = AccountKey(TREASURY, code, AccountKind.TREASURY)
            draft.move(_clearing(code), treasury, int(event.payload["amount"]))
    return [draft for draft in drafts.values() if any(draft.postings.values())]  # perfectly netted: nothing to book


def _filled_quotes(session: Session, events: Sequence[OpenEvent]) -> dict[str, MakerQuote]:
    hashes = sorted({event.payload["quoteHash"] for event in events})
    if not hashes:
        return {}
    return {
        quote.quote_hash: quote
        for quote in session.exec(select(MakerQuote).where(col(MakerQuote.quote_hash).in_(hashes)))
    }
