"""How fast it is, in this thread's own processor time; limits are several times what was measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from tests.unit.market.worlds import Shape, make_world, quoted_orders

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.clearing import clear
from chainwallet.market.routing import Router

pytestmark = pytest.mark.soak


def _median_us(action: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.thread_time_ns()
        action()
        taken.append((time.thread_time_ns() - started) / 1_000)
    return statistics.median(taken)


def test_speed__thirty_currencies() -> None:
    world = make_world(7, Shape(currencies=30, offers=500, size_exponents=(11, 14)))
    router = Router(world.book)
    assert _median_us(lambda: Router(world.book), 20) < 10_000
    source, target = world.codes[:2]
    router.route_to_target(source, target, 1_000)
    assert _median_us(lambda: [router.route_to_target(source, target, 1_000) for _ in range(100)], 20) / 100 < 100
    assert _median_us(lambda: router.solve_to_target(source, target, 1_000_000), 20) < 15_000


def test_speed__world_of_180_currencies() -> None:
    world = make_world(7, Shape(currencies=180, offers=5_000, size_exponents=(11, 14)))
    assert _median_us(lambda: Router(world.book), 5) < 50_000
    try:
        orders = quoted_orders(world, 10_000, fee=0.001, size_exponents=(8, 11))
    except ChainwalletError as refused:  # pragma: no cover
        pytest.fail(refused.detail)
    assert len(orders) > 9_000
    assert _median_us(lambda: clear(world.book, orders, world.worth), 5) < 250_000
