"""Snapshots of the market: what was on offer when payments were priced, committed to before any was accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.keys.attestations import MarketCommitment
from chainwallet.keys.intents import Domain
from chainwallet.keys.intents import MakerQuote as SignedQuote
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.money import currency
from chainwallet.market.commitment import commit
from chainwallet.market.model import Book, Offer
from chainwallet.settlement.makers import MakerQuote


class MarketSnapshot(SQLModel, table=True):
    """The quotes that were live, as their makers signed them, with what was left of each; and what makers could sell.

    `signature` is the operator's over MarketCommitment(root, taken_at). Makers are named by address. Quotes are kept
    whole: those that nobody took of are forgotten elsewhere.
    """

    __tablename__ = "market_snapshot"
    __table_args__ = (Index("ix_market_snapshot_taken_at", "taken_at"),)

    root: str = Field(sa_column=Column(Text, primary_key=True))
    taken_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    quotes: list[list[str | int]] = Field(sa_column=Column(JSONB, nullable=False))
    stock: list[list[str]] = Field(sa_column=Column(JSONB, nullable=False))


@dataclass(frozen=True, slots=True)
class SnapshotName:
    """Which snapshot: its Merkle root, 0x and 64 hexadecimal digits, and when it was taken, in whole seconds."""

    root: str
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """A quote as its maker signed it, and its digest."""

    quote: SignedQuote
    digest: bytes


@dataclass(slots=True)
class Snapshots:
    """Takes snapshots under the operator's name. What makers signed is read once for each quote."""

    operator: Signer
    domain: Domain
    _signed: dict[str, Signed] = field(default_factory=dict)

    def take(self, session: Session, book: Book) -> SnapshotName | None:
        """Commit to this book in the session's transaction; None where nothing is on offer."""
        if not book.offers:
            return None
        signed = self._signed = self._read_signed(session, book)
        bare = _addressed(book, signed)
        root = commit(bare, {key: one.digest for key, one in signed.items()}).root
        taken_at = unix_seconds(utc_now())
        signature = self.operator.sign_attestation(self.domain, MarketCommitment(root, taken_at))
        name = SnapshotName("0x" + root.hex(), datetime.fromtimestamp(taken_at, UTC))
        row = {
            "root": name.root,
            "taken_at": name.taken_at,
            "signature": signature,
            "quotes": [_row(offer, signed[offer.id].quote) for offer in bare.offers],
            "stock": [[maker, code, str(units)] for (maker, code), units in sorted(bare.inventory_units.items())],
        }
        insert_many(session, MarketSnapshot, [row], suffix="ON CONFLICT DO NOTHING")  # two processes in one second
        return name

    def _read_signed(self, session: Session, book: Book) -> dict[str, Signed]:
        known, wanted = self._signed, [offer.id for offer in book.offers]
        missing = [quote_id for quote_id in wanted if quote_id not in known]
        rows = session.exec(select(MakerQuote).where(col(MakerQuote.id).in_(missing))).all() if missing else ()
        found = {one.id: Signed(one.signed(), bytes.fromhex(one.quote_hash.removeprefix("0x"))) for one in rows}
        return {quote_id: found.get(quote_id) or known[quote_id] for quote_id in wanted}


def _addressed(book: Book, signed: Mapping[str, Signed]) -> Book:
    """The book with makers' addresses for their ids, and no more of their stock than is on offer: what is shown."""
    offers = tuple(replace(offer, maker=signed[offer.id].quote.maker) for offer in book.offers)
    stock = {
        (bare.maker, bare.sell): max(book.inventory_units.get((offer.maker, offer.sell), 0), 0)
        for offer, bare in zip(book.offers, offers, strict=True)
    }
    return Book(book.version, offers, stock)


def _row(offer: Offer, quote: SignedQuote) -> list[str | int]:
    amounts = (offer.sell, str(offer.sell_units_max), offer.buy, str(offer.buy_units), str(offer.sell_units_left))
    return [offer.id, quote.maker, *amounts, str(quote.nonce), quote.deadline]


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """A snapshot as it is proven with: the book with makers' addresses, and the quotes that they signed, by id."""

    book: Book
    quotes: Mapping[str, SignedQuote]
    signature: bytes


def read_snapshot(session: Session, name: SnapshotName) -> SnapshotContent | None:
    """The snapshot with this name; None where it was forgotten."""
    row = session.get(MarketSnapshot, (name.root, name.taken_at))
    if row is None:
        return None
    offers, quotes = [], {}
    for one in row.quotes:
        quote_id, maker, sell, most, buy, price, left, nonce = map(str, one[:8])
        offers.append(Offer(quote_id, maker, sell, buy, int(most), int(price), int(left)))
        ids = currency(sell).id, currency(buy).id
        quotes[quote_id] = SignedQuote(maker, ids[0], int(most), ids[1], int(price), int(nonce), int(one[8]))
    stock = {(maker, code): int(units) for maker, code, units in row.stock}
    return SnapshotContent(Book(0, tuple(offers), stock), quotes, bytes(row.signature))


def purge_snapshots(session: Session, *, before: datetime, limit: int = 1_000) -> int:
    """Forget at most `limit` snapshots taken before then that no transfer was priced on; how many were forgotten."""
    found: Any = session.connection().exec_driver_sql(
        """DELETE FROM market_snapshot WHERE (root, taken_at) IN (
             SELECT s.root, s.taken_at FROM market_snapshot s WHERE s.taken_at < %(before)s AND NOT EXISTS (
               SELECT 1 FROM quote q JOIN transfer t ON t.quote_id = q.id
               WHERE q.market_root = s.root AND q.market_taken_at = s.taken_at)
             LIMIT %(limit)s)""",
        {"before": before, "limit": limit},
    )
    return int(found.rowcount)


def purge_unquoted(session: Session, *, since: datetime, before: datetime) -> int:
    """Forget the snapshots of that time on which nobody was even quoted; how many were forgotten.

    With streaming makers there are ten a second of them, and few are ever priced on.
    """
    found: Any = session.connection().exec_driver_sql(
        """DELETE FROM market_snapshot s WHERE s.taken_at BETWEEN %(since)s AND %(before)s AND NOT EXISTS (
             SELECT 1 FROM quote q WHERE q.market_root = s.root AND q.market_taken_at = s.taken_at)""",
        {"since": since, "before": before},
    )
    return int(found.rowcount)
