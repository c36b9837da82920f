"""Using powers: who may, what comes next, announced and executed, on both kinds of chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chainwallet.chain import powers
from chainwallet.chain.contracts.access_manager import AccessManager, Role
from chainwallet.chain.contracts.audit_anchor import AuditAnchor
from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.deployment import Deployment
from chainwallet.chain.errors import CallReverted, PowerNotHeld, PowerUnknown, PowerWaiting
from chainwallet.chain.governance import Assessment, Standing, assess, cancellation, use
from chainwallet.chain.powers import Power
from chainwallet.chain.sending import send_call
from chainwallet.chain.steps import LEAVE_FIRST_S
from chainwallet.keys.signers import LocalSigner

HOUR = 3_600
HOLDER = LocalSigner("0x" + "22" * 32)
SOMEBODY = LocalSigner("0x" + "33" * 32).address
ROOT = b"\x09" * 32


@pytest.fixture
def holder(world: Any) -> LocalSigner:
    """An account with ether and without roles."""
    world.node.fund(HOLDER.address)
    return LocalSigner("0x" + "22" * 32)


def look(world: Any, power: Power, signer: LocalSigner) -> Assessment:
    return assess(world.node, world.deployment.access_manager, power, signer.address)


def do(world: Any, power: Power, signer: LocalSigner) -> Assessment:
    """Use a power as it stands; what was found before."""
    found = look(world, power, signer)
    use(world.node, signer, found)
    return found


def pass_s(world: Any, seconds: int) -> None:
    world.node.request("evm_increaseTime", [seconds])
    world.node.request("evm_mine", [])


# Every power that takes a role, as (the role, what its use needs first, its use).
Build = Callable[[Deployment], Power]
POWERS: dict[str, tuple[Role, Build | None, Build]] = {
    "grant": (Role.ADMIN, None, lambda d: powers.grant(d, Role.PAUSER, SOMEBODY)),
    "revoke": (Role.ADMIN, None, lambda d: powers.revoke(d, Role.PAUSER, SOMEBODY)),
    "freeze in the hub": (Role.COMPLIANCE, None, lambda d: powers.freeze(d, "hub", SOMEBODY)),
    "unfreeze in the hub": (
        Role.COMPLIANCE,
        lambda d: powers.freeze(d, "hub", SOMEBODY),
        lambda d: powers.unfreeze(d, "hub", SOMEBODY),
    ),
    "freeze at a token": (Role.COMPLIANCE, None, lambda d: powers.freeze(d, "EUR", SOMEBODY)),
    "unfreeze at a token": (
        Role.COMPLIANCE,
        lambda d: powers.freeze(d, "EUR", SOMEBODY),
        lambda d: powers.unfreeze(d, "EUR", SOMEBODY),
    ),
    "pause the hub": (Role.PAUSER, None, lambda d: powers.pause(d, "hub")),
    "unpause the hub": (Role.PAUSER, lambda d: powers.pause(d, "hub"), lambda d: powers.unpause(d, "hub")),
    "pause a token": (Role.PAUSER, None, lambda d: powers.pause(d, "USD")),
    "unpause a token": (Role.PAUSER, lambda d: powers.pause(d, "USD"), lambda d: powers.unpause(d, "USD")),
    "minter": (Role.MINT_CONTROLLER, None, lambda d: powers.configure_minter(d, "EUR", SOMEBODY, 5)),
    "remove minter": (
        Role.MINT_CONTROLLER,
        lambda d: powers.configure_minter(d, "EUR", SOMEBODY, 5),
        lambda d: powers.remove_minter(d, "EUR", SOMEBODY),
    ),
    "anchor": (Role.ANCHORER, None, lambda d: powers.anchor_root(d, "audit-log", 86_400, ROOT, 3)),
}


@pytest.mark.parametrize("name", POWERS)
def test_power__takes_its_role_and_nothing_else(world: Any, holder: LocalSigner, name: str) -> None:
    role, first, build = POWERS[name]
    power = build(world.deployment)
    if first is not None:
        do(world, first(world.deployment), world.operator)
    found = look(world, power, holder)
    assert (found.role, found.standing) == (role, Standing.NOT_HELD)
    with pytest.raises(PowerNotHeld, match=role.name):
        use(world.node, holder, found)
    do(world, powers.grant(world.deployment, role, holder.address, delay_s=0), world.operator)
    used = do(world, power, holder)
    assert (used.standing, used.refusal) == (Standing.IMMEDIATE, None)


def test_power__used__has_its_effect(world: Any) -> None:
    deployment, operator, node = world.deployment, world.operator, world.node
    do(world, powers.configure_minter(deployment, "EUR", SOMEBODY, 123), operator)
    assert CurrencyToken(node, deployment.tokens["EUR"]).minter_allowance(SOMEBODY) == 123
    do(world, powers.anchor_root(deployment, "liabilities", 86_400, ROOT, 3), operator)
    kept = AuditAnchor(node, deployment.anchor).anchored("liabilities", 86_400)
    assert kept is not None
    assert kept.root == ROOT
    do(world, powers.revoke(deployment, Role.PAUSER, operator.address), operator)
    assert look(world, powers.pause(deployment, "hub"), operator).standing is Standing.NOT_HELD


def test_list__token_without_decimals_or_a_taken_id__refused_before_sending(world: Any) -> None:
    nonce = world.node.nonce(world.operator.address)
    for power, name in (
        (powers.list_currency(world.deployment, 978, world.deployment.tokens["USD"]), "CurrencyAlreadyListed"),
        (powers.list_currency(world.deployment, 1_000, world.deployment.tokens["USD"]), "TokenAlreadyListed"),
    ):
        found = look(world, power, world.operator)
        assert found.refusal is not None
        assert found.refusal.name == name
        with pytest.raises(CallReverted):
            use(world.node, world.operator, found)
    assert world.node.nonce(world.operator.address) == nonce
    assert SettlementHub(world.node, world.deployment.hub).token(1_000) is None


def test_delay__holder_with_one__announces_waits_and_executes(world: Any, holder: LocalSigner) -> None:
    do(world, powers.grant(world.deployment, Role.PAUSER, holder.address, delay_s=HOUR), world.operator)
    power = powers.pause(world.deployment, "hub")
    assert do(world, power, holder).standing is Standing.TO_ANNOUNCE
    waiting = look(world, power, holder)
    assert waiting.standing is Standing.WAITING
    assert waiting.gas == 0
    with pytest.raises(PowerWaiting, match="UTC"):
        use(world.node, holder, waiting)
    pass_s(world, HOUR + 1)
    assert do(world, power, holder).standing is Standing.READY
    found = look(world, power, holder)
    assert (found.standing, found.ready_at) == (Standing.TO_ANNOUNCE, 0), "an announcement is good for one use"


def test_delay__announcement_a_week_too_late__has_to_be_made_again(world: Any, holder: LocalSigner) -> None:
    do(world, powers.grant(world.deployment, Role.PAUSER, holder.address, delay_s=HOUR), world.operator)
    power = powers.pause(world.deployment, "hub")
    do(world, power, holder)
    pass_s(world, HOUR + 7 * 86_400 + 1)
    assert look(world, power, holder).standing is Standing.TO_ANNOUNCE


def test_delay__announcement_cancelled__cannot_be_executed(world: Any, holder: LocalSigner) -> None:
    manager = world.deployment.access_manager
    do(world, powers.grant(world.deployment, Role.PAUSER, holder.address, delay_s=HOUR), world.operator)
    power = powers.pause(world.deployment, "hub")
    do(world, power, holder)
    send_call(world.node, holder, manager, cancellation(power, holder.address))
    assert look(world, power, holder).standing is Standing.TO_ANNOUNCE
    do(world, power, holder)
    send_call(world.node, world.operator, manager, cancellation(power, holder.address))
    with pytest.raises(CallReverted) as refused:
        send_call(world.node, holder, manager, cancellation(power, holder.address))
    assert refused.value.name == "AccessManagerNotScheduled"


def test_delay__of_an_administrator__covers_its_grants(world: Any, holder: LocalSigner) -> None:
    do(world, powers.grant(world.deployment, Role.ADMIN, holder.address, delay_s=HOUR), world.operator)
    power = powers.grant(world.deployment, Role.SETTLER, SOMEBODY)
    assert do(world, power, holder).standing is Standing.TO_ANNOUNCE
    pass_s(world, HOUR + 1)
    assert do(world, power, holder).standing is Standing.READY
    assert AccessManager(world.node, world.deployment.access_manager).has_role(Role.SETTLER, SOMEBODY)


def test_grant__without_a_delay_given__has_its_roles_default(world: Any, holder: LocalSigner) -> None:
    manager = AccessManager(world.node, world.deployment.access_manager)
    expected = {Role.GOVERNOR: 2 * 86_400, Role.MINT_CONTROLLER: LEAVE_FIRST_S}
    for role in Role:
        do(world, powers.grant(world.deployment, role, holder.address), world.operator)
        assert manager.membership(role, holder.address).delay_s == expected.get(role, 0), role.name


def test_power__that_there_is_not__refused(world: Any) -> None:
    with pytest.raises(PowerUnknown, match="no JPY token"):
        powers.pause(world.deployment, "JPY")
    with pytest.raises(PowerUnknown, match="65535"):
        powers.list_currency(world.deployment, 65_536, SOMEBODY)
    with pytest.raises(PowerUnknown, match="seconds"):
        powers.grant(world.deployment, Role.PAUSER, SOMEBODY, delay_s=-1)
    with pytest.raises(PowerUnknown, match="no function"):
        powers.decode_call("AuditAnchor", b"\x01\x02\x03\x04")


def test_words__of_every_power__are_read_back_from_its_bytes(world: Any) -> None:
    deployment = world.deployment
    granted = powers.grant(deployment, Role.PAUSER, SOMEBODY, delay_s=60)
    assert granted.words() == f"AccessManager.grantRole(roleId 5, account {SOMEBODY}, executionDelay 60)"
    root = powers.anchor_root(deployment, "audit-log", 86_400, ROOT, 3)
    expected = f'AuditAnchor.anchor(kind "audit-log", period 86400, root 0x{ROOT.hex()}, records 3)'
    assert root.words() == expected
    assert powers.pause(deployment, "hub").words() == "SettlementHub.pause()"
    for _, _, build in POWERS.values():
        assert build(deployment).words().startswith(build(deployment).contract + ".")
