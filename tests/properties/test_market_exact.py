"""Exact: the optimum is an independent solver's, and rounding costs what docs/market.md derives, never more.

Two judges. scipy solves the programme in another formulation: within 1e-9 of the amount. And the duals, made exact,
certify in fractions what any combination of offers could have done: no answer is better, none is worse by more than
the rounding of its own legs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from tests.unit.market.worlds import FILL_MAX, World, adversarial, least_source, make_world, optimum, quoted_orders

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.certificate import (
    rooms_of,
    source_units_min,
    surplus_prices,
    surplus_worth_max,
    target_units_max,
    tightened,
)
from chainwallet.market.clearing import clear
from chainwallet.market.imbalance import net_units
from chainwallet.market.model import Book, Clearing, OrderFlow, Route
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_route

PRECISION = 10**10  # the solver's: one part in this many of the amount


def check_routes(seed: int) -> Counter[str]:
    world = make_world(seed, adversarial(seed))
    router, seen = Router(world.book), Counter[str]()
    sizes = adversarial(seed).size_exponents
    for _ in range(2):
        source, target = world.rng.sample(world.codes, 2)
        units = int(10 ** world.rng.uniform(*sizes) / world.worth[target]) + 1
        try:
            route = router.solve_to_target(source, target, units)
        except ChainwalletError as refused:
            seen[refused.code] += 1
            continue
        verify_route(world.book, route)
        seen["solved"] += 1
        independent = least_source(world, source, target, units)
        if route.bound is None or not route.prices or independent is None:
            seen["at the edge of what there is"] += 1
            continue
        assert route.bound == pytest.approx(independent, rel=1e-9), f"seed {seed}: {source} {target} {units}"
        _check_rounding(world, router, route, seed)
    return seen


def _check_rounding(world: World, router: Router, route: Route, seed: int) -> None:
    stock, pair = world.book.inventory_units, {"source": route.source, "target": route.target}
    rooms = [room for room in rooms_of(world.book) if room.offer.id in router.usable(route.source, route.target)]
    prices = tightened(rooms, stock, route.legs, route.prices or {}, {route.source: Fraction(1)})
    least = source_units_min(rooms, stock, prices, **pair, target_units=route.target_units)
    rounding = sum((prices[leg.buy] + prices[leg.sell] for leg in route.legs), Fraction(0))
    assert least <= route.source_units, f"seed {seed}: cheaper than anything can be"
    assert route.source_units - least <= rounding + Fraction(route.source_units, PRECISION), f"seed {seed}: {route}"
    most = target_units_max(rooms, stock, prices, **pair, source_units=route.source_units)
    assert most >= route.target_units


def test_routes__of_adversarial_markets__are_the_independent_optimum_but_for_rounding() -> None:
    seen = sum((check_routes(seed) for seed in range(60)), Counter[str]())
    print(seen)
    assert seen["solved"] > 20


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_routes__of_two_thousand_adversarial_markets__are_the_independent_optimum_but_for_rounding() -> None:
    seen = sum((check_routes(seed) for seed in range(60, 2_060)), Counter[str]())
    print(seen)
    assert seen["solved"] > 1_000


def check_clearing(seed: int) -> Counter[str]:
    world = make_world(seed, adversarial(seed))
    lowest, highest = adversarial(seed).size_exponents
    sizes = (max(0.0, lowest - 1), max(0.5, highest - 1))
    orders = quoted_orders(
        world, world.rng.randint(1, 60), fee=world.rng.choice([0.0, 0.001, 0.01]), size_exponents=sizes
    )
    if not orders:
        return Counter(["nothing to clear"])
    clearing = clear(world.book, orders, world.worth)  # has verified itself in integers
    if clearing.set_aside or clearing.bound is None:
        return Counter(["set aside" if clearing.set_aside else "netted"])
    sent = sum(order.source_units * world.worth[order.source] for order in orders)
    independent = optimum(world, orders)
    _check_surplus(world, orders, clearing, seed)
    if independent is None:  # settled to the last unit, in integers, which are the proof; in floats it is no more
        return Counter(["beyond scipy"])
    moved = sum(leg.sold_units * world.worth[leg.sell] for leg in clearing.fills)
    tolerance = max(1e-9 * abs(independent), 1e-13 * (sent + moved))  # a small difference of large sums: floats end
    assert abs(clearing.bound - independent) <= tolerance, f"seed {seed}: {clearing.bound} is not {independent}"
    return Counter(["solved"])


def _check_surplus(world: World, orders: list[OrderFlow], clearing: Clearing, seed: int) -> None:
    net, weights = net_units(orders), {code: Fraction(worth) for code, worth in world.worth.items()}
    book = _within(world, net)
    prices = surplus_prices(book, clearing, weights)
    most = surplus_worth_max(book, net, prices, weights)
    value = sum((weights[code] * units for code, units in clearing.surplus_units.items()), Fraction(0))
    moved = sum((prices[leg.buy] * leg.bought_units for leg in clearing.fills), Fraction(0))
    rounding = sum((prices[leg.buy] + prices[leg.sell] for leg in clearing.fills), Fraction(0))
    assert value <= most, f"seed {seed}: worth more than anything can be"
    assert most - value <= rounding + max(moved, most) / 10**9, (
        f"seed {seed}: {float(most)} {float(value)} {float(rounding)}"
    )


def _within(world: World, net: dict[str, int]) -> Book:
    """The book under the documented limit: no fill is worth more than so many times the imbalance."""
    worth = [units * world.worth[code] for code, units in net.items()]
    most = FILL_MAX * (1 + 1e-12) * max(sum(one for one in worth if one > 0), -sum(one for one in worth if one < 0))
    offers = tuple(
        replace(one, sell_units_left=min(one.sell_units_left, int(most / world.worth[one.sell]) + 1))
        for one in world.book.offers
    )
    return replace(world.book, offers=offers)


def test_clearings__of_adversarial_markets__are_the_independent_optimum_but_for_rounding() -> None:
    seen = sum((check_clearing(seed) for seed in range(60)), Counter[str]())
    print(seen)
    assert seen["solved"] > 10


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_clearings__of_two_thousand_adversarial_markets__are_the_independent_optimum_but_for_rounding() -> None:
    seen = sum((check_clearing(seed) for seed in range(60, 2_060)), Counter[str]())
    print(seen)
    assert seen["solved"] > 500
