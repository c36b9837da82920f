"""Mid-market prices: a day's fixing, exact, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Protocol

from chainwallet.market.errors import MarketNoMid


@dataclass(frozen=True, slots=True)
class Fixing:
    """The reference rates of one day: units of each currency per EUR, as published; EUR itself is 1."""

    date: date
    rates: Mapping[str, Fraction]

    def __post_init__(self) -> None:
        if self.rates.get("EUR") != 1 or min(self.rates.values()) <= 0:
            raise ValueError("a fixing holds EUR at exactly 1 and every rate above zero")


class RateSource(Protocol):
    """Where fixings come from."""

    def fixing(self, on: date | None = None) -> Fixing:
        """The newest fixing, or the last one published on or before `on`."""
        ...


@dataclass(frozen=True, slots=True)
class MidMarket:
    """The price halfway between buying and selling, from one fixing by cross rates; no spread, exact."""

    fixing: Fixing

    def mid(self, source: str, target: str) -> Fraction:
        """Units of `target` per unit of `source`; MarketNoMid when the fixing lacks either."""
        return self._rate(target) / self._rate(source)

    def value_units(self, units: int, code: str, in_code: str) -> int:
        """What `units` of `code` are worth in `in_code`, in units, rounded down."""
        source, target = self._rate(code), self._rate(in_code)
        return units * target.numerator * source.denominator // (target.denominator * source.numerator)

    def weights(self, in_code: str = "EUR") -> dict[str, Fraction]:
        """What one unit of each currency is worth, in units of `in_code`: the weights of the programme."""
        target = self._rate(in_code)
        return {code: target / rate for code, rate in self.fixing.rates.items()}

    def _rate(self, code: str) -> Fraction:
        rate = self.fixing.rates.get(code)
        if rate is None:
            raise MarketNoMid(
                f"The fixing of {self.fixing.date.isoformat()} has no rate for {code}; use a currency it lists.",
                currency=code,
            )
        return rate
