"""Batches: drafted from placed orders, cleared over makers' quotes, committed with their transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Numeric, text
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.chain.contracts.settlement_hub import Fill, Share, encode_settle, touched_positions
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    HoldPart,
    HoldRequest,
    Refused,
    ensure_accounts,
    release_holds,
    swap_holds,
)
from chainwallet.market.clearing import clear
from chainwallet.market.gain import NO_GAIN, Charged, Gain, GainRule, keep_for_shares
from chainwallet.market.model import Clearing, Leg, OrderFlow
from chainwallet.market.rates import MidMarket
from chainwallet.settlement.lanes import Call, ChainTx, Fees, TxKind, TxStatus, store_calls
from chainwallet.settlement.makers import MakerQuote, live_book, use_quotes
from chainwallet.settlement.orders import PlacedOrder, placed_orders, take_orders, withdraw_orders

QUOTE_LASTS_S = 15  # a quote must outlive the mining of the batch that fills it
GAS_MAX = 16_700_000  # a transaction's cap is 16,777,216 (EIP-7825)
# Bounds, not estimates: every payee, maker and treasury position is taken to be new, every quote drawn on for the first
# time, and every signature one of secp256k1.
GAS_FIXED, GAS_PER_CURRENCY, GAS_PER_ORDER, GAS_PER_FILL, GAS_PER_SHARE = 100_000, 24_000, 40_000, 65_000, 3_000
SLOTS_WORTH_LISTING = 25  # below that, an access list costs more gas than it saves (docs/gas.md)


class BatchStale(ChainwalletError):
    """Something that the draft was built on has moved; draft again."""

    code = "SETTLEMENT_BATCH_STALE"
    status = 409
    retryable = True


class BatchUnknown(ChainwalletError):
    code = "SETTLEMENT_BATCH_UNKNOWN"
    status = 404


class BatchStatus(StrEnum):
    SUBMITTED = "submitted"
    SETTLED = "settled"
    FAILED = "failed"


class Batch(SQLModel, table=True):
    """One settlement transaction. The `*_usd_units` are values at mid when the batch was closed.

    `surplus` is all that it left over, `gain` what netting saved of it, `gain_payers` and `gain_makers` what they got.
    """

    __tablename__ = "batch"
    __table_args__ = (Index("ix_batch_open", "id", postgresql_where=text("status = 'submitted'")),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    status: str = BatchStatus.SUBMITTED
    payments: int
    source_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    target_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    fee_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    surplus_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    maker_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    maker_alone_usd_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    gain_usd_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    gain_payers_usd_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    gain_makers_usd_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


class BatchFill(SQLModel, table=True):
    """What a batch takes of one maker quote: the maker gives `sold_units` and gets `bought_units`."""

    __tablename__ = "batch_fill"
    __table_args__ = (
        Index("ix_batch_fill_maker", "maker_id", "batch_id", "quote_id"),
        Index("ix_batch_fill_quote", "quote_id"),
    )

    batch_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    quote_id: str = Field(primary_key=True)
    maker_id: str
    sell: str
    sold_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    buy: str
    bought_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))


class BatchShare(SQLModel, table=True):
    """What netting gave to a payer, whose transfer is `party`, or to the maker of the quote `party`."""

    __tablename__ = "batch_share"

    batch_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    party: str = Field(primary_key=True)
    is_makers: bool
    currency: str
    units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch as it would be: the orders that settle, in their order, the fills that fund them, and who gains."""

    orders: tuple[PlacedOrder, ...]
    clearing: Clearing
    quotes: Mapping[str, MakerQuote]
    gain: Gain = NO_GAIN

    def encode(self, batch_id: int) -> bytes:
        """The hub's `settle` call for this batch."""
        used = sorted({fill.offer_id for fill in self.clearing.fills})
        index = {quote_id: position for position, quote_id in enumerate(used)}
        return encode_settle(
            batch_id,
            [order.signed() for order in self.orders],
            [bytes(order.signature) for order in self.orders],
            [self.quotes[quote_id].signed() for quote_id in used],
            [bytes(self.quotes[quote_id].signature) for quote_id in used],
            [Fill(index[fill.offer_id], fill.sold_units) for fill in self.clearing.fills],
            self._shares(index),
        )

    def _shares(self, quotes: Mapping[str, int]) -> list[Share]:
        payments = self.gain.payments
        shares = [Share(i, payments[order.id]) for i, order in enumerate(self.orders) if order.id in payments]
        return shares + [Share(quotes[key], units, is_makers=True) for key, units in sorted(self.gain.offers.items())]

    @property
    def gas_limit(self) -> int:
        named = {code for order in self.orders for code in (order.source_currency, order.target_currency)}
        named |= {code for fill in self.clearing.fills for code in (fill.sell, fill.buy)}
        bound = GAS_FIXED + GAS_PER_CURRENCY * len(named) + GAS_PER_ORDER * len(self.orders)
        bound += GAS_PER_FILL * len(self.clearing.fills)
        return min(GAS_MAX, bound + GAS_PER_SHARE * (len(self.gain.payments) + len(self.gain.offers)))

    def slots(self, treasury: str) -> tuple[bytes, ...]:
        """The hub's storage that this batch will touch, where naming it in the transaction saves gas."""
        used = {fill.offer_id for fill in self.clearing.fills}
        quotes = [self.quotes[quote_id].signed() for quote_id in sorted(used)]
        found = touched_positions([order.signed() for order in self.orders], quotes, treasury)
        return found if len(found) >= SLOTS_WORTH_LISTING else ()


def legs_of(orders: Sequence[PlacedOrder]) -> Counter[str]:
    """Units of each maker quote that are reserved for these orders."""
    reserved: Counter[str] = Counter()
    for order in orders:
        for leg in order.legs:
            reserved[leg["quote_id"]] += int(leg["sold_units"])
    return reserved


def draft_batch(session: Session, mids: MidMarket, *, limit: int, rule: GainRule | None = None) -> Draft | None:
    """Clear the oldest placed orders over the live quotes. None when nothing waits; no orders if none can settle.

    `rule` says who gets what netting saves; without one it is the treasury's.
    """
    orders = placed_orders(session, limit=limit)
    if not orders:
        return None
    while True:
        book = live_book(session, lasting_s=QUOTE_LASTS_S, released=legs_of(orders))
        flows = [_flow(order) for order in orders]
        clearing = clear(book, flows, mids)
        if len(clearing.settled) == len(orders):
            gain = NO_GAIN
            if rule is not None:
                clearing, gain = keep_for_shares(book, flows, clearing, [_charged(one) for one in orders], mids, rule)
            return Draft(tuple(orders), clearing, _quotes(session, clearing), gain)
        # What is reserved for payments that are set aside stays theirs: clear again without them and without it.
        settled = set(clearing.settled)
        orders = [order for order in orders if order.id in settled]


def _flow(order: PlacedOrder) -> OrderFlow:
    return OrderFlow(
        id=order.id,
        source=order.source_currency,
        source_units=int(order.source_units),
        target=order.target_currency,
        target_units=int(order.target_units),
        lane=f"{order.payer}/{order.source_currency}",
    )


def _charged(order: PlacedOrder) -> Charged:
    return Charged(order.id, order.source_currency, int(order.spread_units), int(order.fee_units))


def _quotes(session: Session, clearing: Clearing) -> dict[str, MakerQuote]:
    wanted = sorted({fill.offer_id for fill in clearing.fills})
    statement = select(MakerQuote).where(col(MakerQuote.id).in_(wanted))
    return {quote.id: quote for quote in session.exec(statement)}


def next_batch_id(session: Session) -> int:
    """A batch number never used before. Numbers of drafts that come to nothing stay unused."""
    return int(
        session.connection().exec_driver_sql("SELECT nextval(pg_get_serial_sequence('batch', 'id'))").scalar_one()
    )


def commit_batch(
    session: Session,
    draft: Draft,
    batch_id: int,
    *,
    data: bytes,
    hub: str,
    treasury: str,
    signer: Signer,
    chain_id: int,
    fees: Fees,
    mids: MidMarket,
    on_taken: Callable[[Session, Sequence[str]], object] = lambda _session, _ids: None,
) -> ChainTx:
    """Make the draft a batch: orders, reservations, holds and the signed transaction in one commit.

    `on_taken` is called with the orders' ids as soon as they are the batch's, for those who follow them.
    Raises BatchStale, changing nothing, when an order was cancelled or a quote or an inventory was used up
    meanwhile.
    """
    # What everybody waits for, makers' quotes and accounts, is taken last and held shortest.
    call = Call(TxKind.SETTLE, str(batch_id), hub, data, draft.gas_limit, draft.slots(treasury))
    tx = store_calls(session, [call], signer=signer, chain_id=chain_id, fees=fees)[0]
    ids = [order.id for order in draft.orders]
    if take_orders(session, ids, batch_id=batch_id) != len(ids):
        raise BatchStale("An order of the draft was cancelled meanwhile; the batch is drafted again.")
    on_taken(session, ids)
    legs = legs_of(draft.orders)
    filled = Counter({fill.offer_id: 0 for fill in draft.clearing.fills})
    for fill in draft.clearing.fills:
        filled[fill.offer_id] += fill.sold_units
    session.add(_batch_row(batch_id, draft, mids))
    session.flush()
    insert_many(session, BatchFill, [_fill_row(batch_id, quote_id, draft) for quote_id in sorted(filled)])
    insert_many(session, BatchShare, [share.model_dump() for share in _share_rows(batch_id, draft)])
    fillers = _makers_accounts(session, draft)
    if use_quotes(session, reserve={key: -units for key, units in legs.items()}, fill=filled) != {*legs, *filled}:
        raise BatchStale("A maker's quote was taken meanwhile; the batch is drafted again.")
    fills = _fills_hold(batch_id, draft, fillers)
    if isinstance(swap_holds(session, release=[f"{order_id}:legs" for order_id in ids], place=fills), Refused):
        raise BatchStale("A maker's inventory was used meanwhile; the batch is drafted again.")
    return tx


def _makers_accounts(session: Session, draft: Draft) -> dict[AccountKey, int]:
    keys = {AccountKey(fill.maker, fill.sell, AccountKind.CUSTOMER) for fill in draft.clearing.fills}
    return ensure_accounts(session, keys) if keys else {}


def _fills_hold(batch_id: int, draft: Draft, accounts: Mapping[AccountKey, int]) -> HoldRequest | None:
    needed: Counter[AccountKey] = Counter()
    for fill in draft.clearing.fills:
        needed[AccountKey(fill.maker, fill.sell, AccountKind.CUSTOMER)] += fill.sold_units
    if not needed:
        return None
    return HoldRequest(f"batch:{batch_id}", tuple(HoldPart(accounts[key], needed[key]) for key in sorted(needed)), None)


def _batch_row(batch_id: int, draft: Draft, mids: MidMarket) -> Batch:
    def usd(units: int, code: str) -> int:
        return mids.value_units(int(units), code, "USD")

    shares = _share_rows(batch_id, draft)
    return Batch(
        id=batch_id,
        payments=len(draft.orders),
        source_usd_units=sum(usd(order.source_units, order.source_currency) for order in draft.orders),
        target_usd_units=sum(usd(order.target_units, order.target_currency) for order in draft.orders),
        fee_usd_units=sum(usd(order.fee_units, order.source_currency) for order in draft.orders),
        surplus_usd_units=sum(usd(units, code) for code, units in draft.clearing.surplus_units.items()),
        maker_usd_units=sum(usd(fill.sold_units, fill.sell) for fill in draft.clearing.fills),
        maker_alone_usd_units=sum(usd(int(leg["sold_units"]), leg["sell"]) for o in draft.orders for leg in o.legs),
        gain_usd_units=usd(int(draft.gain.value), "EUR"),
        gain_payers_usd_units=sum(usd(share.units, share.currency) for share in shares if not share.is_makers),
        gain_makers_usd_units=sum(usd(share.units, share.currency) for share in shares if share.is_makers),
        created_at=utc_now(),
    )


def _share_rows(batch_id: int, draft: Draft) -> list[BatchShare]:
    source = {order.id: order.source_currency for order in draft.orders}
    bought = {fill.offer_id: fill.buy for fill in draft.clearing.fills}
    return [
        BatchShare(batch_id=batch_id, party=party, is_makers=is_makers, currency=currencies[party], units=units)
        for is_makers, currencies, shares in ((False, source, draft.gain.payments), (True, bought, draft.gain.offers))
        for party, units in shares.items()
    ]


def _fill_row(batch_id: int, quote_id: str, draft: Draft) -> dict[str, object]:
    fills = [fill for fill in draft.clearing.fills if fill.offer_id == quote_id]
    return {
        "batch_id": batch_id,
        "quote_id": quote_id,
        "maker_id": fills[0].maker,
        "sell": fills[0].sell,
        "sold_units": sum(fill.sold_units for fill in fills),
        "buy": fills[0].buy,
        "bought_units": sum(fill.bought_units for fill in fills),
    }


def settle_batch(session: Session, batch_id: int) -> bool:
    """Mark a batch settled and its orders with it; the hold on its makers stays for the ledger to capture.

    True if it is settled, now or before: an event that is seen twice changes nothing. False for a batch that
    this database does not know, or has given up.
    """
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is None or batch.status == BatchStatus.FAILED:
        return False
    if batch.status == BatchStatus.SUBMITTED:
        batch.status, batch.settled_at = BatchStatus.SETTLED, utc_now()
        session.add(batch)
        session.connection().exec_driver_sql(
            "UPDATE payment_order SET status = 'settled' WHERE batch_id = %(batch)s AND status = 'batched'",
            {"batch": batch_id},
        )
    return True


def overtaken_orders(session: Session, batch_id: int) -> dict[str, bool]:
    """The orders of a batch that none can settle any more, with whether their payer cancelled them on chain.

    Otherwise the payer took the money off the hub, so that nothing is held for them.
    """
    rows = session.connection().exec_driver_sql(
        """SELECT o.id, h.nonce <= a.cancelled_nonce FROM payment_order o
           JOIN hold h ON h.reference = o.id AND h.nonce = o.nonce JOIN account a ON a.id = h.account_id
           WHERE o.batch_id = %(batch)s AND o.status = 'batched'
             AND (h.status = 'released' OR h.nonce <= a.cancelled_nonce)""",
        {"batch": batch_id},
    )
    return {order_id: is_cancelled for order_id, is_cancelled in rows}


def fail_batch(session: Session, batch_id: int, *, without: Collection[str] = ()) -> list[str]:
    """Undo a batch whose transaction reverted: nothing moved on chain, so its orders wait for another batch.

    Returns the ids of the orders. Their makers are no longer reserved: the next clearing funds them from
    whatever is on offer then. Those in `without` do not wait: they are withdrawn, and nothing is held for them.
    """
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is None or batch.status != BatchStatus.SUBMITTED:
        return []
    batch.status = BatchStatus.FAILED
    session.add(batch)
    fills = session.exec(select(BatchFill).where(BatchFill.batch_id == batch_id)).all()
    rows = session.connection().exec_driver_sql(
        """UPDATE payment_order SET status = 'placed', batch_id = NULL, legs = '[]'
           WHERE batch_id = %(batch)s AND status = 'batched' RETURNING id""",
        {"batch": batch_id},
    )
    order_ids = [order_id for (order_id,) in rows]
    withdraw_orders(session, [order_id for order_id in order_ids if order_id in without])
    use_quotes(session, reserve={}, fill={fill.quote_id: -int(fill.sold_units) for fill in fills})
    release_holds(session, [f"batch:{batch_id}", *without])
    return order_ids


def find_batch(session: Session, batch_id: int) -> tuple[Batch, list[BatchFill], list[str], ChainTx | None]:
    """A batch with its fills, its transfers' ids and its transaction. SETTLEMENT_BATCH_UNKNOWN."""
    batch = session.get(Batch, batch_id)
    if batch is None:
        raise BatchUnknown(f"No batch has the id {batch_id}.")
    fills = session.exec(
        select(BatchFill).where(BatchFill.batch_id == batch_id).order_by(col(BatchFill.quote_id))
    ).all()
    transfers = session.exec(
        select(PlacedOrder.id).where(PlacedOrder.batch_id == batch_id).order_by(col(PlacedOrder.seq))
    ).all()
    statement = select(ChainTx).where(
        ChainTx.kind == TxKind.SETTLE, ChainTx.reference == str(batch_id), ChainTx.status != TxStatus.REPLACED
    )
    return batch, list(fills), list(transfers), session.exec(statement).first()


def batch_shares(session: Session, batch_id: int) -> list[BatchShare]:
    """What netting gave to whom in a batch."""
    return list(
        session.exec(
            select(BatchShare)
            .where(BatchShare.batch_id == batch_id)
            .order_by(col(BatchShare.is_makers), col(BatchShare.party))
        )
    )


def share_of(session: Session, order_id: str) -> Money | None:
    """What netting gave back to an order's payer, in the batch that has the order now."""
    row = session.exec(
        select(BatchShare)
        .join(PlacedOrder, col(PlacedOrder.id) == BatchShare.party)
        .where(PlacedOrder.batch_id == BatchShare.batch_id, BatchShare.party == order_id)
    ).first()
    return None if row is None else Money(row.currency, int(row.units))


def batch_flows(session: Session, batch_id: int) -> tuple[list[OrderFlow], list[Leg]]:
    """What a batch moved: its payments, and what it took of makers. SETTLEMENT_BATCH_UNKNOWN."""
    _, fills, _, _ = find_batch(session, batch_id)
    orders = session.exec(select(PlacedOrder).where(PlacedOrder.batch_id == batch_id)).all()
    legs = [
        Leg(fill.quote_id, fill.maker_id, fill.sell, int(fill.sold_units), fill.buy, int(fill.bought_units))
        for fill in fills
    ]
    return [_flow(order) for order in orders], legs


def list_batches(session: Session, *, before: int | None, limit: int) -> list[tuple[Batch, ChainTx | None]]:
    """The newest batches first, `limit` of them, older than the id `before`, each with its transaction."""
    statement = select(Batch).order_by(col(Batch.id).desc()).limit(limit)
    if before is not None:
        statement = statement.where(col(Batch.id) < before)
    batches = list(session.exec(statement))
    wanted = [str(batch.id) for batch in batches]
    found = session.exec(
        select(ChainTx).where(
            ChainTx.kind == TxKind.SETTLE, col(ChainTx.reference).in_(wanted), ChainTx.status != TxStatus.REPLACED
        )
    )
    transactions = {tx.reference: tx for tx in found}
    return [(batch, transactions.get(str(batch.id))) for batch in batches]
