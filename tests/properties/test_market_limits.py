"""Risk in the price: quotes far from mid are not used, and no promise goes beyond a limit."""

from __future__ import annotations

from collections import Counter
from datetime import date
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwallet.controls.exposure import ExposureLimits
from chainwallet.kit.money import Money
from chainwallet.market.model import Book, Offer
from chainwallet.market.prudence import near_mid, within_stock
from chainwallet.market.rates import Fixing, MidMarket

RATES = {"EUR": Fraction(1), "USD": Fraction(11, 10), "JPY": Fraction(160)}
MIDS = MidMarket(Fixing(date(2026, 11, 20), RATES))
CODES, MAKERS = (*RATES, "XAU"), ("m1", "m2", "m3")  # the fixing lacks the last


@st.composite
def offers(draw: st.DrawFn) -> tuple[Offer, ...]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        sell, buy = draw(st.permutations(CODES))[:2]
        sell_units = draw(st.integers(1, 10**12))
        mid = RATES.get(buy, Fraction(1)) / RATES.get(sell, Fraction(1))
        price = max(1, int(sell_units * mid * draw(st.integers(8_000, 12_000)) / 10_000))
        found.append(Offer(f"o{number}", draw(st.sampled_from(MAKERS)), sell, buy, sell_units, price, sell_units))
    return tuple(found)


@settings(deadline=None)
@given(offers(), st.integers(1, 3_000))
def test_near_mid__keeps_exactly_what_is_near(found: tuple[Offer, ...], bps: int) -> None:
    book = Book(version=1, offers=found, inventory_units={})
    wanted = [
        offer
        for offer in found
        if {offer.sell, offer.buy} <= set(RATES)
        and abs(Fraction(offer.buy_units, offer.sell_units_max) / MIDS.mid(offer.sell, offer.buy) - 1)
        <= Fraction(bps, 10_000)
    ]
    assert list(near_mid(book, MIDS, deviation_bps_max=bps).offers) == wanted


keys = st.tuples(st.sampled_from(MAKERS), st.sampled_from(tuple(RATES)))
promises = st.dictionaries(keys, st.integers(1, 10**10), max_size=6)
limits = st.builds(
    ExposureLimits,
    st.dictionaries(
        st.sampled_from(tuple(RATES)), st.builds(Money, st.sampled_from(tuple(RATES)), st.integers(1, 10**10))
    ),
    st.dictionaries(
        st.sampled_from((*MAKERS, "*")), st.builds(Money, st.sampled_from(tuple(RATES)), st.integers(1, 10**10))
    ),
)


def worth(promised: dict[tuple[str, str], int], code: str) -> Fraction:
    return sum((units * MIDS.mid(held, code) for (_, held), units in promised.items()), Fraction(0))


def is_within(found: ExposureLimits, promised: Counter[tuple[str, str]]) -> bool:
    """The limits read aloud."""
    for maker in MAKERS:
        limit = found.by_maker.get(maker, found.by_maker.get("*"))
        mine = {key: units for key, units in promised.items() if key[0] == maker}
        if limit is not None and worth(mine, limit.code) > limit.units:
            return False
    for code, limit in found.by_currency.items():
        if worth({key: units for key, units in promised.items() if key[1] == code}, limit.code) > limit.units:
            return False
    return True


@settings(deadline=None)
@given(limits, st.lists(promises, max_size=8))
def test_promises__one_after_another__never_exceed_a_limit(
    found: ExposureLimits, asked: list[dict[tuple[str, str], int]]
) -> None:
    promised: Counter[tuple[str, str]] = Counter()
    for more in asked:
        together = promised + Counter(more)
        assert (found.first_exceeded(more, promised, MIDS) is None) == is_within(found, together)
        if is_within(found, together):
            promised = together
    assert is_within(found, promised)


@settings(deadline=None)
@given(limits, promises, keys)
def test_left_units__is_the_most_that_may_still_be_promised(
    found: ExposureLimits, promised: dict[tuple[str, str], int], key: tuple[str, str]
) -> None:
    left = found.left_units([key], promised, MIDS).get(key)
    if left is None:
        assert found.first_exceeded({key: 10**30}, promised, MIDS) is None, "no limit, whatever the amount"
        return
    assert left == 0 or found.first_exceeded({key: left}, promised, MIDS) is None
    assert found.first_exceeded({key: left + 1}, promised, MIDS) is not None
    book = Book(version=1, offers=(), inventory_units={key: 10**9})
    assert within_stock(book, {key: left}).inventory_units[key] == min(left, 10**9)
