"""What to quote: mid, moved by inventory, a spread around it, in levels that the inventory can fill. Exact and pure.

Inventory moves what a *currency* is worth to the maker, not what a pair costs: whatever it quotes in whatever pairs,
its prices are the ratios of one set of worths, spread apart, so no loop through them gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from chainwallet.kit.money import quantise_down, quantise_up

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Style:
    """How to quote. Each level is twice as large as the one before and half of `spread_bps` farther from mid.

    `skew_bps`: how far a currency's worth is moved when the maker has none of it, or twice its share or more.
    """

    spread_bps: Fraction
    levels: int
    skew_bps: Fraction

    def __post_init__(self) -> None:
        if self.spread_bps < 0 or self.levels < 1 or not 0 <= self.skew_bps < BPS:
            raise ValueError("a style has no negative spread, one level or more, and a skew below 10,000 bps")


@dataclass(frozen=True, slots=True)
class LevelTerms:
    """Up to `sell_units` for `buy_units`, whole minor units of either currency."""

    sell_units: int
    buy_units: int

    @property
    def price(self) -> Fraction:
        """Of one unit that is sold."""
        return Fraction(self.buy_units, self.sell_units)


def skewed_worths(
    worths: Mapping[str, Fraction], inventory_units: Mapping[str, int], skew_bps: Fraction
) -> dict[str, Fraction]:
    """What each currency is worth to a maker that wants as much worth in each: less of what it has too much of.

    `worths` is what one unit is worth at mid, in any one currency; so is the answer.
    """
    values = {code: worth * inventory_units.get(code, 0) for code, worth in worths.items()}
    share = sum(values.values(), Fraction(0)) / len(values) if values else Fraction(0)
    return {code: worth * (1 - skew_bps / BPS * _excess(values[code], share)) for code, worth in worths.items()}


def _excess(value: Fraction, share: Fraction) -> Fraction:
    """From -1, none of it, over 0, its share, to 1, twice its share or more."""
    return min((value - share) / share, Fraction(1)) if share else Fraction(0)


def make_ladder(
    sell: str, buy: str, worths: Mapping[str, Fraction], style: Style, *, size_units: int, inventory_units: int
) -> tuple[LevelTerms, ...]:
    """Levels that sell no more than `inventory_units` together; the first one `size_units`, rounded down.

    What is asked for is rounded up to whole minor units of `buy`. Empty where the inventory is.
    """
    mid = worths[sell] / worths[buy]
    left, levels = inventory_units, []
    for place in range(style.levels):
        sold = quantise_down(min(size_units << place, left), sell)
        if sold <= 0:
            break
        asked = sold * mid * (1 + style.spread_bps * (2 + place) / (2 * BPS))
        levels.append(LevelTerms(sold, quantise_up(-(-asked.numerator // asked.denominator), buy)))
        left -= sold
    return tuple(levels)


def has_drifted(posted: tuple[LevelTerms, ...], fresh: tuple[LevelTerms, ...], drift_bps: Fraction) -> bool:
    """Whether what is quoted is no longer what should be: other sizes, or a price that moved by more than that."""
    if [level.sell_units for level in posted] != [level.sell_units for level in fresh]:
        return True
    return any(abs(new.price - old.price) * BPS > drift_bps * old.price for old, new in zip(posted, fresh, strict=True))


def units_worth(worth_units: int, code: str, worths: Mapping[str, Fraction]) -> int:
    """How many units of `code` are worth that many of the currency that `worths` are in, rounded down."""
    exact = worth_units / worths[code]
    return quantise_down(exact.numerator // exact.denominator, code)
