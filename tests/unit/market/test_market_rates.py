"""Mid-market prices are exact, by cross rates, and complete or refused."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from chainwallet.market.currencies import is_traded, traded_currencies
from chainwallet.market.errors import MarketNoMid
from chainwallet.market.rates import Fixing, MidMarket

FIXING = Fixing(date(2026, 10, 30), {"EUR": Fraction(1), "USD": Fraction("1.1172"), "JPY": Fraction("175.68")})
MIDS = MidMarket(FIXING)


def test_mid__crosses_through_the_euro_exactly() -> None:
    assert MIDS.mid("EUR", "USD") == Fraction("1.1172")
    assert MIDS.mid("USD", "JPY") == Fraction("175.68") / Fraction("1.1172")
    assert MIDS.mid("USD", "JPY") * MIDS.mid("JPY", "USD") == 1


def test_value_units__rounds_down() -> None:
    assert MIDS.value_units(1_000_000, "EUR", "USD") == 1_117_200
    assert MIDS.value_units(1, "JPY", "EUR") == 0
    assert MIDS.value_units(10**24, "EUR", "EUR") == 10**24
    assert MIDS.value_units(1_000_000, "USD", "EUR") == int(Fraction(1_000_000) / Fraction("1.1172"))


def test_weights__value_one_unit_of_each() -> None:
    assert MIDS.weights("USD")["USD"] == 1
    assert MIDS.weights("USD")["EUR"] == Fraction("1.1172")
    assert MIDS.weights()["JPY"] == 1 / Fraction("175.68")


def test_mid__of_a_currency_without_a_rate__says_which() -> None:
    with pytest.raises(MarketNoMid, match="XAU") as refused:
        MIDS.mid("EUR", "XAU")
    assert refused.value.context == {"currency": "XAU"}
    with pytest.raises(MarketNoMid):
        MIDS.value_units(1, "XAU", "EUR")


def test_fixing__without_the_euro_or_with_a_rate_of_nothing__is_refused() -> None:
    with pytest.raises(ValueError, match="EUR"):
        Fixing(date(2026, 10, 30), {"USD": Fraction(1)})
    with pytest.raises(ValueError, match="above zero"):
        Fixing(date(2026, 10, 30), {"EUR": Fraction(1), "USD": Fraction(0)})


def test_traded_currencies__are_those_of_the_fixing_in_order() -> None:
    assert [found.code for found in traded_currencies(FIXING)] == ["EUR", "JPY", "USD"]
    assert is_traded(FIXING, "JPY")
    assert not is_traded(FIXING, "RUB")
