"""The capacity model and its simulation: nothing is lost in it, and its parts agree."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import pytest
from tests.running_scripts import load_script


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    return load_script("scale")


@pytest.mark.parametrize("hubs", [1, 2, 5])
def test_simulation__any_number_of_hubs__settles_all(scale: ModuleType, hubs: int) -> None:
    chain = scale.Chain(gas_limit=30_000_000, block_s=1.0)
    found = scale.simulate(1_000, 10, hubs, chain, scale.Measured(), seed=7)
    assert found.settled == found.accepted
    assert (found.crossed == 0) == (hubs == 1)
    assert 0 < found.p50_s <= found.p99_s


def test_simulation__within_the_models_hubs__keeps_up(scale: ModuleType) -> None:
    chain, measured = scale.Chain(gas_limit=20_000_000), scale.Measured()
    needed = scale.capacity(2_000, chain, measured, crossing=0.8)
    found = scale.simulate(2_000, 20, needed.hubs, chain, measured, seed=3)
    assert found.busiest_block <= 1
    assert found.p99_s <= 4 * chain.block_s


def test_simulation__too_few_hubs__queues(scale: ModuleType) -> None:
    chain, measured = scale.Chain(gas_limit=20_000_000), scale.Measured()
    short = scale.simulate(2_000, 20, 1, chain, measured, seed=3)
    enough = scale.simulate(2_000, 20, 6, chain, measured, seed=3)
    assert short.p99_s > 3 * enough.p99_s
    assert short.busiest_block == 1


def test_capacity__more_load__never_takes_less(scale: ModuleType) -> None:
    chain, measured = scale.Chain(), scale.Measured()
    loads = [scale.capacity(rate, chain, measured, crossing=0.5) for rate in (10, 100, 1_000, 10_000)]
    for less, more in pairwise(loads):
        assert all(getattr(less, name) <= getattr(more, name) for name in less.__dataclass_fields__)
