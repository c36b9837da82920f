"""Who gets what netting saves: never more than it saved, the same for everyone, whatever the batch."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chainwallet.market.gain import BPS, Charged, GainRule, share_gain
from chainwallet.market.model import Leg

CODES = ("AAA", "BBB", "CCC")
WEIGHTS = st.fixed_dictionaries(
    {code: st.fractions(Fraction(1, 10**6), 10**6).filter(lambda weight: weight > 0) for code in CODES}
)
UNITS = st.integers(0, 10**15)
PAYMENTS = st.lists(st.tuples(st.sampled_from(CODES), UNITS, UNITS), max_size=8).map(
    lambda rows: [Charged(f"p{number}", *row) for number, row in enumerate(rows)]
)
FILLS = st.lists(
    st.tuples(st.sampled_from(CODES), st.integers(1, 10**15), st.sampled_from(CODES), st.integers(1, 10**15)),
    max_size=5,
).map(
    lambda rows: [
        Leg(f"q{number}", f"m{number % 2}", sell, sold, buy, bought)
        for number, (sell, sold, buy, bought) in enumerate(rows)
        if sell != buy
    ]
)
SURPLUS = st.dictionaries(st.sampled_from(CODES), st.integers(0, 10**17))
RULES = st.tuples(st.integers(0, BPS), st.integers(0, BPS)).map(
    lambda parts: GainRule(parts[0], min(parts[1], BPS - parts[0]))
)


@given(PAYMENTS, FILLS, SURPLUS, WEIGHTS, RULES, st.booleans())
def test_shares__any_batch__are_within_gain_surplus_and_spread(
    charged: list[Charged],
    fills: list[Leg],
    surplus: dict[str, int],
    weights: dict[str, Fraction],
    rule: GainRule,
    within: bool,
) -> None:
    gain = share_gain(charged, fills, surplus, weights, rule, within_surplus=within)
    source, bought = {one.id: one.source for one in charged}, {leg.offer_id: leg.buy for leg in fills}
    customers = sum((units * weights[source[name]] for name, units in gain.payments.items()), Fraction(0))
    makers = sum((units * weights[bought[name]] for name, units in gain.offers.items()), Fraction(0))
    fees = sum(one.fee_units * weights[one.source] for one in charged)
    assert customers * BPS <= gain.value * rule.customers_bps
    assert makers * BPS <= gain.value * rule.makers_bps
    assert customers + makers <= max(0, sum(units * weights[code] for code, units in surplus.items()) - fees)
    for one in charged:
        assert gain.payments.get(one.id, 0) <= one.spread_units, "nobody gets more back than it was charged"
    if within:
        taken = Counter(gain.wanted_units(charged, fills))
        assert all(units <= surplus.get(code, 0) for code, units in taken.items())
    assert all(units > 0 for units in (*gain.payments.values(), *gain.offers.values()))


@given(PAYMENTS, FILLS, SURPLUS, WEIGHTS, RULES, st.integers(0, 2**32))
def test_shares__batch_in_another_sequence__are_the_same(
    charged: list[Charged],
    fills: list[Leg],
    surplus: dict[str, int],
    weights: dict[str, Fraction],
    rule: GainRule,
    seed: int,
) -> None:
    shuffled, other = list(charged), list(fills)
    random.Random(seed).shuffle(shuffled)
    random.Random(seed + 1).shuffle(other)
    assert share_gain(charged, fills, surplus, weights, rule) == share_gain(shuffled, other, surplus, weights, rule)


@given(PAYMENTS, FILLS, SURPLUS, WEIGHTS, RULES)
def test_shares__everyone_in_a_batch__gets_the_same_part_of_its_spread(
    charged: list[Charged], fills: list[Leg], surplus: dict[str, int], weights: dict[str, Fraction], rule: GainRule
) -> None:
    gain = share_gain(charged, fills, surplus, weights, rule)
    for one in charged:
        for other in charged:
            mine, theirs = gain.payments.get(one.id, 0), gain.payments.get(other.id, 0)
            # mine = floor(f * my spread), theirs = floor(f * their spread), for one f
            assert mine * other.spread_units < (theirs + 1) * one.spread_units or mine == 0


@given(PAYMENTS.filter(bool), FILLS, SURPLUS, WEIGHTS, RULES, st.data())
def test_shares__payment_split_in_two__gains_nothing(
    charged: list[Charged],
    fills: list[Leg],
    surplus: dict[str, int],
    weights: dict[str, Fraction],
    rule: GainRule,
    data: st.DataObject,
) -> None:
    whole, *others = charged
    spread, fee = data.draw(st.integers(0, whole.spread_units)), data.draw(st.integers(0, whole.fee_units))
    first = replace(whole, id="first", spread_units=spread, fee_units=fee)
    second = replace(whole, id="second", spread_units=whole.spread_units - spread, fee_units=whole.fee_units - fee)
    split = share_gain([first, second, *others], fills, surplus, weights, rule).payments
    assert split.get("first", 0) + split.get("second", 0) <= share_gain(
        charged, fills, surplus, weights, rule
    ).payments.get(whole.id, 0)


@given(PAYMENTS, FILLS, SURPLUS, WEIGHTS, RULES, st.integers(1, 10**12))
def test_shares__below_the_least__stay_and_change_nobody_elses(
    charged: list[Charged],
    fills: list[Leg],
    surplus: dict[str, int],
    weights: dict[str, Fraction],
    rule: GainRule,
    least: int,
) -> None:
    free = share_gain(charged, fills, surplus, weights, rule)
    strict = share_gain(charged, fills, surplus, weights, replace(rule, least_units=lambda _: least))
    assert strict.payments == {name: units for name, units in free.payments.items() if units >= least}
