"""freeze, unfreeze, pause, unpause: who and what they stop, and what not. The tree is CurrencyToken.tree."""

from __future__ import annotations

from typing import Any

import pytest
from hub_world import EUR, Refusal, World, account

HOLDER = account("holder").address


@pytest.fixture
def token(world: World) -> Any:
    world.send(world.tokens[EUR].functions.transfer(world.who["stranger"], 100), "issuer")
    return world.tokens[EUR]


def test_freeze__holder__neither_sends_nor_receives_until_unfrozen(world: World, token: Any) -> None:
    stranger = world.who["stranger"]
    receipt = world.send(token.functions.freeze(stranger), "compliance")
    assert world.chain.events(receipt) == [("AccountFrozen", {"account": stranger})]
    assert token.functions.isFrozen(stranger).call()
    expected = Refusal("AccountIsFrozen", (stranger,))
    assert world.refused(token.functions.transfer(HOLDER, 1), "stranger") == expected
    assert world.refused(token.functions.transfer(stranger, 1), "issuer") == expected
    receipt = world.send(token.functions.unfreeze(stranger), "compliance")
    assert world.chain.events(receipt) == [("AccountUnfrozen", {"account": stranger})]
    world.send(token.functions.transfer(HOLDER, 1), "stranger")


def test_freeze__spender__cannot_move_what_others_allow_it(world: World, token: Any) -> None:
    world.send(token.functions.approve(world.who["governor"], 10), "stranger")
    world.send(token.functions.freeze(world.who["governor"]), "compliance")
    call = token.functions.transferFrom(world.who["stranger"], HOLDER, 1)
    assert world.refused(call, "governor") == Refusal("AccountIsFrozen", (world.who["governor"],))


def test_freeze__owner__cannot_be_spent_from(world: World, token: Any) -> None:
    world.send(token.functions.approve(world.who["governor"], 10), "stranger")
    world.send(token.functions.freeze(world.who["stranger"]), "compliance")
    call = token.functions.transferFrom(world.who["stranger"], HOLDER, 1)
    assert world.refused(call, "governor") == Refusal("AccountIsFrozen", (world.who["stranger"],))


def test_freeze__burning_minter__refused(world: World, token: Any) -> None:
    world.send(token.functions.freeze(world.who["issuer"]), "compliance")
    assert world.refused(token.functions.burn(1), "issuer") == Refusal("AccountIsFrozen", (world.who["issuer"],))


def test_freeze__already_so_or_nobody__refused(world: World, token: Any) -> None:
    assert world.refused(token.functions.unfreeze(HOLDER), "compliance") == Refusal("AccountNotFrozen", (HOLDER,))
    world.send(token.functions.freeze(HOLDER), "compliance")
    assert world.refused(token.functions.freeze(HOLDER), "compliance") == Refusal("AccountAlreadyFrozen", (HOLDER,))
    assert world.refused(token.functions.freeze("0x" + "00" * 20), "compliance") == Refusal("AccountZero")


def test_pause__every_movement__refused_until_unpaused(world: World, token: Any) -> None:
    world.send(token.functions.approve(world.who["governor"], 10), "stranger")
    world.send(token.functions.pause(), "pauser")
    paused = Refusal("EnforcedPause")
    assert world.refused(token.functions.pause(), "pauser") == paused
    assert world.refused(token.functions.transfer(HOLDER, 1), "stranger") == paused
    assert world.refused(token.functions.mint(HOLDER, 1), "issuer") == paused
    assert world.refused(token.functions.burn(1), "issuer") == paused
    spend = token.functions.transferFrom(world.who["stranger"], HOLDER, 1)
    assert world.refused(spend, "governor") == paused
    world.send(token.functions.unpause(), "pauser")
    assert world.refused(token.functions.unpause(), "pauser") == Refusal("ExpectedPause")
    world.send(spend, "governor")


def test_freeze__holder_with_too_little__is_told_of_the_freeze(world: World, token: Any) -> None:
    world.send(token.functions.freeze(HOLDER), "compliance")
    stranger = world.who["stranger"]
    assert world.refused(token.functions.transfer(HOLDER, 10**9), "stranger") == Refusal("AccountIsFrozen", (HOLDER,))
    assert world.refused(token.functions.transfer(account("other").address, 10**9), "stranger") == Refusal(
        "ERC20InsufficientBalance", (stranger, 100, 10**9)
    ), "nobody else's"


def test_freeze__self_transfer_or_nothing__refused(world: World, token: Any) -> None:
    stranger = world.who["stranger"]
    world.send(token.functions.freeze(stranger), "compliance")
    frozen = Refusal("AccountIsFrozen", (stranger,))
    assert world.refused(token.functions.transfer(stranger, 1), "stranger") == frozen
    assert world.refused(token.functions.transfer(HOLDER, 0), "stranger") == frozen


def test_freeze__allowances__can_be_given_and_taken_but_not_used(world: World, token: Any) -> None:
    """Nothing moves by an allowance, and taking one back must stay possible."""
    stranger, spender = world.who["stranger"], world.who["governor"]
    world.send(token.functions.approve(spender, 10), "stranger")
    world.send(token.functions.freeze(stranger), "compliance")
    world.send(token.functions.approve(spender, 0), "stranger")
    assert token.functions.allowance(stranger, spender).call() == 0
    world.send(token.functions.approve(spender, 5), "stranger")
    call = token.functions.transferFrom(stranger, HOLDER, 5)
    assert world.refused(call, "governor") == Refusal("AccountIsFrozen", (stranger,))


def test_freeze__unlimited_spender__is_stopped_too(world: World, token: Any) -> None:
    spender = world.who["governor"]
    world.send(token.functions.approve(spender, 2**256 - 1), "stranger")
    world.send(token.functions.freeze(spender), "compliance")
    call = token.functions.transferFrom(world.who["stranger"], HOLDER, 1)
    assert world.refused(call, "governor") == Refusal("AccountIsFrozen", (spender,))


def test_pause__allowances_freezes_and_minters__go_on(world: World, token: Any) -> None:
    receipt = world.send(token.functions.pause(), "pauser")
    assert world.chain.events(receipt) == [("Paused", {"account": world.who["pauser"]})]
    assert token.functions.paused().call()
    world.send(token.functions.approve(world.who["governor"], 1), "stranger")
    world.send(token.functions.freeze(HOLDER), "compliance")
    world.send(token.functions.unfreeze(HOLDER), "compliance")
    world.send(token.functions.configureMinter(HOLDER, 1), "mint_controller")
    world.send(token.functions.removeMinter(HOLDER), "mint_controller")
    receipt = world.send(token.functions.unpause(), "pauser")
    assert world.chain.events(receipt) == [("Unpaused", {"account": world.who["pauser"]})]
    assert not token.functions.paused().call()
