"""Firm quotes to customers, as they are kept: good until they expire, and for one transfer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, DateTime, Index, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel

from chainwallet.kit.database import Query, ask, insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.model import Leg
from chainwallet.payments.terms import Terms

OUTLIVES_S = 30  # a maker's quote must outlive the customer's, so that the batch can still fill it


class QuoteUnknown(ChainwalletError):
    code = "QUOTE_UNKNOWN"
    status = 404


class QuoteExpired(ChainwalletError):
    code = "QUOTE_EXPIRED"
    status = 409


class QuoteUsed(ChainwalletError):
    code = "QUOTE_USED"
    status = 409


class QuoteLiquidityGone(ChainwalletError):
    code = "QUOTE_LIQUIDITY_GONE"
    status = 409
    retryable = True


class QuoteAmbiguous(ChainwalletError):
    code = "QUOTE_AMBIGUOUS"
    status = 422


class QuoteTooCostly(ChainwalletError):
    code = "QUOTE_TOO_COSTLY"
    status = 409
    retryable = True


class QuoteLimitNotMet(ChainwalletError):
    code = "QUOTE_LIMIT_NOT_MET"
    status = 409
    retryable = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What a customer is offered: both amounts exact. `legs` price it: units per maker quote.

    `market_root` and `market_taken_at` name the snapshot of the market that it was priced on.
    `terms` are its corridor's: None for money that goes back, and for quotes from before there were corridors.
    `spread_units` is what the makers of the legs earn at mid, in the source currency.
    """

    id: str
    owner_id: str | None
    source_currency: str
    source_units: int
    target_currency: str
    target_units: int
    fee_units: int
    spread_units: int
    rate: str
    mid_rate: str
    cost_bps: Decimal
    legs: list[dict[str, Any]]
    expires_at: datetime
    created_at: datetime
    terms: Terms | None = None
    market_root: str | None = None
    market_taken_at: datetime | None = None


class QuoteRow(SQLModel, table=True):
    """A quote as it is stored. The one transfer that it may make names it, uniquely."""

    __tablename__ = "quote"
    __table_args__ = (Index("ix_quote_market", "market_root", "market_taken_at"),)

    id: str = Field(primary_key=True)
    owner_id: str | None = None
    source_currency: str
    source_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    target_currency: str
    target_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    fee_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    spread_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    rate: str
    mid_rate: str
    cost_bps: Decimal = Field(sa_column=Column(Numeric(12, 2), nullable=False))
    legs: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    market_root: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    market_taken_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    terms: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))


def leg_row(leg: Leg) -> dict[str, Any]:
    """A leg as it is stored: amounts as strings, because JSON numbers are not exact everywhere."""
    return {
        "quote_id": leg.offer_id,
        "maker_id": leg.maker,
        "sell": leg.sell,
        "sold_units": str(leg.sold_units),
        "buy": leg.buy,
        "bought_units": str(leg.bought_units),
    }


_COLUMNS = tuple(field.name for field in fields(Quote))


def store_quotes(session: Session, quotes: Sequence[Quote]) -> list[Quote]:
    """Store quotes in one statement, in the caller's transaction."""
    insert_many(session, QuoteRow, [{name: getattr(quote, name) for name in _COLUMNS} for quote in quotes])
    return list(quotes)


_FIND = f"""
SELECT {", ".join(f"q.{name}" for name in _COLUMNS)}, t.id IS NOT NULL
FROM quote q LEFT JOIN transfer t ON t.quote_id = q.id WHERE q.id = ANY(%(ids)s::text[])
"""


def quotes_query(quote_ids: Iterable[str]) -> Query[dict[str, tuple[Quote, bool]]]:
    """The quotes by id, and whether each has made its transfer already; unknown ids are absent."""
    wanted = sorted(set(quote_ids))
    return Query(
        _FIND if wanted else "", {"ids": wanted}, lambda rows: {row[0]: (_quote(row), row[-1]) for row in rows}
    )


def quote_of(session: Session, quote_id: str) -> Quote:
    """The quote that a transfer names: it is kept as long as the transfer is."""
    quote, _ = ask(session, quotes_query([quote_id]))[quote_id]
    return quote


def _quote(row: Any) -> Quote:
    found = dict(zip(_COLUMNS, row, strict=False))
    exact = {name: int(found[name]) for name in ("source_units", "target_units", "fee_units", "spread_units")}
    return Quote(**(found | exact))


def purge_quotes(session: Session, *, before: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` quotes that expired before then and made no transfer; how many were forgotten."""
    found = session.connection().exec_driver_sql(
        """DELETE FROM quote WHERE id IN (
             SELECT q.id FROM quote q LEFT JOIN transfer t ON t.quote_id = q.id
             WHERE q.expires_at < %(before)s AND t.id IS NULL ORDER BY q.id LIMIT %(limit)s)""",
        {"before": before, "limit": limit},
    )
    return found.rowcount
