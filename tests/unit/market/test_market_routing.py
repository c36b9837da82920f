"""Routes: exact, cheapest, within every cap; refusals say what can be had."""

from __future__ import annotations

import threading

import pytest
from tests.unit.market.worlds import Shape, make_world, one_way

from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import InvalidAmount
from chainwallet.market.errors import MarketAmountTooSmall, MarketInsufficientLiquidity, MarketNoRoute
from chainwallet.market.model import Book, Offer, Route
from chainwallet.market.routing import Router, route_from_source, route_to_target
from chainwallet.market.verification import verify_route

MILLION = 10**12  # units


def test_route__one_offer__pays_the_price_rounded_up() -> None:
    book = one_way(("a", "USD", "EUR", 3 * MILLION, 2 * MILLION))
    route = route_to_target(book, "EUR", "USD", 100)
    assert (route.source_units, route.target_units) == (67, 100)
    assert [(leg.sold_units, leg.bought_units) for leg in route.legs] == [(100, 67)]


def test_route__takes_the_cheaper_maker_and_then_the_dearer_one() -> None:
    book = one_way(("dear", "USD", "EUR", MILLION, MILLION), ("cheap", "USD", "EUR", 1_000, 900))
    assert [leg.offer_id for leg in route_to_target(book, "EUR", "USD", 1_000).legs] == ["cheap"]
    split = route_to_target(book, "EUR", "USD", 5_000)
    assert {leg.offer_id: leg.sold_units for leg in split.legs} == {"cheap": 1_000, "dear": 4_000}
    assert split.source_units == 4_900


def test_route__goes_through_a_third_currency_where_that_is_cheaper() -> None:
    book = one_way(
        ("direct", "JPY", "EUR", 160 * MILLION, MILLION),
        ("first", "USD", "EUR", 2 * MILLION, MILLION),
        ("second", "JPY", "USD", 90 * MILLION, MILLION),
    )
    route = route_to_target(book, "EUR", "JPY", 180_000)
    assert [leg.offer_id for leg in route.legs] == ["first", "second"]
    assert route.source_units == 1_000


def test_route__gives_the_duals_when_the_programme_priced_it() -> None:
    book = one_way(("cheap", "USD", "EUR", 1_000, 900), ("dear", "USD", "EUR", MILLION, MILLION))
    route = Router(book).solve_to_target("EUR", "USD", 5_000)
    assert route.prices is not None
    assert route.prices["EUR"] == pytest.approx(1.0)
    assert route.prices["USD"] == pytest.approx(1.0)  # the next dollar comes from the dear one


def test_route__a_currency_to_itself__has_no_legs() -> None:
    book = Book(1, (), {})
    assert route_to_target(book, "EUR", "EUR", 7) == Route("EUR", "EUR", 7, 7, ())
    assert route_from_source(book, "EUR", "EUR", 7) == Route("EUR", "EUR", 7, 7, ())


@pytest.mark.parametrize("book", [Book(1, (), {}), one_way(("a", "USD", "EUR", 10, 10), ("b", "JPY", "CHF", 10, 10))])
@pytest.mark.parametrize("pair", [("EUR", "JPY"), ("USD", "EUR"), ("XXX", "EUR"), ("EUR", "XXX")])
def test_route__where_no_chain_of_offers_leads__says_so(book: Book, pair: tuple[str, str]) -> None:
    for route in (Router(book).route_to_target, Router(book).route_from_source):
        with pytest.raises(MarketNoRoute) as refused:
            route(*pair, 5)
        assert (refused.value.status, refused.value.retryable) == (422, False)


def test_route__beyond_all_offers__says_the_most_and_the_most_can_be_had() -> None:
    book = one_way(("a", "USD", "EUR", 1_000, 900), ("b", "USD", "EUR", 500, 480))
    router = Router(book)
    with pytest.raises(MarketInsufficientLiquidity, match="at most") as refused:
        router.route_to_target("EUR", "USD", 1_501)
    assert refused.value.context["most_units"] == 1_500
    assert (refused.value.status, refused.value.retryable) == (409, True)
    assert router.route_to_target("EUR", "USD", 1_500).source_units == 1_380
    with pytest.raises(MarketInsufficientLiquidity) as refused:
        router.route_from_source("EUR", "USD", 10_000)
    assert refused.value.context["most_units"] == 1_380
    assert router.route_from_source("EUR", "USD", 1_380).target_units == 1_500


def test_route__inventory_caps_a_makers_offers_together() -> None:
    offers = (
        Offer("direct", "m", "USD", "EUR", 1_000, 900, 1_000),
        Offer("by CHF", "m", "USD", "CHF", 1_000, 900, 1_000),
        Offer("CHF", "n", "CHF", "EUR", 10_000, 10_000, 10_000),
    )
    book = Book(1, offers, {("m", "USD"): 1_200, ("n", "CHF"): 10_000})
    route = route_to_target(book, "EUR", "USD", 1_200)
    verify_route(book, route)
    assert sum(leg.sold_units for leg in route.legs if leg.maker == "m") == 1_200
    with pytest.raises(MarketInsufficientLiquidity) as refused:
        route_to_target(book, "EUR", "USD", 1_201)
    assert refused.value.context["most_units"] == 1_200


def test_route__a_maker_without_inventory_sells_nothing() -> None:
    offers = (Offer("o", "m", "USD", "EUR", 1_000, 900, 1_000),)
    with pytest.raises(MarketNoRoute):
        route_to_target(Book(1, offers, {}), "EUR", "USD", 1)
    exhausted = (Offer("o", "m", "USD", "EUR", 1_000, 900, 0),)
    with pytest.raises(MarketNoRoute):
        route_to_target(Book(1, exhausted, {("m", "USD"): 5}), "EUR", "USD", 1)


def test_route__source_too_small_for_one_unit__is_refused() -> None:
    book = one_way(("a", "KWD", "JPY", 1_000, 500_000))
    with pytest.raises(MarketAmountTooSmall):
        route_from_source(book, "JPY", "KWD", 499)
    assert route_from_source(book, "JPY", "KWD", 500).target_units == 1


@pytest.mark.parametrize("units", [0, -1])
def test_route__of_nothing__is_refused(units: int) -> None:
    book = one_way(("a", "USD", "EUR", 1_000, 900))
    with pytest.raises(InvalidAmount):
        route_to_target(book, "EUR", "USD", units)
    with pytest.raises(InvalidAmount):
        route_from_source(book, "EUR", "USD", units)


def test_route__quotes_that_cross__pay_nobody_for_going_round() -> None:
    book = one_way(
        ("loop 1", "CHF", "USD", MILLION, MILLION // 2),  # one dollar buys two francs,
        ("loop 2", "USD", "CHF", MILLION, MILLION),  # and one franc a dollar
        ("in", "USD", "EUR", MILLION, MILLION),
        ("out", "JPY", "USD", 100 * MILLION, MILLION),
    )
    route = route_to_target(book, "EUR", "JPY", 100_000)
    verify_route(book, route)
    assert route.source_units == 1_000  # not nothing: the loop is not on the way
    sent = route_from_source(book, "EUR", "JPY", 1_000)
    assert sent.target_units == 100_000


def test_route__quotes_that_cross__are_used_where_they_are_on_the_way() -> None:
    book = one_way(("typo", "USD", "EUR", MILLION, 10), ("back", "EUR", "USD", MILLION, MILLION))
    assert route_to_target(book, "EUR", "USD", 10**11).source_units == 1


def test_route__huge_amounts__stay_exact() -> None:
    book = one_way(
        ("a", "USD", "EUR", 10**24, 9 * 10**23 + 7),
        ("b", "JPY", "USD", 10**24, 10**22 + 3),
        ("c", "JPY", "EUR", 10**20, 10**18 + 1),
    )
    for units in (10**24, 10**24 - 1, 5 * 10**23 + 12345, 10**20 + 1):
        route = Router(book).solve_to_target("EUR", "JPY", units)
        verify_route(book, route)
        assert route.target_units == units


def test_router__from_many_threads__answers_the_same() -> None:
    world = make_world(5, Shape(currencies=12, offers=200))
    router, answers = Router(world.book), dict[int, list[object]]()

    def ask(number: int) -> None:
        answers[number] = []
        for pair in [(source, target) for source in world.codes for target in world.codes]:
            for units in (10**6, 10**12):
                try:
                    answers[number].append(router.route_to_target(*pair, units).source_units)
                except ChainwalletError as refused:
                    answers[number].append(refused.code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[number] == answers[0] for number in range(4))
    assert len(answers[0]) == 2 * 12 * 12
