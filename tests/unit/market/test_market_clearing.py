"""Clearing: netting, funding, setting aside, and the check that refuses what does not add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from tests.unit.market.worlds import Shape, make_world, one_way, quoted_orders

from chainwallet.market.clearing import clear, clear_alone
from chainwallet.market.cost import cost_of, maker_volume_units, unnetted_cost, value_sent_units
from chainwallet.market.errors import ClearingInvalid
from chainwallet.market.model import Book, Clearing, Leg, Offer, OrderFlow, SetAside
from chainwallet.market.rates import Fixing, MidMarket
from chainwallet.market.verification import verify_clearing

MIDS = MidMarket(Fixing(date(2026, 10, 30), {"EUR": Fraction(1), "USD": Fraction(1), "CHF": Fraction(1)}))
BOOK = one_way(
    ("usd", "USD", "EUR", 10_000, 10_100), ("eur", "EUR", "USD", 10_000, 10_100), ("chf", "CHF", "EUR", 10_000, 10_200)
)


def order(
    name: str, source: str, source_units: int, target: str, target_units: int, lane: str | None = None
) -> OrderFlow:
    return OrderFlow(name, source, source_units, target, target_units, lane)


def test_clear__opposite_payments__need_no_maker() -> None:
    orders = [order("p", "EUR", 1_010, "USD", 1_000), order("q", "USD", 1_010, "EUR", 1_000)]
    clearing = clear(BOOK, orders, MIDS)
    assert clearing.fills == ()
    assert clearing.settled == ("p", "q")
    assert clearing.surplus_units == {"EUR": 10, "USD": 10}
    assert clearing.value == 20.0


def test_clear__asks_makers_for_the_imbalance_only() -> None:
    orders = [order("p", "EUR", 5_050, "USD", 5_000), order("q", "USD", 4_040, "EUR", 4_000)]
    clearing = clear(BOOK, orders, MIDS)
    (fill,) = clearing.fills
    assert (fill.offer_id, fill.sold_units, fill.bought_units) == ("usd", 960, 970)
    assert clearing.surplus_units == {"EUR": 5_050 - 4_000 - 970}
    assert clearing.prices["USD"] == pytest.approx(1.01)  # what one more dollar would cost
    assert clearing.bound == pytest.approx(clearing.value, abs=2)


def test_clear__payments_in_one_currency__pass_through() -> None:
    clearing = clear(Book(1, (), {}), [order("p", "EUR", 100, "EUR", 99)], MIDS)
    assert (clearing.settled, clearing.surplus_units, clearing.fills) == (("p",), {"EUR": 1}, ())


def test_clear__nothing__is_nothing() -> None:
    clearing = clear(BOOK, [], MIDS)
    assert (clearing.settled, clearing.fills, clearing.surplus_units, clearing.value) == ((), (), {}, 0.0)


def test_clear__what_cannot_be_funded__is_set_aside_and_the_rest_settles() -> None:
    orders = [
        order("fits", "EUR", 1_010, "USD", 1_000),
        order("no way", "EUR", 1_000, "JPY", 1_000),
        order("too dear", "EUR", 1_000, "USD", 1_000),
        order("too much", "EUR", 101_000, "USD", 100_000),
    ]
    clearing = clear(BOOK, orders, MIDS)
    assert clearing.settled == ("fits",)
    assert clearing.set_aside == {
        "no way": SetAside.NO_ROUTE,
        "too dear": SetAside.PRICE,
        "too much": SetAside.LIQUIDITY,
    }


def test_clear__an_order_set_aside__holds_back_the_later_ones_of_its_lane() -> None:
    orders = [
        order("a1", "EUR", 1_010, "USD", 1_000, "a"),
        order("a2", "EUR", 101_000, "USD", 100_000, "a"),
        order("a3", "EUR", 1_010, "USD", 1_000, "a"),
        order("b1", "EUR", 1_010, "USD", 1_000, "b"),
        order("free", "EUR", 1_010, "USD", 1_000),
    ]
    clearing = clear(BOOK, orders, MIDS)
    assert clearing.settled == ("a1", "b1", "free")
    assert clearing.set_aside == {"a2": SetAside.LIQUIDITY, "a3": SetAside.LANE}


def test_clear__too_many_for_the_quotes__fills_them_in_order() -> None:
    orders = [order(f"p{number}", "EUR", 4_040, "USD", 4_000) for number in range(4)]
    clearing = clear(BOOK, orders, MIDS)
    assert clearing.settled == ("p0", "p1")
    assert set(clearing.set_aside.values()) == {SetAside.LIQUIDITY}


def test_clear__a_payment_that_pays_for_another__is_kept_with_it() -> None:
    book = Book(1, (), {})
    orders = [
        order("p", "EUR", 1_000, "USD", 900),
        order("q", "USD", 1_000, "EUR", 900),
        order("r", "EUR", 9, "CHF", 9),
    ]
    clearing = clear(book, orders, MIDS)
    assert clearing.settled == ("p", "q")
    assert clearing.set_aside == {"r": SetAside.NO_ROUTE}


def test_clear__the_same_twice__is_the_same() -> None:
    world = make_world(3, Shape(currencies=12, offers=150, size_exponents=(8, 10)))
    orders = quoted_orders(world, 120, fee=0.0, size_exponents=(8, 10))
    assert clear(world.book, orders, world.worth) == clear(world.book, orders, world.worth)


def test_clear__currencies_without_a_weight__are_weighed_by_the_book() -> None:
    book = one_way(("xau", "XAU", "EUR", 1_000, 3_000_000))
    clearing = clear(book, [order("p", "EUR", 3_030, "XAU", 1)], MIDS)
    assert clearing.settled == ("p",)
    assert clearing.surplus_units == {"EUR": 30}


def test_clear__two_orders_of_one_name__are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        clear(BOOK, [order("p", "EUR", 1, "EUR", 1)] * 2, MIDS)


def _flawed(clearing: Clearing, change: Callable[[Leg], Leg]) -> Clearing:
    return replace(clearing, fills=tuple(change(leg) for leg in clearing.fills))


@pytest.mark.parametrize(
    "flaw",
    [
        lambda good: _flawed(good, lambda leg: replace(leg, bought_units=leg.bought_units - 1)),
        lambda good: _flawed(good, lambda leg: replace(leg, bought_units=leg.bought_units + 1)),
        lambda good: _flawed(good, lambda leg: replace(leg, sold_units=leg.sold_units - 1)),
        lambda good: _flawed(good, lambda leg: replace(leg, sold_units=20_000, bought_units=20_200)),
        lambda good: _flawed(good, lambda leg: replace(leg, maker="another")),
        lambda good: _flawed(good, lambda leg: replace(leg, offer_id="unknown")),
        lambda good: replace(good, fills=good.fills * 2),
        lambda good: replace(good, fills=()),
        lambda good: replace(good, surplus_units={}),
        lambda good: replace(good, surplus_units={**good.surplus_units, "CHF": 1}),
        lambda good: replace(good, settled=good.settled[:1]),
        lambda good: replace(good, settled=(*good.settled, "p1")),
        lambda good: replace(good, settled=good.settled[1:], set_aside={"p1": SetAside.PRICE}),
        lambda good: replace(good, set_aside={"p1": SetAside.PRICE}),
    ],
)
def test_verify_clearing__given_a_flaw__refuses(flaw: Callable[[Clearing], Clearing]) -> None:
    orders = [order("p1", "EUR", 1_020, "USD", 1_000, "a"), order("p2", "EUR", 1_010, "USD", 1_000, "a")]
    good = clear(BOOK, orders, MIDS)
    verify_clearing(BOOK, orders, good)
    with pytest.raises(ClearingInvalid, match="nothing may be signed"):
        verify_clearing(BOOK, orders, flaw(good))


def test_verify_clearing__given_overdrawn_inventory__refuses() -> None:
    offers = (Offer("a", "m", "USD", "EUR", 100, 100, 100), Offer("b", "m", "USD", "CHF", 100, 100, 100))
    rich, poor = Book(1, offers, {("m", "USD"): 200}), Book(1, offers, {("m", "USD"): 199})
    orders = [order("p", "EUR", 100, "USD", 100), order("q", "CHF", 100, "USD", 100)]
    clearing = clear(rich, orders, MIDS)
    verify_clearing(rich, orders, clearing)
    with pytest.raises(ClearingInvalid, match="more USD than it has"):
        verify_clearing(poor, orders, clearing)


def test_cost__payers_loss_is_makers_gain_and_surplus() -> None:
    orders = [order("p", "EUR", 5_050, "USD", 5_000), order("q", "USD", 4_040, "EUR", 4_000)]
    clearing = clear(BOOK, orders, MIDS)
    cost = cost_of(orders, clearing.fills, clearing.surplus_units, MIDS)
    assert cost.all_in_bps == pytest.approx(90 / 9_090 * 10_000)
    assert cost.all_in_bps == pytest.approx(cost.makers_bps + cost.surplus_bps)
    assert cost.makers_bps == pytest.approx(10 / 9_090 * 10_000)
    assert cost_of([], [], {}, MIDS).all_in_bps == 0.0


def test_clear_alone__unnetted_payments__ask_makers_for_all_of_it() -> None:
    orders = [order("p", "EUR", 5_050, "USD", 5_000), order("q", "USD", 4_040, "EUR", 4_000)]
    alone, netted = clear_alone(BOOK, orders), clear(BOOK, orders, MIDS).fills
    assert [(leg.offer_id, leg.sold_units, leg.bought_units) for leg in alone] == [
        ("usd", 5_000, 5_050), ("eur", 4_000, 4_040),
    ]  # fmt: skip
    assert maker_volume_units(alone, MIDS, "USD") == 9_000
    assert maker_volume_units(netted, MIDS, "USD") == 960
    assert unnetted_cost(orders, alone, MIDS) == pytest.approx(90 / 9_090 * 10_000)
    assert value_sent_units(orders, MIDS, "USD") == 9_090


def test_clear_alone__uses_up_what_earlier_payments_took() -> None:
    orders = [order(f"p{number}", "EUR", 6_060, "USD", 6_000) for number in range(3)]
    alone = clear_alone(BOOK, orders)
    assert [leg.sold_units for leg in alone] == [6_000]  # the second finds 4,000 left, which is not enough
