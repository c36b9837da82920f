"""A payment is never priced at what a larger one costs, even where the programme's last units cannot be found."""

from __future__ import annotations

import pytest

from chainwallet.market.flow import Flow
from chainwallet.market.model import Book, Offer
from chainwallet.market.routing import Router

UNIT = 1_000_000
# JPY buys USD, USD buys KRW: a first step of each that is nearly used up, and a deep second one.
OFFERS = (
    Offer("a1", "a", "USD", "JPY", 1_000 * UNIT, 157_000 * UNIT, 3),
    Offer("a2", "a", "USD", "JPY", 390_000 * UNIT, 61_337_540 * UNIT, 390_000 * UNIT),
    Offer("b1", "b", "KRW", "USD", 250_000_000 * UNIT, 187_387 * UNIT, 1_113_507),
    Offer("b2", "b", "KRW", "USD", 500_000_000 * UNIT, 374_934 * UNIT, 500_000_000 * UNIT),
)
BOOK = Book(version=1, offers=OFFERS, inventory_units={("a", "USD"): 10**15, ("b", "KRW"): 10**18})
ASKED = 600_000 * UNIT


def _price_jpy(units: int) -> float:
    return units / UNIT


def test_route_to_target__programme_gives_up__still_delivers_exactly_what_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fair = Router(BOOK).solve_to_target("JPY", "KRW", ASKED)
    assert 65_000 < _price_jpy(fair.source_units) < 75_000
    monkeypatch.setattr(Flow, "_to_target", lambda *_: None)  # its exact repair fails now and then
    route = Router(BOOK).solve_to_target("JPY", "KRW", ASKED)
    assert sum(leg.sold_units for leg in route.legs if leg.sell == "KRW") == ASKED
    assert route.source_units <= fair.source_units * 1.001
