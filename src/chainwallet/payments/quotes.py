"""Firm quotes to customers: both amounts exact, fee and spread itemised against mid, good until they expire."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import Column, DateTime, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database, Query, insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import InvalidAmount, Money, currency, mul_div_up, quantise_down, quantise_up
from chainwallet.market.errors import MarketRateStale
from chainwallet.market.gain import spread_units
from chainwallet.market.model import Book, Leg
from chainwallet.market.rates import MidMarket, RateSource
from chainwallet.market.routing import Router
from chainwallet.settlement.makers import live_book

BPS = 10_000
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


class QuoteRow(SQLModel, table=True):
    """A quote as it is stored. The one transfer that it may make names it, uniquely."""

    __tablename__ = "quote"

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


@dataclass(frozen=True, slots=True)
class PriceRequest:
    """Price a payment from `source` to `target` (currency codes), of which exactly one amount is fixed.

    `limit` bounds the other one: the most that may leave, or the least that must arrive.
    """

    source: str
    target: str
    fixed_source: Money | None = None
    fixed_target: Money | None = None
    limit: Money | None = None


class Pricer:
    """Prices payments over the latest snapshot of the market; `refresh` takes a new one.

    Mid is that of the newest fixing of `rates`; once it is more than `rates_age_max_days` old, nothing is priced.
    """

    def __init__(
        self,
        database: Database,
        rates: RateSource,
        *,
        fee_bps: int,
        ttl_s: int,
        cost_bps_max: int = BPS,
        rates_age_max_days: int | None = None,
    ) -> None:
        self._rates = rates
        self._rates_age_max = None if rates_age_max_days is None else timedelta(days=rates_age_max_days)
        self._database = database
        self._fee_bps = fee_bps
        self._cost_bps_max = cost_bps_max
        self.ttl_s = ttl_s
        self._lock = threading.Lock()
        self._version = 0
        self._router = Router(Book(version=0, offers=(), inventory_units={}))
        self._book = Book(version=0, offers=(), inventory_units={})

    def refresh(self) -> None:
        """Take the makers' quotes as they are in the database now."""
        with self._lock, self._database.transaction() as session:
            book = live_book(session, lasting_s=self.ttl_s + OUTLIVES_S, version=self._version + 1)
            if book.offers != self._book.offers or book.inventory_units != self._book.inventory_units:
                self._version += 1
                self._router, self._book = Router(book), book

    def price(self, request: PriceRequest, *, owner_id: str | None = None, router: Router | None = None) -> Quote:
        """A firm quote, not yet stored.

        MARKET_NO_ROUTE, MARKET_INSUFFICIENT_LIQUIDITY, MONEY_INVALID_AMOUNT, QUOTE_LIMIT_NOT_MET, QUOTE_TOO_COSTLY,
        MARKET_RATE_STALE.
        """
        now, fixing = utc_now(), self._rates.fixing()
        if self._rates_age_max is not None and now.date() - fixing.date > self._rates_age_max:
            raise MarketRateStale(
                f"The reference rates are of {fixing.date}; nothing is quoted until newer ones arrive."
            )
        router = router or self._router
        if request.fixed_source is not None:
            source_units, target_units, fee_units, legs = self._from_source(router, request, request.fixed_source.units)
        elif request.fixed_target is not None:
            source_units, target_units, fee_units, legs = self._to_target(router, request, request.fixed_target.units)
        else:
            raise InvalidAmount("Fix either source_amount or target_amount.")
        if request.limit is not None:
            _check_limit(request, source_units, target_units)
        mid = MidMarket(fixing).mid(request.source, request.target)
        cost_bps = _cost_bps(source_units, target_units, mid)
        if cost_bps > self._cost_bps_max and self._is_more_than_rounding(request, source_units, target_units, mid):
            raise QuoteTooCostly(
                f"The payment would lose {cost_bps} basis points against mid, over the {self._cost_bps_max} allowed. "
                "Send less, or try again when there is more on offer."
            )
        return Quote(
            id=new_id("quo"),
            owner_id=owner_id,
            source_currency=request.source,
            source_units=source_units,
            target_currency=request.target,
            target_units=target_units,
            fee_units=fee_units,
            spread_units=spread_units(legs, request.source, fixing),
            rate=_decimal(target_units, source_units - fee_units),
            mid_rate=_decimal(mid.numerator, mid.denominator),
            cost_bps=cost_bps,
            legs=[leg_row(leg) for leg in legs],
            expires_at=now + timedelta(seconds=self.ttl_s),
            created_at=now,
        )

    def _is_more_than_rounding(
        self, request: PriceRequest, source_units: int, target_units: int, mid: Fraction
    ) -> bool:
        """Whether a loss is above the limit by more than whole cents make of tiny amounts: fee, source and target."""
        cents = 2 * currency(request.source).minor_units + currency(request.target).minor_units / mid
        return source_units - target_units / mid > Fraction(source_units * self._cost_bps_max, BPS) + cents

    def _from_source(
        self, router: Router, request: PriceRequest, source_units: int
    ) -> tuple[int, int, int, Sequence[Leg]]:
        fee_units = quantise_up(mul_div_up(source_units, self._fee_bps, BPS), request.source)
        if fee_units >= source_units:
            raise InvalidAmount("The amount does not cover the fee; send more.")
        route = router.route_from_source(request.source, request.target, source_units - fee_units)
        target_units = quantise_down(route.target_units, request.target)
        if target_units == 0:
            raise InvalidAmount(f"The amount is too small to arrive in {request.target}; send more.")
        return source_units, target_units, fee_units, route.legs

    def _to_target(
        self, router: Router, request: PriceRequest, target_units: int
    ) -> tuple[int, int, int, Sequence[Leg]]:
        route = router.route_to_target(request.source, request.target, target_units)
        net_units = quantise_up(route.source_units, request.source)
        fee_units = quantise_up(mul_div_up(net_units, self._fee_bps, BPS - self._fee_bps), request.source)
        return net_units + fee_units, target_units, fee_units, route.legs


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


def _check_limit(request: PriceRequest, source_units: int, target_units: int) -> None:
    assert request.limit is not None
    if request.fixed_source is not None and target_units < request.limit.units:
        found = Money(request.target, target_units)
        raise QuoteLimitNotMet(f"Only {found} would arrive, less than your limit; lower it, or try again later.")
    if request.fixed_target is not None and source_units > request.limit.units:
        found = Money(request.source, source_units)
        raise QuoteLimitNotMet(f"{found} would have to leave, more than your limit; raise it, or try again later.")


def _decimal(numerator: int, denominator: int) -> str:
    """Ten significant digits: a rate to read; amounts are exact, rates are not used to compute."""
    return f"{Decimal(numerator) / Decimal(denominator):.10g}"


def _cost_bps(source_units: int, target_units: int, mid: Fraction) -> Decimal:
    """What the payment loses against mid, fee and spread together, in 1e-4 of the source."""
    arrived, due = target_units * mid.denominator, mid.numerator * source_units
    return (Decimal((due - arrived) * BPS) / Decimal(due)).quantize(Decimal("0.01"))


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
