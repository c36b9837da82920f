"""The settled books made again from the chain alone, in a database of their own, and compared with the live ones.

Nothing of the live books is used: events come from receipts that hash to their headers, amounts from the call data of
`settle`, believed because each order hashes to the digest that its event carries. What waits to leave the hub is still
its owner's here, so requests and cancellations of exits move nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from chainwallet.chain.blocks import to_bytes
from chainwallet.chain.contracts.batch_reading import ReadBatch, read_settle
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.errors import ProofRefused
from chainwallet.chain.indexer import OpenEvent, follow, followed_hash, mark_matched, unmatched_events
from chainwallet.chain.node import Node
from chainwallet.controls.identity import addresses_to_ids
from chainwallet.keys.intents import Domain, order_digest, quote_digest
from chainwallet.kit.database import Database
from chainwallet.kit.money import currency, currency_by_id, format_units
from chainwallet.ledger import AccountKey, AccountKind, EntryDraft, capture_and_post, ensure_accounts, verify
from chainwallet.reconciliation.breaks import BreakKind
from chainwallet.reconciliation.claims import Claims
from chainwallet.reconciliation.comparison import Difference
from chainwallet.reconciliation.drafts import Draft, clearing_account, customer_account, hub_account, place_of

EVENTS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class SettledBooks:
    """What is settled at a block: claims, and which payments and deposits made them, by their names on chain."""

    claims: Claims
    payments: frozenset[str]
    deposits: frozenset[str]


def read_settled(session: Session, claims: Claims) -> SettledBooks:
    """The live books' side, in the transaction that read the claims."""
    ask = session.connection().exec_driver_sql
    payments = ask("SELECT order_hash FROM payment_order WHERE status = 'settled'").scalars()
    deposits = ask("SELECT chain_ref FROM deposit WHERE status = 'settled'").scalars()
    return SettledBooks(claims, frozenset(payments), frozenset(deposits))


def rebuild(
    fresh: Database, node: Node, hub: SettlementHub, *, domain: Domain, from_block: int, up_to: Claims
) -> SettledBooks:
    """Books of the chain up to the block of `up_to`, in a migrated database that holds nothing.

    CHAIN_PROOF_REFUSED where what the node says does not hash to what it says elsewhere, or the chain has another
    block there than the live books; CHAIN_BATCH_UNREADABLE where a batch came by another way than `settle`.
    """
    while follow(fresh, node, hub, from_block=from_block).new_blocks:
        pass
    with fresh.transaction() as session:
        if followed_hash(session, up_to.block_number) != up_to.block_hash:
            raise ProofRefused(f"The chain has another block {up_to.block_number} than the one the books stand at.")
    payments: set[str] = set()
    deposits: set[str] = set()
    while True:
        with fresh.transaction() as session:
            events = unmatched_events(session, up_to_block=up_to.block_number, limit=EVENTS_AT_ONCE)
            if not events:
                break
            _book(session, node, domain, hub.treasury(), events)
            mark_matched(session, [event.id for event in events])
        payments |= {event.payload["orderHash"] for event in events if event.name == "PaymentSettled"}
        deposits |= {event.payload["id"] for event in events if event.name == "Deposited"}
    with fresh.transaction() as session:
        claims = Claims(up_to.block_number, up_to.block_hash, _claims_of(session))
    return SettledBooks(claims, frozenset(payments), frozenset(deposits))


def _claims_of(session: Session) -> dict[tuple[str, str], int]:
    rows = session.connection().exec_driver_sql(
        "SELECT owner_id, currency, posted_units FROM account WHERE kind = 'customer' AND posted_units > 0"
    )
    return {(owner, code): int(units) for owner, code, units in rows}


def _book(session: Session, node: Node, domain: Domain, treasury: str, events: Sequence[OpenEvent]) -> None:
    by_tx: dict[str, list[OpenEvent]] = defaultdict(list)
    for event in events:
        by_tx[event.tx_hash].append(event)
    entries: list[Draft] = []
    for tx_hash, emitted in by_tx.items():
        settles = any(event.name in ("PaymentSettled", "QuoteFilled") for event in emitted)
        batch = _batch(node, tx_hash) if settles else ReadBatch(0, (), ())
        entries += _Booker(domain, treasury, batch).entries(emitted)
    keys = sorted({key for entry in entries for key, units in entry.postings.items() if units})
    ids = ensure_accounts(session, keys)
    capture_and_post(session, [entry.entry(ids) for entry in entries if any(entry.postings.values())])


def _batch(node: Node, tx_hash: str) -> ReadBatch:
    sent = node.request("eth_getTransactionByHash", [tx_hash])
    if sent is None:
        raise ProofRefused(f"The node has the events of transaction {tx_hash}, and not the transaction.")
    return read_settle(to_bytes(sent["input"]))


class _Booker:
    """Turns one transaction's events into entries; owners are addresses, the treasury's included."""

    def __init__(self, domain: Domain, treasury: str, batch: ReadBatch) -> None:
        self._treasury = treasury
        self._orders = {"0x" + order_digest(domain, order).hex(): order for order in batch.orders}
        self._quotes = {"0x" + quote_digest(domain, quote).hex(): quote for quote in batch.quotes}

    def entries(self, events: Iterable[OpenEvent]) -> list[Draft]:
        found = []
        for place, event in enumerate(events):
            entry = Draft(event.name.lower(), f"{event.tx_hash}/{place}", place_of(event))
            self._post(event, entry)
            found.append(entry)
        return found

    def _post(self, event: OpenEvent, entry: Draft) -> None:
        told = event.payload
        if event.name == "Deposited":
            code = currency_by_id(told["currency"]).code
            entry.move(hub_account(code), customer_account(told["account"], code), int(told["amount"]))
        elif event.name == "Exited":
            code = currency_by_id(told["currency"]).code
            entry.move(customer_account(told["account"], code), hub_account(code), int(told["amount"]))
        elif event.name == "PaymentSettled":
            order = self._orders.get(told["orderHash"])
            if order is None:
                raise ProofRefused(
                    f"No order in {event.tx_hash} hashes to {told['orderHash']}, which was settled there."
                )
            source, target = currency_by_id(order.source_currency).code, currency_by_id(order.target_currency).code
            entry.move(customer_account(order.payer, source), clearing_account(source), order.source_units)
            entry.move(clearing_account(target), customer_account(order.payee, target), order.target_units)
        elif event.name == "QuoteFilled":
            quote = self._quotes.get(told["quoteHash"])
            if quote is None:
                raise ProofRefused(
                    f"No quote in {event.tx_hash} hashes to {told['quoteHash']}, which was filled there."
                )
            sell, buy = currency_by_id(quote.sell_currency).code, currency_by_id(quote.buy_currency).code
            entry.move(customer_account(quote.maker, sell), clearing_account(sell), int(told["sold"]))
            entry.move(clearing_account(buy), customer_account(quote.maker, buy), int(told["bought"]))
        elif event.name == "SurplusShared":
            for share in told["shares"]:
                code = currency_by_id(share["currency"]).code
                entry.move(clearing_account(code), customer_account(share["account"], code), int(share["amount"]))
        elif event.name == "SurplusCollected":
            code = currency_by_id(told["currency"]).code
            entry.move(clearing_account(code), customer_account(self._treasury, code), int(told["amount"]))


def differences(live: SettledBooks, rebuilt: SettledBooks) -> list[Difference]:
    """Everything in which the live books are not what the chain makes of them, each by name."""
    found = []
    for claim in sorted({*live.claims.units, *rebuilt.claims.units}):
        booked, right = live.claims.units.get(claim, 0), rebuilt.claims.units.get(claim, 0)
        if booked != right:
            account, code = claim
            digits = currency(code).minor_digits
            detail = (
                f"books {format_units(booked, minor_digits=digits)}, "
                f"chain {format_units(right, minor_digits=digits)} at block {live.claims.block_number}"
            )
            found.append(Difference(BreakKind.POSITION_DIFFERS, f"{account}/{code}", detail))
    unknown, unheard = rebuilt.payments - live.payments, live.payments - rebuilt.payments
    found += [Difference(BreakKind.UNKNOWN_PAYMENT, one, "settled on chain, not here") for one in sorted(unknown)]
    found += [Difference(BreakKind.MISSING_PAYMENT, one, "settled here, not on chain") for one in sorted(unheard)]
    missing = sorted(live.deposits - rebuilt.deposits)
    found += [Difference(BreakKind.MISSING_DEPOSIT, one, "settled here, not on chain") for one in missing]
    return found


def unsound(fresh: Database, hub: SettlementHub, rebuilt: SettledBooks, codes: Iterable[str]) -> list[Difference]:
    """What the rebuilt books themselves break: the ledger's own rules, and the hub's totals at their block."""
    with fresh.transaction() as session:
        violations = verify(session, is_idle=True)
    found = [Difference(BreakKind.LEDGER_VIOLATION, one.invariant, one.detail) for one in violations]
    sums, names = rebuilt.claims.totals(), sorted(codes)
    block = rebuilt.claims.block_number
    counted = hub.totals([currency(code).id for code in names], block=block)
    for code, total in zip(names, counted, strict=True):
        if total != sums[code]:
            detail = f"events make {sums[code]} units, the hub counts {total} at block {block}"
            found.append(Difference(BreakKind.TOTAL_DIFFERS, code, detail))
    return found


def adopt(session: Session, live: Claims, rebuilt: SettledBooks) -> int:
    """Book what the chain did and the live books never heard of, as one entry; how many claims it corrects.

    For books that were restored from before it. `live` was read in this transaction, and is as of the rebuilt books'
    block. The other side is clearing, where batches that these books knew only in part have left their rest.
    Raises LEDGER_INSUFFICIENT_FUNDS where an owner has since promised what was gone already.
    """
    if live.block_number != rebuilt.claims.block_number:
        raise ProofRefused("The books have moved on from the block of the rebuilt ones; rebuild them again.")
    claims = {*live.units, *rebuilt.claims.units}
    owners = addresses_to_ids(session, {account for account, _ in claims})
    postings: Counter[AccountKey] = Counter()
    for account, code in claims:
        units = rebuilt.claims.units.get((account, code), 0) - live.units.get((account, code), 0)
        postings[customer_account(owners.get(account, account), code)] += units
        postings[clearing_account(code)] -= units
    moved = {key: units for key, units in sorted(postings.items()) if units}
    if not moved:
        return 0
    ids = ensure_accounts(session, moved)
    entry = EntryDraft("adoption", live.block_hash, tuple((ids[key], units) for key, units in moved.items()))
    capture_and_post(session, [entry])
    return sum(key.kind == AccountKind.CUSTOMER for key in moved)
