"""The clearing programme against an independent formulation, and its rounding against its bound."""

from __future__ import annotations

import random

import pytest
from tests.unit.market.worlds import Shape, World, make_world, optimum, quoted_orders

from chainwallet.market.clearing import clear
from chainwallet.market.model import SetAside

SPREADS = [(1e-4, 1e-2), (1e-5, 1e-3), (-2e-3, 1e-2)]


def _world(seed: int) -> World:
    rng = random.Random(seed)
    shape = Shape(
        currencies=rng.randint(2, 40),
        offers=rng.randint(1, 600),
        spread=rng.choice(SPREADS),
        size_exponents=rng.choice([(9, 13), (8, 10.5)]),
        crossed_part=0.1 if seed % 4 == 0 else 0.0,
    )
    return make_world(seed, shape)


def _check(seed: int, *, orders_max: int) -> bool:
    """Whether the programme was solved for all of this market's orders; fails where anything is off."""
    world = _world(seed)
    fee = world.rng.choice([0.0, 0.001, 0.003])
    orders = quoted_orders(world, world.rng.randint(1, orders_max), fee=fee, size_exponents=(7, 11))
    clearing = clear(world.book, orders, world.worth)  # has verified itself in integers
    independent = optimum(world, orders) if orders else None
    if clearing.set_aside:
        assert set(clearing.set_aside.values()) <= {SetAside.LIQUIDITY, SetAside.LANE}, "the router priced them all"
        assert independent is None, f"seed {seed}: all could settle, {len(clearing.set_aside)} do not"
        return False
    if clearing.bound is None:
        return False
    assert independent is not None, f"seed {seed}: settled what has no solution"
    sent = sum(order.source_units * world.worth[order.source] for order in orders)
    # the optimum is a small difference of large sums: below a millionth of what was sent, floats end
    tolerance = 1e-9 * max(abs(independent), 1e-6 * sent)
    assert abs(clearing.bound - independent) <= tolerance, f"seed {seed}: {clearing.bound} is not {independent}"
    rounding = sum(clearing.prices[leg.buy] + clearing.prices[leg.sell] for leg in clearing.fills)
    assert -tolerance <= clearing.bound - clearing.value <= rounding + tolerance, f"seed {seed}: rounding cost too much"
    return True


def test_clearing__optimum__equals_an_independent_formulation() -> None:
    assert sum(_check(seed, orders_max=25) for seed in range(40)) >= 20


@pytest.mark.soak
def test_clearing__optimum__equals_an_independent_formulation_on_many_markets() -> None:
    assert sum(_check(seed, orders_max=200) for seed in range(40, 540)) >= 300
