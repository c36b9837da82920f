"""Gas per payment and bytecode size, compared with tests/snapshots/gas.json.

Every payment has its own payer and payee, who already hold a balance and a nonce, and a memo of 32 random bytes: what
a running system looks like. CHAINWALLET_UPDATE_SNAPSHOTS=1 writes the file anew.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hub_world import EUR, ROOT, UNIT, USD, Order, Quote, World, artifact

SNAPSHOT = ROOT / "tests" / "snapshots" / "gas.json"
RISE_MAX = 0.01
SIZES = (1, 10, 100)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Everything this file measures."""
    world = World((EUR, USD))
    _fund_everyone(world, max(SIZES))
    world.settle(
        world.batch([_order(world, 0, EUR, 101_37 * 10_000, nonce=1)], batch_id=0)
    )  # 255 of 256 ids follow one
    found: dict[str, Any] = {}
    for size in SIZES:
        snapshot = world.chain.tester.take_snapshot()
        found[f"one_currency_{size}"] = _per_payment(world, _one_currency(size), size)
        world.chain.tester.revert_to_snapshot(snapshot)
        found[f"four_makers_{size}"] = _per_payment(world, _across(size), size)
        world.chain.tester.revert_to_snapshot(snapshot)
    for name in ("SettlementHub", "CurrencyToken"):
        found[f"bytes_{name}"] = len(artifact(name)["deployedBytecode"]) // 2 - 1
    if os.environ.get("CHAINWALLET_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def _fund_everyone(world: World, payments: int) -> None:
    """Each account holds both currencies and has used a nonce, as after its first payment."""
    names = [f"{side}-{index}" for side in ("payer", "payee") for index in range(payments)]
    names += [f"maker-{index}" for index in range(4)] + ["treasury"]
    for currency in (EUR, USD):
        deposits = [(world.key(name).address, 1_000_000 * UNIT, bytes(32)) for name in names]
        for start in range(0, len(deposits), 100):
            world.send(world.hub.functions.deposit(currency, deposits[start : start + 100]), "issuer")


def _one_currency(size: int) -> Any:
    def build(world: World) -> Any:
        orders = [_order(world, index, EUR, 100_25 * 10_000 + index) for index in range(size)]
        return world.batch(orders)

    return build


def _across(size: int) -> Any:
    def build(world: World) -> Any:
        orders = [_order(world, index, USD, 108_00 * 10_000 + index) for index in range(size)]
        makers = [world.key(f"maker-{index}").address for index in range(4)]
        quotes = [Quote(m, USD, 500_000 * UNIT, EUR, 460_000 * UNIT, nonce=i) for i, m in enumerate(makers)]
        share = -(-sum(order.target_units for order in orders) // 4)
        return world.batch(orders, quotes, [(index, share) for index in range(4)])

    return build


def _order(world: World, index: int, target_currency: int, target_units: int, *, nonce: int | None = None) -> Order:
    payer, payee = world.key(f"payer-{index}").address, world.key(f"payee-{index}").address
    memo = random.Random(index).randbytes(32)
    return Order(payer, payee, EUR, 101_37 * 10_000, target_currency, target_units, nonce or 2**40 + index, 2**33, memo)


def _per_payment(world: World, build: Any, size: int) -> int:
    return round(world.settle(build(world))["gasUsed"] / size)


def test_gas_and_size__measured_afresh__do_not_exceed_the_snapshot_by_more_than_one_percent(
    measured: dict[str, Any],
) -> None:
    expected = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    risen = {name: (was, measured[name]) for name, was in expected.items() if measured[name] > was * (1 + RISE_MAX)}
    assert risen == {}, "rose; if that is the price of something worth it, run with CHAINWALLET_UPDATE_SNAPSHOTS=1"
    assert set(expected) == set(measured)


def test_size__deployed_bytecode__stays_within_the_chain_limit(measured: dict[str, Any]) -> None:
    assert max(measured["bytes_SettlementHub"], measured["bytes_CurrencyToken"]) <= 24_576
