"""What a maker earned: its fills at the mid of their day, and what it got for them at the mid of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from chainwallet.market.errors import MarketNoMid
from chainwallet.market.rates import MidMarket
from chainwallet.settlement.fills import DaysFlow

MidOn = Callable[[date], MidMarket | None]
"""The mid-market of a day, None where the books have none that old."""


@dataclass(frozen=True, slots=True)
class CurrencyResult:
    """One currency, in units: what was bought and sold of it, and what the net of it is worth now."""

    currency: str
    bought_units: int
    sold_units: int
    marked_units: int

    @property
    def net_units(self) -> int:
        return self.bought_units - self.sold_units


@dataclass(frozen=True, slots=True)
class Profit:
    """In units of `currency`, rounded down by currency and day.

    `realised_units`: what was bought less what was sold, at mid of the day it settled; the spread that was earned.
    `marked_units`: the same at mid now; what it is worth, whatever rates have done since. `unpriced_fills`: fills that
    sold a currency without a mid on their day.
    """

    currency: str
    realised_units: int
    marked_units: int
    fills: int
    unpriced_fills: int
    results: tuple[CurrencyResult, ...]


def profit_of(flows: Iterable[DaysFlow], *, currency: str, mid_on: MidOn, now: MidMarket) -> Profit:
    """What these flows earned. MARKET_NO_MID where there is no mid now for `currency` itself."""
    flows = list(flows)
    bought: Counter[str] = Counter()
    sold: Counter[str] = Counter()
    realised_units, unpriced = 0, 0
    for flow in flows:
        worth = _worth(mid_on(flow.day), flow.bought_units - flow.sold_units, flow.currency, currency)
        realised_units += worth or 0
        unpriced += flow.fills if worth is None else 0
        bought[flow.currency] += flow.bought_units
        sold[flow.currency] += flow.sold_units
    now.mid(currency, currency)
    results = tuple(
        CurrencyResult(code, bought[code], sold[code], _worth(now, bought[code] - sold[code], code, currency) or 0)
        for code in sorted(bought | sold)
    )
    marked_units = sum(result.marked_units for result in results)
    return Profit(currency, realised_units, marked_units, sum(flow.fills for flow in flows), unpriced, results)


def _worth(mids: MidMarket | None, units: int, code: str, in_code: str) -> int | None:
    try:
        return None if mids is None else mids.value_units(units, code, in_code)
    except MarketNoMid:
        return None
