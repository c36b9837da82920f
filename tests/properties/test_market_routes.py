"""Routes: the path kept ready is the programme's, and no splitting or turning round earns a unit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.market.worlds import Shape, World, make_world

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.errors import MarketAmountTooSmall, MarketNoRoute
from chainwallet.market.model import Route
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_route

seeds = st.integers(0, 10_000)
amounts = st.integers(1, 10**10)
crossing = st.sampled_from([0.0, 0.0, 0.05])


def _market(seed: int, crossed_part: float = 0.0) -> tuple[World, Router, str, str]:
    world = make_world(seed, Shape(currencies=7, offers=70, worth_exponent=1.5, crossed_part=crossed_part))
    source, target = world.rng.sample(world.codes, 2)
    return world, Router(world.book), source, target


def _rounding(world: World, *routes: Route) -> float:
    """A unit of either currency of each leg, in source units."""
    worth = sum(world.worth[leg.buy] + world.worth[leg.sell] for route in routes for leg in route.legs)
    return 1.02 * worth / world.worth[routes[0].source]


@settings(max_examples=150)
@given(seeds, amounts, crossing)
def test_route__kept_path__equals_the_programme(seed: int, units: int, crossed_part: float) -> None:
    world, router, source, target = _market(seed, crossed_part)
    try:
        kept = router.route_to_target(source, target, units)
    except ChainwalletError:
        return
    solved = router.solve_to_target(source, target, units)
    verify_route(world.book, kept)
    verify_route(world.book, solved)
    if sorted(leg.offer_id for leg in kept.legs) == sorted(leg.offer_id for leg in solved.legs):
        assert kept.source_units == solved.source_units, "the same offers, another amount"
    difference = abs(kept.source_units - solved.source_units)
    assert difference <= _rounding(world, kept, solved) + 1e-9 * kept.source_units


@settings(max_examples=150)
@given(seeds, amounts, crossing)
def test_route__from_source__delivers_what_to_target_costs(seed: int, units: int, crossed_part: float) -> None:
    _, router, source, target = _market(seed, crossed_part)
    try:
        route = router.route_from_source(source, target, units)
        back = router.route_to_target(source, target, route.target_units)
    except ChainwalletError:
        return
    assert route.source_units == units
    assert back.source_units <= units, "the same target costs more when asked for from its end"


@settings(max_examples=150)
@given(seeds, amounts, amounts)
def test_route__split_in_two__never_costs_less(seed: int, one: int, other: int) -> None:
    _, router, source, target = _market(seed)
    try:
        whole = router.route_to_target(source, target, one + other)
    except ChainwalletError:
        return
    if whole.prices is not None:
        return  # beyond the best path, a later part meets a thinner book; that is not rounding
    parts = [router.route_to_target(source, target, units).source_units for units in (one, other)]
    assert sum(parts) >= whole.source_units


@settings(max_examples=150)
@given(seeds, amounts)
def test_route__there_and_back__never_earns_a_unit(seed: int, units: int) -> None:
    _, router, source, target = _market(seed)
    try:
        there = router.route_from_source(source, target, units)
        back = router.route_from_source(target, source, there.target_units)
    except ChainwalletError:
        return
    assert back.target_units <= units


@settings(max_examples=100)
@given(seeds, amounts, amounts)
def test_route__more__never_costs_less(seed: int, one: int, other: int) -> None:
    world, router, source, target = _market(seed)
    less, more = sorted((one, other))
    try:
        costs = [router.route_to_target(source, target, units) for units in (less, more)]
    except ChainwalletError:
        return
    slack = 0.0 if costs[1].prices is None else _rounding(world, *costs)
    assert costs[0].source_units <= costs[1].source_units + slack


@settings(max_examples=60)
@given(seeds, st.integers(1, 10**15))
def test_route__refused_for_liquidity__the_most_it_names_can_be_had(seed: int, units: int) -> None:
    world, router, source, target = _market(seed)
    for route in (router.route_to_target, router.route_from_source):
        try:
            route(source, target, units)
        except (MarketNoRoute, MarketAmountTooSmall):
            return
        except ChainwalletError as refused:
            most = refused.context["most_units"]
            assert 0 < most < units
            verify_route(world.book, route(source, target, most))
