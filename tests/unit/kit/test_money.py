"""Money as people write it and as the books keep it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.kit.money import (
    InvalidAmount,
    Money,
    UnknownCurrency,
    currency,
    currency_by_id,
    format_units,
    mul_div_down,
    mul_div_up,
    quantise_down,
    quantise_up,
)


@pytest.mark.parametrize(
    ("code", "value", "units"),
    [
        ("EUR", "100.00", 100_000_000),
        ("EUR", "100", 100_000_000),
        ("EUR", "0.01", 10_000),
        ("JPY", "1", 1_000_000),
        ("BHD", "0.001", 1_000),
        ("USD", "999999999999999999.99", 999_999_999_999_999_999_990_000),
    ],
)
def test_parse__amounts_as_people_write_them__exact_units(code: str, value: str, units: int) -> None:
    assert Money.parse(code, value) == Money(code, units)


@pytest.mark.parametrize(
    "value",
    ["", "-1.00", "+1.00", "1e3", "1E3", "1.", ".5", "01.00", "1,000.00", " 1.00", "1.00 ", "1.000", "0", "0.00", "NaN",
     "inf", "1_000", "٣٫٥", "١٠٠", "1.٠٠", "1" + "0" * 30, "0x10", "1.00\n"],
)  # fmt: skip
def test_parse__anything_else__refused_with_a_code(value: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        Money.parse("EUR", value)
    assert refused.value.code == "MONEY_INVALID_AMOUNT"


def test_parse__zero__only_where_it_may_be() -> None:
    assert Money.parse("EUR", "0.00", may_be_zero=True) == Money("EUR", 0)
    assert (Money("EUR", 0).value, Money("JPY", 0).value) == ("0.00", "0"), "without a sign"


REFUSALS = {
    ("EUR", "1e3"): 'An amount is a string of plain digits with a point, such as "100.00": no sign, no exponent, '
    "no grouping, at most 18 digits before the point.",
    ("EUR", "1.234"): "EUR has 2 decimal digits; '1.234' has 3. Round the amount to 2 digits.",
    ("EUR", "0.00"): "The amount is zero; send more than nothing.",
    ("euro of somebody's", "1"): "'euro of somebody' is not an ISO 4217 currency code; use three capital letters such "
    "as EUR.",
}


@pytest.mark.parametrize(("code", "value"), REFUSALS)
def test_refusal__says_what_to_do(code: str, value: str) -> None:
    with pytest.raises((InvalidAmount, UnknownCurrency)) as refused:
        Money.parse(code, value)
    assert refused.value.detail == REFUSALS[code, value]


def test_unknown_number__is_named() -> None:
    with pytest.raises(UnknownCurrency) as refused:
        currency_by_id(9_999)
    assert refused.value.detail == "9999 is not an ISO 4217 numeric currency code."


@pytest.mark.parametrize("value", [1, 1.0, True, None, b"1.00"])
def test_parse__not_a_string__refused(value: object) -> None:
    with pytest.raises(InvalidAmount):
        Money.parse("EUR", value)  # type: ignore[arg-type]


def test_parse__decimals_of_a_currency_without_any__refused() -> None:
    with pytest.raises(InvalidAmount, match="JPY has 0 decimal digits"):
        Money.parse("JPY", "1.0")


@pytest.mark.parametrize("code", ["", "EURO", "eur", "XXY", "978", "BTC", "XAU"])
def test_currency__not_iso_4217__refused(code: str) -> None:
    with pytest.raises(UnknownCurrency):
        currency(code)


def test_currency__ids_are_iso_numeric_codes() -> None:
    assert [currency(code).id for code in ("EUR", "USD", "CNY")] == [978, 840, 156]
    assert currency_by_id(978).code == "EUR"


@given(st.integers(min_value=1, max_value=10**23), st.sampled_from(["EUR", "JPY", "BHD", "USD"]))
def test_value__of_whole_minor_units__parses_back(minor: int, code: str) -> None:
    units = minor * currency(code).minor_units
    if units < 10**24:
        assert Money.parse(code, Money(code, units).value).units == units


@given(st.integers(min_value=-(10**24), max_value=10**24))
def test_format_units__any_figure__is_exact(units: int) -> None:
    text = format_units(units, minor_digits=2)
    whole, _, fraction = text.lstrip("-").partition(".")
    assert (-1 if units < 0 else 1) * (int(whole) * 10**6 + int(fraction.ljust(6, "0"))) == units


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(1, 10**30))
def test_mul_div__both_directions__enclose_the_exact_quotient(x: int, y: int, z: int) -> None:
    down, up = mul_div_down(x, y, z), mul_div_up(x, y, z)
    assert down * z <= x * y <= up * z
    assert up - down <= 1


@given(st.integers(0, 10**24), st.sampled_from(["EUR", "JPY", "BHD"]))
def test_quantise__both_directions__whole_minor_units_nearest(units: int, code: str) -> None:
    minor = currency(code).minor_units
    down, up = quantise_down(units, code), quantise_up(units, code)
    assert down % minor == up % minor == 0
    assert down <= units <= up
    assert up - down in (0, minor)
