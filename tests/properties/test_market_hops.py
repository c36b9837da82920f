"""Routes of few steps: the optimum over all splits of so few hops, by another formulation and another solver."""

from __future__ import annotations

import pytest
from tests.unit.market.worlds import Shape, is_within, least_source_within, make_world, one_way

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.errors import MarketInsufficientLiquidity, MarketNoRoute
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_route

MILLION = 10**12  # units


def _check(seed: int, hops_max: int) -> str:
    sizes = (9.0, 12.0) if seed % 2 else (11.0, 14.0)
    world = make_world(seed, Shape(currencies=8, offers=70, spread=(1e-4, 0.05), size_exponents=sizes))
    router, (source, target) = Router(world.book), world.rng.sample(world.codes, 2)
    units = int(10 ** world.rng.uniform(7, sizes[1]) / world.worth[target]) + 1
    independent = least_source_within(world, (source, target), units, hops_max)
    try:
        route = router.route_to_target(source, target, units, hops_max=hops_max)
    except MarketInsufficientLiquidity as refused:
        most = refused.context["most_units"]
        if most:
            verify_route(world.book, router.route_to_target(source, target, most, hops_max=hops_max))
        slack = 1e-9 * units + 100
        assert independent is None or most >= units - slack, f"seed {seed}: {independent} refused at {most} of {units}"
        return "too much"
    except MarketNoRoute:
        assert independent is None
        return "no route"
    verify_route(world.book, route)
    assert is_within(route, hops_max)
    assert independent is not None, f"seed {seed}: has a route where none can be"
    rounding = sum(world.worth[leg.buy] + world.worth[leg.sell] for leg in route.legs) / world.worth[source]
    off = route.source_units - independent
    assert -1e-9 * independent - 1e-6 <= off <= 1.1 * rounding + 1e-9 * independent, f"seed {seed}: off by {off}"
    sent = router.route_from_source(source, target, route.source_units, hops_max=hops_max)
    verify_route(world.book, sent)
    assert is_within(sent, hops_max)
    assert (
        sent.target_units
        >= route.target_units * (1 - 1e-9) - 1.1 * rounding * world.worth[source] / world.worth[target]
    )
    return "routed"


@pytest.mark.parametrize("hops_max", [1, 2, 3])
def test_route__within_hops__is_the_independent_optimum_but_for_rounding(hops_max: int) -> None:
    seen = [_check(seed, hops_max) for seed in range(40)]
    assert seen.count("routed") >= 8


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("hops_max", [1, 2, 3, 4])
def test_route__within_hops__is_the_independent_optimum_on_many_markets(hops_max: int) -> None:
    for seed in range(40, 540):
        _check(seed, hops_max)


def test_route__within_one_hop__does_not_go_through_a_third_currency() -> None:
    book = one_way(
        ("direct", "JPY", "EUR", 160 * MILLION, MILLION),
        ("first", "USD", "EUR", 2 * MILLION, MILLION),
        ("second", "JPY", "USD", 90 * MILLION, MILLION),
    )
    router = Router(book)
    assert [leg.offer_id for leg in router.route_to_target("EUR", "JPY", 160_000, hops_max=1).legs] == ["direct"]
    assert [leg.offer_id for leg in router.route_to_target("EUR", "JPY", 160_000, hops_max=2).legs] == [
        "first",
        "second",
    ]
    assert router.route_from_source("EUR", "JPY", 1_000, hops_max=1).target_units == 160_000
    with pytest.raises(ChainwalletError):
        Router(one_way(*[("first", "USD", "EUR", 2, 1), ("second", "JPY", "USD", 9, 1)])).route_to_target(
            "EUR", "JPY", 1, hops_max=1
        )
