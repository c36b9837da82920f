"""The reference maker's arithmetic: no loop of its prices gains, roundings are its own, inventory bounds it."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chainwallet.entrypoints.maker.quoting import (
    BPS,
    LevelTerms,
    Style,
    has_drifted,
    make_ladder,
    skewed_worths,
    units_worth,
)
from chainwallet.kit.money import currency

CODES = ("EUR", "USD", "JPY", "BHD")  # two, two, no and three minor digits
worths = st.fixed_dictionaries(
    {code: st.fractions(Fraction(1, 10_000), 10_000).filter(lambda worth: worth > 0) for code in CODES}
)
inventories = st.fixed_dictionaries({code: st.integers(0, 10**15) for code in CODES})
stocked = st.fixed_dictionaries({code: st.integers(10**6, 10**15) for code in CODES})
styles = st.builds(
    Style,
    spread_bps=st.fractions(0, 500, max_denominator=100),
    levels=st.integers(1, 6),
    skew_bps=st.fractions(0, 2_000, max_denominator=100),
)
sizes = st.integers(1, 10**13)
loops = st.lists(st.sampled_from(CODES), min_size=2, max_size=4, unique=True)


@given(worths, stocked, styles, st.integers(10**6, 10**13), loops)
def test_ladders__in_any_loop__give_back_no_more_than_they_take(
    mid: dict[str, Fraction], has: dict[str, int], style: Style, size: int, loop: list[str]
) -> None:
    mine = skewed_worths(mid, has, style.skew_bps)
    paid = Fraction(1)
    for sell, buy in zip(loop, [*loop[1:], loop[0]], strict=True):
        ladder = make_ladder(sell, buy, mine, style, size_units=size, inventory_units=has[sell])
        paid *= min(level.price for level in ladder)
    assert paid >= (1 + style.spread_bps / BPS) ** len(loop), "the spread is paid at each step"


@given(worths, inventories, styles, sizes, st.permutations(CODES))
def test_ladder__is_rounded_in_its_makers_favour_and_sells_what_it_has(
    mid: dict[str, Fraction], has: dict[str, int], style: Style, size: int, codes: list[str]
) -> None:
    sell, buy = codes[:2]
    ladder = make_ladder(sell, buy, mid, style, size_units=size, inventory_units=has[sell])
    assert sum(level.sell_units for level in ladder) <= has[sell]
    assert len(ladder) <= style.levels
    for place, level in enumerate(ladder):
        assert 0 < level.sell_units <= size << place
        assert level.sell_units % currency(sell).minor_units == level.buy_units % currency(buy).minor_units == 0
        exact = level.sell_units * mid[sell] / mid[buy] * (1 + style.spread_bps * (2 + place) / (2 * BPS))
        assert 0 <= level.buy_units - exact < currency(buy).minor_units


@given(worths, inventories, styles, st.sampled_from(CODES), st.integers(1, 10**15))
def test_skew__more_of_a_currency__makes_it_cheaper_in_every_other(
    mid: dict[str, Fraction], has: dict[str, int], style: Style, code: str, more: int
) -> None:
    before = skewed_worths(mid, has, style.skew_bps)
    after = skewed_worths(mid, has | {code: has[code] + more}, style.skew_bps)
    assume(any(has.values()))  # nothing at all is nobody's excess
    for other in set(CODES) - {code}:
        assert after[code] / after[other] <= before[code] / before[other]


@given(worths, inventories, styles)
def test_skew__stays_within_its_bounds__and_even_stock_has_none(
    mid: dict[str, Fraction], has: dict[str, int], style: Style
) -> None:
    for code, worth in skewed_worths(mid, has, style.skew_bps).items():
        assert abs(worth / mid[code] - 1) <= style.skew_bps / BPS
    even = {code: int(10**9 / mid[code]) if (10**9 / mid[code]).denominator == 1 else 0 for code in CODES}
    if all(even.values()):
        assert skewed_worths(mid, even, style.skew_bps) == mid


@given(worths, styles, sizes, st.fractions(-100, 100, max_denominator=100))
def test_drift__is_noticed_beyond_its_limit_only(
    mid: dict[str, Fraction], style: Style, size: int, moved_bps: Fraction
) -> None:
    posted = make_ladder("EUR", "USD", mid, style, size_units=size, inventory_units=10**15)
    scaled = tuple(LevelTerms(one.sell_units, one.buy_units + 1) for one in posted)
    assert not has_drifted(posted, posted, Fraction(0))
    if posted:
        assert has_drifted(posted, scaled, Fraction(0))
        assert has_drifted(posted, posted[:-1], Fraction(BPS))
    moved = mid | {"EUR": mid["EUR"] * (1 + moved_bps / BPS)}
    fresh = make_ladder("EUR", "USD", moved, style, size_units=size, inventory_units=10**15)
    cents = sum((Fraction(10_000 * BPS, one.buy_units) for one in posted), Fraction(0))
    assert not has_drifted(posted, fresh, abs(moved_bps) + cents)


def test_sizes__are_worth_the_same_in_every_currency() -> None:
    mid = {"EUR": Fraction(1), "JPY": Fraction(1, 160), "USD": Fraction(10, 11)}
    found = {code: units_worth(1_000_000_000, code, mid) for code in mid}
    assert found == {"EUR": 1_000_000_000, "JPY": 160_000_000_000, "USD": 1_100_000_000}


@pytest.mark.parametrize(
    ("spread", "levels", "skew"), itertools.chain([(-1, 1, 0), (0, 0, 0), (0, 1, -1), (0, 1, BPS)])
)
def test_style__that_makes_no_sense__is_refused(spread: int, levels: int, skew: int) -> None:
    with pytest.raises(ValueError, match="style"):
        Style(Fraction(spread), levels, Fraction(skew))
