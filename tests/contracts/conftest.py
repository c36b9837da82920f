"""The deployed world is built once per session; each test starts from the same snapshot of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_chain import end_nodes
from hub_world import World


@pytest.fixture(scope="session")
def built_world() -> World:
    """The world, deployed. Tests take `world` instead."""
    return World()


@pytest.fixture(scope="session", autouse=True)
def _nodes_end() -> Iterator[None]:
    """No anvil outlives the tests."""
    yield
    end_nodes()


@pytest.fixture
def world(built_world: World) -> Iterator[World]:
    """The deployed world; what the test does to it is undone."""
    snapshot = built_world.chain.node.snapshot()
    yield built_world
    built_world.chain.node.revert(snapshot)
