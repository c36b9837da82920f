"""freeze, unfreeze, pause, unpause

given a frozen account
  it should refuse to send, to receive, to spend what others allow it, to be spent from, to be permitted out of
given an unfrozen account                      it should move again
given an account already (not) frozen          it should refuse
given the zero address                         it should refuse to freeze it: that would stop minting for everyone
given a paused token                           it should refuse every movement and resume after
"""

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
