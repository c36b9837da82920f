"""The gain of a batch: the documented example, and the second clearing that keeps back what is shared."""

from __future__ import annotations

from collections import Counter
from datetime import date
from fractions import Fraction

import pytest
from tests.unit.market.worlds import one_way

from chainwallet.market.clearing import clear
from chainwallet.market.gain import NO_GAIN, Charged, GainRule, keep_for_shares, share_gain, spread_units
from chainwallet.market.imbalance import net_units
from chainwallet.market.model import Book, Clearing, Leg, OrderFlow
from chainwallet.market.rates import Fixing, MidMarket

UNIT = 10**6
FIXING = Fixing(date(2026, 10, 30), {"EUR": Fraction(1), "USD": Fraction(108, 100), "GBP": Fraction(8, 10)})
MIDS = MidMarket(FIXING)
RULE = GainRule(5_000, 2_000)


def test_share_gain__documented_example__is_half_of_each_spread() -> None:
    charged = [Charged("there", "EUR", 80 * UNIT, 100 * UNIT), Charged("back", "USD", 86_400_000, 108 * UNIT)]
    surplus = {"EUR": 180 * UNIT, "USD": 194_400_000}
    gain = share_gain(charged, [], surplus, MIDS.weights(), RULE)
    assert gain.value == 160 * UNIT
    assert gain.payments == {"there": 40 * UNIT, "back": 43_200_000}
    assert gain.offers == {}


def test_share_gain__makers_earned_on_a_rest__get_their_part_by_what_they_filled() -> None:
    charged = [Charged("there", "EUR", 80 * UNIT, 0), Charged("back", "USD", 86_400_000, 0)]
    fills = [
        Leg("a", "A", "USD", 108_000 * UNIT, "EUR", 100_020 * UNIT),
        Leg("b", "B", "USD", 54_000 * UNIT, "EUR", 50_020 * UNIT),
    ]
    surplus = {"EUR": 80 * UNIT, "USD": 43_200_000}
    gain = share_gain(charged, fills, surplus, MIDS.weights(), RULE)
    assert gain.value == 120 * UNIT
    assert gain.payments == {"there": 30 * UNIT, "back": 32_400_000}
    assert gain.offers == {"a": 16 * UNIT, "b": 8 * UNIT}


def test_share_gain__too_little_in_a_currency__scales_everyone_alike() -> None:
    charged = [Charged("there", "EUR", 80 * UNIT, 0), Charged("back", "USD", 86_400_000, 0)]
    surplus = {"EUR": 10 * UNIT, "USD": 162 * UNIT}
    gain = share_gain(charged, [], surplus, MIDS.weights(), RULE)
    assert gain.payments == {"there": 10 * UNIT, "back": 10_800_000}


@pytest.mark.parametrize(
    ("spread", "surplus"), [(0, 100), (50, 0), (50, 20)], ids=["no spread", "nothing left", "only the fee left"]
)
def test_share_gain__nothing_saved__nobody_gets_anything(spread: int, surplus: int) -> None:
    charged = [Charged("one", "EUR", spread, 20)]
    assert share_gain(charged, [], {"EUR": surplus}, MIDS.weights(), RULE) == NO_GAIN


def test_spread_units__legs_at_mid__is_what_makers_earn() -> None:
    legs = [Leg("a", "A", "USD", 108 * UNIT, "EUR", 101 * UNIT), Leg("b", "B", "EUR", UNIT, "USD", UNIT)]
    assert spread_units(legs[:1], "EUR", FIXING) == UNIT
    assert spread_units(legs[1:], "USD", FIXING) == 0, "a maker that gives more than it gets charges nothing"
    assert spread_units([Leg("a", "A", "XXX", 1, "EUR", 1)], "EUR", FIXING) == 0


def test_rule__more_than_the_gain__refused() -> None:
    with pytest.raises(ValueError, match="at most 10,000"):
        GainRule(8_000, 2_001)


# Euros are left over and all sold for the dollars that lack; what remains is in dollars.
BOOK = one_way(("usd", "USD", "EUR", 10_000 * UNIT, 9_270 * UNIT))
FLOWS = [
    OrderFlow("there", "EUR", 1_001 * UNIT, "USD", 1_080 * UNIT),
    OrderFlow("back", "USD", 541 * UNIT, "EUR", 500 * UNIT),
]
CHARGED = [Charged("there", "EUR", UNIT, 0), Charged("back", "USD", UNIT, 0)]


def shared(book: Book) -> tuple[Clearing, dict[str, int]]:
    cleared, gain = keep_for_shares(book, FLOWS, clear(book, FLOWS, MIDS), CHARGED, MIDS, RULE)
    return cleared, gain.wanted_units(CHARGED, cleared.fills)


def test_keep_for_shares__any_clearing__is_exact_and_leaves_over_what_is_shared() -> None:
    cleared, wanted = shared(BOOK)
    left = Counter(net_units(FLOWS))
    for fill in cleared.fills:
        left[fill.sell] += fill.sold_units
        left[fill.buy] -= fill.bought_units
    assert {code: units for code, units in left.items() if units} == dict(cleared.surplus_units)
    assert cleared.settled == ("there", "back")
    assert wanted
    assert all(units <= cleared.surplus_units.get(code, 0) for code, units in wanted.items())


def test_keep_for_shares__no_mid_for_a_currency__the_treasury_has_it_all() -> None:
    mids = MidMarket(Fixing(date(2026, 10, 30), {"EUR": Fraction(1)}))
    cleared = clear(BOOK, FLOWS, MIDS)
    assert keep_for_shares(BOOK, FLOWS, cleared, CHARGED, mids, RULE) == (cleared, NO_GAIN)
