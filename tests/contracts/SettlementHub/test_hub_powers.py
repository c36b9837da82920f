"""freeze, unfreeze, pause, unpause, the constructor, and who may do what."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hub_world import EUR, EXIT_DELAY_S, HUB_POWERS, UNIT, USD, Order, Quote, Refusal, World, account, artifact

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "listCurrency": (1, "0x" + "11" * 20),
    "settle": (b"",),
    "freeze": ("0x" + "11" * 20,),
    "unfreeze": ("0x" + "11" * 20,),
    "pause": (),
    "unpause": (),
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in HUB_POWERS.items() for name in names])
def test_restricted__caller_without_the_role__refused(world: World, role: str, name: str) -> None:
    call = world.hub.get_function_by_name(name)(*ARGUMENTS[name])
    for who in world.who:
        if who == role.lower():
            continue
        assert world.refused(call, who) == Refusal("AccessManagedUnauthorized", (world.who[who],)), who


def test_restricted__every_function_that_changes_state__is_restricted_or_known_to_be_open() -> None:
    changing = {
        entry["name"]
        for entry in artifact("SettlementHub")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    powers = {name for names in HUB_POWERS.values() for name in names}
    assert changing - powers == {
        "cancelExit",
        "cancelOrders",
        "deposit",
        "exit",
        "requestExit",
        "requestExitFor",
        "setAuthority",  # answers to the AccessManager alone
    }


def test_set_authority__anyone_but_the_access_manager__refused(world: World) -> None:
    for who in world.who:
        refused = world.refused(world.hub.functions.setAuthority(world.manager.address), who)
        assert refused == Refusal("AccessManagedUnauthorized", (world.who[who],))


def test_freeze__account__emits_and_holds_until_unfrozen(world: World) -> None:
    who = account("somebody").address
    receipt = world.send(world.hub.functions.freeze(who), "compliance")
    assert world.chain.events(receipt) == [("AccountFrozen", {"account": who})]
    assert world.hub.functions.isFrozen(who).call()
    again = world.refused(world.hub.functions.freeze(who), "compliance")
    assert again == Refusal("AccountAlreadyFrozen", (who,))
    receipt = world.send(world.hub.functions.unfreeze(who), "compliance")
    assert world.chain.events(receipt) == [("AccountUnfrozen", {"account": who})]
    assert not world.hub.functions.isFrozen(who).call()
    again = world.refused(world.hub.functions.unfreeze(who), "compliance")
    assert again == Refusal("AccountNotFrozen", (who,))


def test_freeze__payers_that_share_a_last_byte__are_told_apart(world: World) -> None:
    first, second = _labels_sharing_a_last_byte()
    payers = [world.fund(label, EUR, UNIT) for label in (first, second)]
    batches = [
        world.batch([Order(payer, world.treasury, EUR, 1, EUR, 1)], batch_id=i) for i, payer in enumerate(payers)
    ]
    world.send(world.hub.functions.freeze(payers[0]), "compliance")
    assert world.settle_refused(batches[0]) == Refusal("OrderPayerFrozen", (0, payers[0]))
    world.settle(batches[1])
    world.send(world.hub.functions.freeze(payers[1]), "compliance")
    world.send(world.hub.functions.unfreeze(payers[0]), "compliance")
    world.settle(batches[0])
    refused = world.settle_refused(world.batch([Order(payers[1], world.treasury, EUR, 1, EUR, 1, nonce=2)], batch_id=9))
    assert refused == Refusal("OrderPayerFrozen", (0, payers[1]))


def _labels_sharing_a_last_byte() -> tuple[str, str]:
    seen: dict[str, str] = {}
    for index in range(1_000):
        label = f"shares-{index}"
        last = account(label).address[-2:].lower()
        if last in seen:
            return seen[last], label
        seen[last] = label
    raise AssertionError("256 last bytes cannot tell 1,000 accounts apart")


def test_freeze__random_sequence__holds_for_exactly_the_frozen(world: World) -> None:
    draw = random.Random(11)
    payers = [world.fund(f"payer-{index}", EUR, UNIT) for index in range(6)]
    frozen: set[str] = set()
    for step in range(30):
        who = draw.choice(payers)
        name = "unfreeze" if who in frozen else "freeze"
        world.send(world.hub.get_function_by_name(name)(who), "compliance")
        frozen ^= {who}
        payer = draw.choice(payers)
        call = world.hub.functions.settle(*world.batch([Order(payer, who, EUR, 1, EUR, 1)], batch_id=step).arguments())
        if payer in frozen:
            assert world.refused(call, "settler") == Refusal("OrderPayerFrozen", (0, payer))
        else:
            call.call({"from": world.who["settler"]})


def test_freeze__maker_that_shares_a_last_byte_with_a_frozen_one__is_filled(world: World) -> None:
    first, second = _labels_sharing_a_last_byte()
    makers = [world.fund(label, USD, UNIT) for label in (first, second)]
    payer = world.fund("payer", EUR, UNIT)
    world.send(world.hub.functions.freeze(makers[0]), "compliance")
    for index, maker in enumerate(makers):
        order = Order(payer, world.treasury, EUR, 1, USD, 1)
        call = world.hub.functions.settle(*world.batch([order], [Quote(maker, USD, 1, EUR, 1)], [(0, 1)]).arguments())
        if index == 0:
            assert world.refused(call, "settler") == Refusal("QuoteMakerFrozen", (0, maker))
        else:
            world.send(call, "settler")


def test_pause__by_its_holder__emits_and_holds_until_unpaused(world: World) -> None:
    assert not world.hub.functions.paused().call()
    receipt = world.send(world.hub.functions.pause(), "pauser")
    assert world.chain.events(receipt) == [("Paused", {"account": world.who["pauser"]})]
    assert world.hub.functions.paused().call()
    receipt = world.send(world.hub.functions.unpause(), "pauser")
    assert world.chain.events(receipt) == [("Unpaused", {"account": world.who["pauser"]})]
    assert not world.hub.functions.paused().call()


def test_authority__replaced_through_the_access_manager__decides_from_then_on(world: World) -> None:
    assert world.hub.functions.authority().call() == world.manager.address
    successor = world.chain.deploy(artifact("AccessManager"), world.who["governor"])
    world.send(world.manager.functions.updateAuthority(world.hub.address, successor.address), "admin")
    assert world.hub.functions.authority().call() == successor.address
    refused = world.refused(world.hub.functions.pause(), "pauser")
    assert refused == Refusal("AccessManagedUnauthorized", (world.who["pauser"],))
    assert world.hub.functions.isConsumingScheduledOp().call() == bytes(4)


def test_pause__already_so__refused(world: World) -> None:
    assert world.refused(world.hub.functions.unpause(), "pauser") == Refusal("ExpectedPause")
    world.send(world.hub.functions.pause(), "pauser")
    assert world.hub.functions.paused().call()
    assert world.refused(world.hub.functions.pause(), "pauser") == Refusal("EnforcedPause")


def test_constructor__treasury_zero__refused(world: World) -> None:
    built = artifact("SettlementHub")
    factory = world.chain.web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    refused = world.refused_deployment(factory.constructor(world.manager.address, "0x" + "00" * 20, EXIT_DELAY_S))
    assert refused == Refusal("TreasuryZero")


def test_constructor__treasury__is_fixed(world: World) -> None:
    assert world.hub.functions.treasury().call() == world.treasury
