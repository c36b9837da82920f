"""What makers earn: rows of flow in, figures out."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.market.errors import MarketNoMid
from chainwallet.market.rates import Fixing, MidMarket
from chainwallet.settlement.fills import DaysFlow
from chainwallet.settlement.profit import profit_of

MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)


def mids(day: date, **rates: str) -> MidMarket:
    return MidMarket(Fixing(day, {"EUR": Fraction(1)} | {code: Fraction(rate) for code, rate in rates.items()}))


def flow(day: date, code: str, *, bought: int = 0, sold: int = 0) -> DaysFlow:
    return DaysFlow(day, code, sold, bought, 1 if sold else 0)


RATES = {MONDAY: mids(MONDAY, USD="1.10"), TUESDAY: mids(TUESDAY, USD="1.20")}


def test_profit__is_the_spread_on_the_day__and_what_rates_made_of_it() -> None:
    flows = [flow(MONDAY, "EUR", bought=1_010), flow(MONDAY, "USD", sold=1_100)]
    found = profit_of(flows, currency="EUR", mid_on=RATES.get, now=RATES[TUESDAY])
    assert found.realised_units == 1_010 - 1_000
    assert found.marked_units == 1_010 - 917, "the dollars sold would cost 917 today, rounded against the maker"
    assert [(one.currency, one.net_units) for one in found.results] == [("EUR", 1_010), ("USD", -1_100)]


def test_profit__of_a_day_without_rates__is_counted_apart() -> None:
    flows = [flow(MONDAY, "USD", sold=1_100), flow(date(1990, 1, 1), "USD", sold=5), flow(MONDAY, "XAU", sold=7)]
    found = profit_of(flows, currency="EUR", mid_on=RATES.get, now=RATES[MONDAY])
    assert (found.realised_units, found.fills, found.unpriced_fills) == (-1_000, 3, 2)


def test_profit__in_a_currency_without_a_mid__is_refused() -> None:
    with pytest.raises(MarketNoMid):
        profit_of([], currency="XAU", mid_on=RATES.get, now=RATES[MONDAY])


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 500)), max_size=20))
def test_profit__of_quotes_at_mid_or_worse__is_never_a_loss(fills: list[tuple[int, int]]) -> None:
    """Each sells dollars for at least what they are worth: rounding costs less than a unit per currency and day."""
    bought = [-(-sold * (10_000 + bps) * 10 // (11 * 10_000)) for sold, bps in fills]
    flows = [
        DaysFlow(MONDAY, "EUR", 0, sum(bought), 0),
        DaysFlow(MONDAY, "USD", sum(sold for sold, _ in fills), 0, len(fills)),
    ]
    assert profit_of(flows, currency="EUR", mid_on=RATES.get, now=RATES[MONDAY]).realised_units >= 0
