"""The makers' quotes as prices may use them: near mid, and within the limits of exposure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from sqlmodel import Session

from chainwallet.controls.corridors.decisions import CorridorMap
from chainwallet.controls.exposure import promised_units
from chainwallet.market.errors import (
    MarketExposureLimit,
    MarketInsufficientLiquidity,
    MarketNoRoute,
    MarketQuotesOffMid,
)
from chainwallet.market.model import Book, Route
from chainwallet.market.prudence import near_mid, within_stock
from chainwallet.market.rates import MidMarket
from chainwallet.market.routing import Router
from chainwallet.settlement.makers import live_book
from chainwallet.settlement.snapshots import SnapshotName


@dataclass
class MarketView:
    """Routes over `book`. What cannot be routed there, but could be over quotes that were left out, is told so.

    `live` is what makers quote, `sane` what of it is near mid, `book` what of that the limits leave. `name` is of the
    snapshot that commits to `book`.
    """

    live: Book
    sane: Book
    book: Book
    name: SnapshotName | None = None
    off_mid: int = field(init=False)

    def __post_init__(self) -> None:
        self.off_mid = len(self.live.offers) - len(self.sane.offers)
        self._router = Router(self.book)

    def route_from_source(self, source: str, target: str, units: int) -> Route:
        """As Router's; MARKET_QUOTES_OFF_MID, MARKET_EXPOSURE_LIMIT where that is why."""
        return self._explained(lambda router: router.route_from_source(source, target, units))

    def route_to_target(self, source: str, target: str, units: int) -> Route:
        """As Router's; MARKET_QUOTES_OFF_MID, MARKET_EXPOSURE_LIMIT where that is why."""
        return self._explained(lambda router: router.route_to_target(source, target, units))

    def _explained(self, route: Callable[[Router], Route]) -> Route:
        try:
            return route(self._router)
        except (MarketNoRoute, MarketInsufficientLiquidity):
            if self.book is not self.sane and _finds(route, self._unlimited):
                raise MarketExposureLimit(
                    "The makers who could do this have promised as much as they may; try again when it is settled."
                ) from None
            if self.off_mid and _finds(route, self._unchecked):
                raise MarketQuotesOffMid(
                    "The only quotes for this lie too far from mid to be used; try again later."
                ) from None
            raise

    @cached_property
    def _unlimited(self) -> Router:
        return Router(self.sane)

    @cached_property
    def _unchecked(self) -> Router:
        return Router(self.live)


def _finds(route: Callable[[Router], Route], router: Router) -> bool:
    try:
        route(router)
    except (MarketNoRoute, MarketInsufficientLiquidity):
        return False
    return True


def view_market(
    session: Session, corridors: CorridorMap, mids: MidMarket, *, lasting_s: float, version: int = 0
) -> MarketView:
    """What makers sell now, as far as it may be used."""
    live = live_book(session, lasting_s=lasting_s, version=version)
    sane = near_mid(live, mids, deviation_bps_max=corridors.data.risk.maker_deviation_bps_max)
    limits = corridors.exposure
    left = limits.left_units(sane.inventory_units, promised_units(session), mids) if limits else {}
    return MarketView(live, sane, within_stock(sane, left))
