"""What waits, on the contracts as deployed: docs/decisions/0005-time-to-leave.md, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from chainwallet.chain.contracts.access_manager import (
    AccessManager,
    Role,
    encode_grant_role,
    encode_set_grant_delay,
    encode_set_target_admin_delay,
    encode_set_target_function_role,
)
from chainwallet.chain.contracts.artifacts import selector
from chainwallet.chain.errors import CallReverted
from chainwallet.chain.governance import Standing, assess
from chainwallet.chain.powers import freeze
from chainwallet.chain.steps import DELAYED_ROLES, LEAVE_FIRST_S
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.signers import LocalSigner

DAY = 86_400
NEWCOMER = LocalSigner("0x" + "22" * 32).address
SOMEBODY = LocalSigner("0x" + "33" * 32).address


def pass_s(world: Any, seconds: int) -> None:
    world.node.request("evm_increaseTime", [seconds])
    world.node.request("evm_mine", [])


@pytest.fixture
def aged(world: Any) -> Any:
    """The world five days after its deployment, when the delays have begun."""
    pass_s(world, 5 * DAY + 1)
    return world


def test_grant__role_over_customers__is_usable_only_after_the_wait(aged: Any) -> None:
    manager = AccessManager(aged.node, aged.deployment.access_manager)
    for role in DELAYED_ROLES:
        aged.send(manager.address, encode_grant_role(role, NEWCOMER))
        assert not manager.has_role(role, NEWCOMER), role.name
    power = freeze(aged.deployment, "hub", SOMEBODY)
    found = assess(aged.node, manager.address, power, NEWCOMER)
    assert found.standing is Standing.NOT_HELD
    assert found.refusal is not None
    assert found.held_from - aged.node.head().timestamp > 6 * DAY
    pass_s(aged, LEAVE_FIRST_S - 60)
    assert assess(aged.node, manager.address, power, NEWCOMER).standing is Standing.NOT_HELD
    pass_s(aged, 61)
    assert assess(aged.node, manager.address, power, NEWCOMER).standing is Standing.IMMEDIATE
    assert all(manager.has_role(role, NEWCOMER) for role in DELAYED_ROLES)


def test_grant__anchorer__is_usable_at_once(aged: Any) -> None:
    manager = AccessManager(aged.node, aged.deployment.access_manager)
    aged.send(manager.address, encode_grant_role(Role.ANCHORER, NEWCOMER))
    assert manager.has_role(Role.ANCHORER, NEWCOMER)


def test_grant__in_the_first_five_days__takes_effect_at_once(world: Any) -> None:
    """The sandbox's roles are handed over before the delays begin."""
    manager = AccessManager(world.node, world.deployment.access_manager)
    world.send(manager.address, encode_grant_role(Role.COMPLIANCE, NEWCOMER))
    assert manager.has_role(Role.COMPLIANCE, NEWCOMER)


@pytest.mark.parametrize("target", ["hub", "EUR"])
def test_admin__other_role_for_a_function_or_another_authority__has_to_be_announced(aged: Any, target: str) -> None:
    deployment, operator = aged.deployment, aged.operator.address
    address = deployment.hub if target == "hub" else deployment.tokens[target]
    words = bytes(12) + address_bytes(address) + bytes(12) + address_bytes(NEWCOMER)
    for data in (
        encode_set_target_function_role(address, [selector("freeze(address)")], Role.GOVERNOR),
        selector("updateAuthority(address,address)") + words,
        selector("setTargetClosed(address,bool)") + words[:32] + (1).to_bytes(32, "big"),
    ):
        with pytest.raises(CallReverted) as refused:
            aged.node.estimate_gas(deployment.access_manager, data, sender=operator)
        assert refused.value.name == "AccessManagerNotScheduled"


def test_admin__shortening_a_wait__waits_as_long_itself(aged: Any) -> None:
    manager = AccessManager(aged.node, aged.deployment.access_manager)
    aged.send(manager.address, encode_set_grant_delay(Role.COMPLIANCE, 0))
    aged.send(manager.address, encode_set_target_admin_delay(aged.deployment.hub, 0))
    pass_s(aged, LEAVE_FIRST_S - 60)
    aged.send(manager.address, encode_grant_role(Role.COMPLIANCE, NEWCOMER))
    assert not manager.has_role(Role.COMPLIANCE, NEWCOMER)
    rebind = encode_set_target_function_role(aged.deployment.hub, [selector("freeze(address)")], Role.GOVERNOR)
    with pytest.raises(CallReverted):
        aged.node.estimate_gas(manager.address, rebind, sender=aged.operator.address)


def test_holder__of_today__freezes_at_once(aged: Any) -> None:
    power = freeze(aged.deployment, "hub", SOMEBODY)
    found = assess(aged.node, aged.deployment.access_manager, power, aged.operator.address)
    assert found.standing is Standing.IMMEDIATE
    assert found.refusal is None
