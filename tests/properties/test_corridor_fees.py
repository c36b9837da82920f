"""Fees are exact: they add up, never fall as the amount grows, and never grow faster than it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwallet.controls.corridors.fees import PPM, Tariff, Tier
from chainwallet.controls.corridors.lifetime import lifetime_ppm
from chainwallet.kit.money import currency, mul_div_up, quantise_up

CODES = ("EUR", "JPY", "TND")  # two, no and three decimals
rates = st.integers(min_value=0, max_value=60_000)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    starts = sorted(draw(st.sets(st.integers(min_value=1, max_value=10**13), max_size=4)))
    minimum = draw(st.integers(min_value=0, max_value=10**9))
    return Tariff(
        code=draw(st.sampled_from(CODES)),
        tiers=tuple(Tier(start, draw(rates)) for start in (0, *starts)),
        flat_units=draw(st.integers(min_value=0, max_value=10**8)),
        minimum_units=minimum,
        maximum_units=draw(st.none() | st.integers(min_value=minimum, max_value=10**11)),
        partner_flat_units=draw(st.integers(min_value=0, max_value=10**8)),
        partner_ppm=draw(rates),
        lifetime_ppm=draw(st.integers(min_value=0, max_value=1_000)),
    )


amounts = st.integers(min_value=0, max_value=10**18)


def exact_fee(tariff: Tariff, units: int) -> Fraction:
    """The schedule read aloud, in fractions: an implementation of its own."""
    own = Fraction(tariff.flat_units)
    ends = [tier.above_units for tier in tariff.tiers[1:]] + [units]
    for tier, end in zip(tariff.tiers, ends, strict=True):
        own += Fraction(max(0, min(end, units) - tier.above_units) * tier.rate_ppm, PPM)
    own = max(own, Fraction(tariff.minimum_units))
    own = own if tariff.maximum_units is None else min(own, Fraction(tariff.maximum_units))
    return own + tariff.partner_flat_units + Fraction(units * (tariff.partner_ppm + tariff.lifetime_ppm), PPM)


@settings(deadline=None)
@given(tariffs(), amounts)
def test_fee__is_the_schedules_rounded_up_to_the_minor_unit(tariff: Tariff, units: int) -> None:
    minor = currency(tariff.code).minor_units
    fee = tariff.fee(units)
    assert fee % minor == 0
    assert 0 <= fee - exact_fee(tariff, units) < minor, "rounded up, by less than a minor unit"


@settings(deadline=None)
@given(tariffs(), amounts, st.integers(min_value=0, max_value=10**12))
def test_more__never_costs_less_and_never_nets_less(tariff: Tariff, units: int, more: int) -> None:
    minor = currency(tariff.code).minor_units
    units, more = units // minor * minor, more // minor * minor
    fee, fee_of_more = tariff.fee(units), tariff.fee(units + more)
    assert fee_of_more >= fee, "who sends more pays no less"
    assert fee_of_more - fee <= more, "and no less arrives"


@settings(deadline=None)
@given(tariffs(), amounts)
def test_items__add_up_to_the_fee(tariff: Tariff, units: int) -> None:
    items = tariff.items(units)
    assert sum(item.units for item in items) == tariff.fee(units)
    assert all(item.units >= 0 for item in items if item.kind != "maximum")


@settings(deadline=None)
@given(tariffs(), amounts)
def test_fee_on_top__is_the_least_that_leaves_the_amount(tariff: Tariff, units: int) -> None:
    minor = currency(tariff.code).minor_units
    net = units // minor * minor
    fee = tariff.fee_on_top(net)
    assert tariff.fee(net + fee) == fee, "it is the fee of what is sent"
    assert fee == 0 or tariff.fee(net + fee - minor) > fee - minor, "and one minor unit less would not be enough"


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=1_000), st.sampled_from(CODES), amounts)
def test_flat_rate__is_what_the_setting_always_took(bps: int, code: str, units: int) -> None:
    """The formulas from before there were schedules."""
    tariff = Tariff(code=code, tiers=(Tier(0, bps * 100),))
    minor = currency(code).minor_units
    net = units // minor * minor
    assert tariff.fee(units) == quantise_up(mul_div_up(units, bps, 10_000), code)
    assert tariff.fee_on_top(net) == quantise_up(mul_div_up(net, bps, 10_000 - bps), code)


@pytest.mark.parametrize(
    "tiers", [(), (Tier(1, 5),), (Tier(0, 5), Tier(0, 6)), (Tier(0, -1),), (Tier(0, 200_001),)], ids=str
)
def test_tariff__that_makes_no_sense__cannot_be_made(tiers: tuple[Tier, ...]) -> None:
    with pytest.raises(ValueError, match=r"tiers|rates|empty"):
        Tariff(code="EUR", tiers=tiers)


@given(
    st.integers(min_value=1, max_value=3_600),
    st.integers(min_value=1, max_value=2_000),
    st.integers(min_value=1, max_value=200),
)
def test_lifetime__costs_what_an_option_is_worth(seconds: int, volatility: int, percent: int) -> None:
    price = lifetime_ppm(lifetime_s=seconds, volatility_bps_a_day=volatility, charged_percent=percent)
    worth = 0.3989422804 * volatility * 100 * (seconds / 86_400) ** 0.5 * percent / 100
    assert worth - 1e-3 <= price <= worth + 1 + 1e-3, "rounded up to a millionth of the amount"
    longer = lifetime_ppm(lifetime_s=seconds + 1, volatility_bps_a_day=volatility, charged_percent=percent)
    wilder = lifetime_ppm(lifetime_s=seconds, volatility_bps_a_day=volatility + 1, charged_percent=percent)
    dearer = lifetime_ppm(lifetime_s=seconds, volatility_bps_a_day=volatility, charged_percent=percent + 1)
    assert min(longer, wilder, dearer) >= price


def test_lifetime__that_is_not_charged__is_free() -> None:
    assert lifetime_ppm(lifetime_s=60, volatility_bps_a_day=50, charged_percent=0) == 0
    assert lifetime_ppm(lifetime_s=60, volatility_bps_a_day=50, charged_percent=100) == 53, "half a basis point"
