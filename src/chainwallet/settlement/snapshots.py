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
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.market.commitment import commit
from chainwallet.market.model import Book, Offer
from chainwallet.settlement.makers import MakerQuote


class MarketSnapshot(SQLModel, table=True):
    """The units left of each maker quote, by id, and what makers could still sell, as [maker, currency, units].

    `signature` is the operator's over MarketCommitment(root, taken_at). Makers are customers' ids here, and their
    addresses in the tree under `root`.
    """

    __tablename__ = "market_snapshot"
    __table_args__ = (Index("ix_market_snapshot_taken_at", "taken_at"),)

    root: str = Field(sa_column=Column(Text, primary_key=True))
    taken_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    quotes: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))
    stock: list[list[str]] = Field(sa_column=Column(JSONB, nullable=False))


@dataclass(frozen=True, slots=True)
class SnapshotName:
    """Which snapshot: its Merkle root, 0x and 64 hexadecimal digits, and when it was taken, in whole seconds."""

    root: str
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """What a quote's maker signed: the quote's digest, and the maker's address."""

    digest: bytes
    maker: str


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
        self._signed = _read_signed(session, book, known=self._signed)
        bare = addressed(book, self._signed)
        root = commit(bare, {key: signed.digest for key, signed in self._signed.items()}).root
        taken_at = unix_seconds(utc_now())
        signature = self.operator.sign_attestation(self.domain, MarketCommitment(root, taken_at))
        name = SnapshotName("0x" + root.hex(), datetime.fromtimestamp(taken_at, UTC))
        stock = _stock(book)
        row = MarketSnapshot(
            root=name.root,
            taken_at=name.taken_at,
            signature=signature,
            quotes={offer.id: str(offer.sell_units_left) for offer in book.offers},
            stock=[[maker, code, str(units)] for (maker, code), units in sorted(stock.items())],
        )
        session.merge(row)  # two processes may take the same one in the same second
        session.flush()
        return name


def addressed(book: Book, signed: Mapping[str, Signed]) -> Book:
    """The book with makers' addresses for their ids, and no more of their stock than is on offer: what is public."""
    offers = tuple(replace(offer, maker=signed[offer.id].maker) for offer in book.offers)
    addresses = {offer.maker: signed[offer.id].maker for offer in book.offers}
    stock = {(addresses[maker], code): units for (maker, code), units in _stock(book).items()}
    return Book(book.version, offers, stock)


def _stock(book: Book) -> dict[tuple[str, str], int]:
    offered = {(offer.maker, offer.sell) for offer in book.offers}
    return {owner: max(units, 0) for owner, units in book.inventory_units.items() if owner in offered}


def _read_signed(session: Session, book: Book, *, known: Mapping[str, Signed]) -> dict[str, Signed]:
    wanted = [offer.id for offer in book.offers]
    missing = [quote_id for quote_id in wanted if quote_id not in known]
    rows = session.connection().exec_driver_sql(
        "SELECT id, quote_hash, maker FROM maker_quote WHERE id = ANY(%(ids)s)", {"ids": missing}
    )
    found = {quote_id: Signed(bytes.fromhex(digest[2:]), maker) for quote_id, digest, maker in rows}
    return {quote_id: found.get(quote_id) or known[quote_id] for quote_id in wanted}


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """A snapshot as it is proven with: the book with makers' addresses, and the quotes that they signed, by id."""

    book: Book
    quotes: Mapping[str, MakerQuote]
    signature: bytes


def read_snapshot(session: Session, name: SnapshotName) -> SnapshotContent:
    """The snapshot with this name; it has to be there."""
    row = session.get_one(MarketSnapshot, (name.root, name.taken_at))
    found = session.exec(select(MakerQuote).where(col(MakerQuote.id).in_(sorted(row.quotes)))).all()
    quotes = {quote.id: quote for quote in found}
    addresses = {quote.maker_id: quote.maker for quote in found}
    offers = tuple(_offer(quotes[key], int(left)) for key, left in sorted(row.quotes.items()))
    stock = {(addresses[maker], code): int(units) for maker, code, units in row.stock}
    return SnapshotContent(Book(0, offers, stock), quotes, bytes(row.signature))


def _offer(quote: MakerQuote, left_units: int) -> Offer:
    return Offer(quote.id, quote.maker, quote.sell, quote.buy, int(quote.sell_units), int(quote.buy_units), left_units)


def purge_snapshots(session: Session, *, before: datetime, limit: int = 1_000) -> int:
    """Forget at most `limit` snapshots taken before then that no quote was priced on; how many were forgotten."""
    found: Any = session.connection().exec_driver_sql(
        """DELETE FROM market_snapshot WHERE (root, taken_at) IN (
             SELECT s.root, s.taken_at FROM market_snapshot s WHERE s.taken_at < %(before)s AND NOT EXISTS (
               SELECT 1 FROM quote q WHERE q.market_root = s.root AND q.market_taken_at = s.taken_at)
             LIMIT %(limit)s)""",
        {"before": before, "limit": limit},
    )
    return int(found.rowcount)
