"""Markets made to break the arithmetic: whatever comes out holds in integers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.market.worlds import Shape, World, make_world, quoted_orders

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.clearing import clear, clear_alone
from chainwallet.market.errors import MarketInsufficientLiquidity
from chainwallet.market.model import OrderFlow, Route
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_clearing, verify_route

SIZES = [(0.0, 1.0), (0.0, 4.0), (3.0, 8.0), (6.0, 24.0), (23.0, 24.0)]
SPREADS = [(0.0, 0.0), (1e-4, 1e-2), (1e-5, 1e-3), (-2e-3, 1e-2), (0.0, 3.0)]


def _world(seed: int) -> tuple[World, tuple[float, float]]:
    rng = random.Random(seed)
    sizes = rng.choice(SIZES)
    shape = Shape(
        currencies=rng.randint(2, 25),
        offers=rng.randint(1, 200),
        spread=rng.choice(SPREADS),
        worth_exponent=rng.choice([0.0, 2.0, 9.0]),
        size_exponents=sizes,
        crossed_part=0.1 if seed % 4 == 0 else 0.0,
    )
    return make_world(seed, shape), sizes


def _at_mid(world: World, count: int, sizes: tuple[float, float]) -> list[OrderFlow]:
    """Orders that nobody quoted: many have no route, or no room, or ask for more than they pay for."""
    orders = []
    for number in range(count):
        source, target = world.rng.sample(world.codes, 2)
        worth = 10 ** world.rng.uniform(*sizes)
        source_units = int(worth / world.worth[source]) + 1
        target_units = int(worth * world.rng.choice([0.99, 1.0, 1.01]) / world.worth[target]) + 1
        orders.append(OrderFlow(f"m{number}", source, source_units, target, target_units, f"lane{number % 5}"))
    return orders


def _check(seed: int) -> None:
    world, sizes = _world(seed)
    smaller = (sizes[0], max(sizes[0] + 0.1, sizes[1] - 1))
    quoted = quoted_orders(world, 40, fee=world.rng.choice([0.0, 0.002]), size_exponents=smaller)
    strange = _at_mid(world, 15, sizes)
    mixed = quoted + strange
    world.rng.shuffle(mixed)
    clearing = clear(world.book, mixed, world.worth)
    verify_clearing(world.book, mixed, clearing)
    assert min(clearing.surplus_units.values(), default=0) >= 0
    clear_alone(world.book, mixed)
    for order in quoted[:5]:
        alone = clear(world.book, [order], world.worth)
        assert alone.settled == (order.id,), f"seed {seed}: quoted, but cannot settle: {order} {alone.set_aside}"


@pytest.mark.slow
def test_clearing__of_markets_made_to_break_it__holds_in_integers() -> None:
    for seed in (*range(1_000, 1_025), 1_238):  # in the last one a fill's rounding has to pay for the next path
        _check(seed)


@pytest.mark.soak
def test_clearing__of_many_markets_made_to_break_it__holds_in_integers() -> None:
    for seed in range(1_025, 1_500):
        _check(seed)


@pytest.mark.slow
def test_routes__of_markets_made_to_break_them__hold_in_integers() -> None:
    for seed in range(2_000, 2_020):
        _check_routes(seed)


@pytest.mark.soak
def test_routes__of_many_markets_made_to_break_them__hold_in_integers() -> None:
    for seed in range(2_020, 2_300):
        _check_routes(seed)


def _check_routes(seed: int) -> None:
    world, sizes = _world(seed)
    router = Router(world.book)
    for _ in range(8):
        source, target = world.rng.sample(world.codes, 2)
        units = int(10 ** world.rng.uniform(*sizes) / world.worth[target]) + 1
        for to_target in (router.route_to_target, router.solve_to_target):
            assert _had(world, to_target, source, target, units) in (None, units)
        for from_source in (router.route_from_source, router.solve_from_source):
            _had(world, from_source, source, target, units)


def _had(world: World, route: Callable[[str, str, int], Route], source: str, target: str, units: int) -> int | None:
    """What a route delivers, checked in integers; of a refusal, that the most it names can be had."""
    try:
        found = route(source, target, units)
    except MarketInsufficientLiquidity as refused:
        most = refused.context["most_units"]
        if most:
            verify_route(world.book, route(source, target, most))
        return None
    except ChainwalletError:
        return None
    verify_route(world.book, found)
    return found.target_units


def test_clearing__disconnected_halves__settle_each_on_its_own() -> None:
    one, other = (make_world(seed, Shape(currencies=6, offers=60)) for seed in (1, 2))
    renamed = [
        replace(offer, id=f"x{offer.id}", sell=f"X{offer.sell}", buy=f"X{offer.buy}") for offer in other.book.offers
    ]
    stock = {(maker, f"X{code}"): units for (maker, code), units in other.book.inventory_units.items()}
    book = replace(one.book, offers=(*one.book.offers, *renamed), inventory_units={**one.book.inventory_units, **stock})
    first = quoted_orders(one, 30, fee=0.001, size_exponents=(8, 10))
    second = [
        replace(order, id=f"x{order.id}", source=f"X{order.source}", target=f"X{order.target}")
        for order in quoted_orders(other, 30, fee=0.001, size_exponents=(8, 10))
    ]
    worth = {**one.worth, **{f"X{code}": value for code, value in other.worth.items()}}
    together = clear(book, first + second, worth)
    apart = clear(one.book, first, one.worth).value + clear(other.book, [
        replace(order, source=order.source[1:], target=order.target[1:]) for order in second
    ], other.worth).value  # fmt: skip
    assert not together.set_aside
    assert together.value == pytest.approx(apart, rel=1e-6)
