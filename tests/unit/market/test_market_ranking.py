"""The ranking of alternatives: every path that could have carried the payment, cheapest first, exact."""

from __future__ import annotations

import pytest
from tests.unit.market.worlds import Shape, make_world, one_way

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.ranking import rank_alternatives
from chainwallet.market.routing import Router

MILLION = 10**12  # units


def test_rank__cheapest_first_with_what_each_costs_more() -> None:
    book = one_way(
        ("direct", "USD", "EUR", MILLION, MILLION),
        ("dearer", "USD", "EUR", MILLION, 2 * MILLION),
        ("in", "CHF", "EUR", MILLION, MILLION),
        ("out", "USD", "CHF", 100 * MILLION, 101 * MILLION),
        ("small", "USD", "EUR", 999, 1),
    )
    route = Router(book).route_to_target("EUR", "USD", 1_000_000)
    ranking = rank_alternatives(book, route)
    assert [[leg.offer_id for leg in one.legs] for one in ranking] == [["direct"], ["in", "out"], ["dearer"]]
    assert [one.source_units for one in ranking] == [1_000_000, 1_010_000, 2_000_000]
    assert ranking[1].above_route_bps == pytest.approx((1_010_000 / route.source_units - 1) * 10_000)


def test_rank__no_single_path_is_cheaper_than_the_route() -> None:
    for seed in range(30):
        world = make_world(seed, Shape(currencies=7, offers=70))
        source, target = world.rng.sample(world.codes, 2)
        try:
            route = Router(world.book).route_to_target(source, target, 10**8)
        except ChainwalletError:
            continue
        ranking = rank_alternatives(world.book, route, count=8)
        costs = [one.source_units for one in ranking]
        rounding = sum(world.worth[leg.buy] + world.worth[leg.sell] for leg in route.legs) / world.worth[source]
        assert all(cost >= route.source_units - rounding for cost in costs)
        assert (
            costs == sorted(costs) or max(abs(a - b) for a, b in zip(costs, sorted(costs), strict=True)) <= rounding + 2
        )
