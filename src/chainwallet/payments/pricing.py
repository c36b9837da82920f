"""Pricing: firm quotes over a snapshot of the market, both amounts exact, fee and spread itemised against mid."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from sqlmodel import Session

from chainwallet.controls.corridors.decisions import CorridorRefused, Facts, Violation
from chainwallet.controls.corridors.fees import Tariff, Tier
from chainwallet.controls.corridors.store import Corridors
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import InvalidAmount, Money, currency, quantise_down, quantise_up
from chainwallet.market.errors import MarketRateStale
from chainwallet.market.gain import spread_units
from chainwallet.market.model import Book, Leg
from chainwallet.market.rates import Fixing, MidMarket, RateSource
from chainwallet.payments.market_view import MarketView, view_market
from chainwallet.payments.quotes import OUTLIVES_S, Quote, QuoteLimitNotMet, QuoteTooCostly, leg_row
from chainwallet.payments.terms import UNSAID, Stated, Terms, make_terms
from chainwallet.settlement.snapshots import SnapshotName, Snapshots

BPS = 10_000
RENEWED_AFTER_S = 20
_EMPTY = Book(version=0, offers=(), inventory_units={})


@dataclass(frozen=True, slots=True)
class PriceRequest:
    """Price a payment from `source` to `target` (currency codes), of which exactly one amount is fixed.

    `limit` bounds the other one: the most that may leave, or the least that must arrive. `lifetime_s` is how long the
    quote is to be firm, the longest that is offered where it is None.
    """

    source: str
    target: str
    fixed_source: Money | None = None
    fixed_target: Money | None = None
    limit: Money | None = None
    stated: Stated = UNSAID
    lifetime_s: int | None = None

    @property
    def fixed(self) -> Money:
        """The amount that is fixed. MONEY_INVALID_AMOUNT where neither is."""
        found = self.fixed_source or self.fixed_target
        if found is None:
            raise InvalidAmount("Fix either source_amount or target_amount.")
        return found

    def facts(self, at: datetime) -> Facts:
        """What is known of the payment when it is quoted."""
        return Facts(
            source=self.source,
            target=self.target,
            at=at,
            amount=self.fixed,
            amount_field="target_amount" if self.fixed_source is None else "source_amount",
            payer_country=self.stated.payer_country,
            payee_country=self.stated.payee_country,
            payer_type=self.stated.payer_type,
            purpose=self.stated.purpose,
        )


class Pricer:
    """Prices payments over the latest snapshot of the market; `refresh` takes a new one.

    With `snapshots`, each is committed to before anything is priced on it, and anew every RENEWED_AFTER_S. Mid is that
    of the newest fixing of `rates`; once it is more than `rates_age_max_days` old, nothing is priced.
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
        snapshots: Snapshots | None = None,
        corridors: Corridors | None = None,
    ) -> None:
        self._rates = rates
        self._snapshots = snapshots
        self._corridors = corridors or Corridors()
        self._rates_age_max = None if rates_age_max_days is None else timedelta(days=rates_age_max_days)
        self._database = database
        self._fee_bps = fee_bps
        self._cost_bps_max = cost_bps_max
        self.ttl_s = ttl_s
        self._lock = threading.Lock()
        self._version = 0
        self.view = MarketView(_EMPTY, _EMPTY, _EMPTY)

    def refresh(self) -> None:
        """Take the makers' quotes, and the corridors, as they are in the database now."""
        with self._lock:
            with self._database.transaction() as session:
                self._corridors.refresh(session)
                view = self._see(session, lasting_s=self.ttl_s + OUTLIVES_S)
                if _content(view) == _content(self.view) and not self._is_old(self.view.name):
                    return
                view.name = self._commit_to(session, view.book)
            self._version += 1
            self.view = view

    def look(self, session: Session, *, lasting_s: float) -> MarketView:
        """The market as this transaction sees it, of quotes that are good for so long, for payments accepted in it."""
        view = self._see(session, lasting_s=lasting_s)
        view.name = self._commit_to(session, view.book)
        return view

    def _see(self, session: Session, *, lasting_s: float) -> MarketView:
        mids = MidMarket(self._rates.fixing())
        return view_market(session, self._corridors.map, mids, lasting_s=lasting_s, version=self._version + 1)

    def _commit_to(self, session: Session, book: Book) -> SnapshotName | None:
        return None if self._snapshots is None else self._snapshots.take(session, book)

    def _is_old(self, name: SnapshotName | None) -> bool:
        return name is not None and utc_now() - name.taken_at > timedelta(seconds=RENEWED_AFTER_S)

    def price(self, request: PriceRequest, *, owner_id: str | None = None, view: MarketView | None = None) -> Quote:
        """A firm quote, not yet stored.

        MARKET_NO_ROUTE, MARKET_INSUFFICIENT_LIQUIDITY, MARKET_QUOTES_OFF_MID, MARKET_EXPOSURE_LIMIT,
        MONEY_INVALID_AMOUNT, QUOTE_LIMIT_NOT_MET, QUOTE_TOO_COSTLY, MARKET_RATE_STALE; CORRIDOR_REFUSED with everything
        that its corridor and the market have against it.
        """
        now = utc_now()
        view, corridors = view or self.view, self._corridors.map
        mids = MidMarket(self._fixing(now))
        verdict = corridors.decide(request.facts(now), mids)
        corridor = verdict.corridor
        if corridor is None or verdict.violations:
            raise CorridorRefused([*verdict.violations, *_market_violations(view, request)])
        lifetime_s = min(request.lifetime_s or self.ttl_s, self.ttl_s)
        tariff = corridor.tariff(
            request.source, request.stated.payer_type, mids, lifetime_s=lifetime_s, standard_bps=self._fee_bps
        )
        amounts, expires_at = _amounts(view, request, tariff), now + timedelta(seconds=lifetime_s)
        terms = make_terms(
            corridor,
            tariff,
            request.stated,
            revision=corridors.revision,
            source_units=amounts.source_units,
            now=now,
            firm_until=expires_at,
        )
        return self._quote(request, amounts, view, mids, now=now, expires_at=expires_at, owner_id=owner_id, terms=terms)

    def price_return(self, session: Session, request: PriceRequest) -> Quote:
        """The price at which money goes back: without fee, and by no corridor's rules. Refusals as in `price`.

        On the market as this transaction sees it: nobody waits for an answer to a quote that may be gone by then.
        """
        is_exchanged = request.source != request.target
        now, view = utc_now(), self.look(session, lasting_s=OUTLIVES_S) if is_exchanged else self.view
        mids, tariff = MidMarket(self._fixing(now)), Tariff(request.source, (Tier(0, 0),))
        amounts, expires_at = _amounts(view, request, tariff), now + timedelta(seconds=self.ttl_s)
        return self._quote(request, amounts, view, mids, now=now, expires_at=expires_at, owner_id=None, terms=None)

    def _quote(
        self,
        request: PriceRequest,
        amounts: _Amounts,
        view: MarketView,
        mids: MidMarket,
        *,
        now: datetime,
        expires_at: datetime,
        owner_id: str | None,
        terms: Terms | None,
    ) -> Quote:
        source_units, target_units, fee_units, legs = amounts
        if request.limit is not None:
            _check_limit(request, source_units, target_units)
        name = None if request.source == request.target else view.name
        mid = mids.mid(request.source, request.target)
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
            spread_units=spread_units(legs, request.source, mids.fixing),
            rate=_decimal(target_units, source_units - fee_units),
            mid_rate=_decimal(mid.numerator, mid.denominator),
            cost_bps=cost_bps,
            legs=[leg_row(leg) for leg in legs],
            expires_at=expires_at,
            created_at=now,
            market_root=None if name is None else name.root,
            market_taken_at=None if name is None else name.taken_at,
            terms=terms,
        )

    def _fixing(self, now: datetime) -> Fixing:
        fixing = self._rates.fixing()
        if self._rates_age_max is not None and now.date() - fixing.date > self._rates_age_max:
            raise MarketRateStale(
                f"The reference rates are of {fixing.date}; nothing is quoted until newer ones arrive."
            )
        return fixing

    def _is_more_than_rounding(
        self, request: PriceRequest, source_units: int, target_units: int, mid: Fraction
    ) -> bool:
        """Whether a loss is above the limit by more than whole cents make of tiny amounts: fee, source and target."""
        cents = 2 * currency(request.source).minor_units + currency(request.target).minor_units / mid
        return source_units - target_units / mid > Fraction(source_units * self._cost_bps_max, BPS) + cents


class _Amounts(NamedTuple):
    source_units: int
    target_units: int
    fee_units: int
    legs: Sequence[Leg]


def _amounts(view: MarketView, request: PriceRequest, tariff: Tariff) -> _Amounts:
    return (_to_target if request.fixed_source is None else _from_source)(view, request, tariff)


def _from_source(view: MarketView, request: PriceRequest, tariff: Tariff) -> _Amounts:
    source_units = request.fixed.units
    fee_units = tariff.fee(source_units)
    if fee_units >= source_units:
        raise InvalidAmount("The amount does not cover the fee; send more.")
    route = view.route_from_source(request.source, request.target, source_units - fee_units)
    target_units = quantise_down(route.target_units, request.target)
    if target_units == 0:
        raise InvalidAmount(f"The amount is too small to arrive in {request.target}; send more.")
    return _Amounts(source_units, target_units, fee_units, route.legs)


def _to_target(view: MarketView, request: PriceRequest, tariff: Tariff) -> _Amounts:
    target_units = request.fixed.units
    route = view.route_to_target(request.source, request.target, target_units)
    net_units = quantise_up(route.source_units, request.source)
    fee_units = tariff.fee_on_top(net_units)
    return _Amounts(net_units + fee_units, target_units, fee_units, route.legs)


def _market_violations(view: MarketView, request: PriceRequest) -> list[Violation]:
    """What the market has against a payment that is refused anyway: so that its payer learns all of it at once."""
    try:
        if request.fixed_source is not None:
            view.route_from_source(request.source, request.target, request.fixed_source.units)
        else:
            view.route_to_target(request.source, request.target, request.fixed.units)
    except ChainwalletError as refusal:
        return [Violation(refusal.code, "source_amount" if request.fixed_source else "target_amount", refusal.detail)]
    return []


def _content(view: MarketView) -> tuple[object, ...]:
    """What makes prices different."""
    return view.book.offers, view.book.inventory_units, view.live.offers


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
