"""configureMinter, removeMinter, mint, burn, and who may do what. The tree is CurrencyToken.tree."""

from __future__ import annotations

from typing import Any

import pytest
from hub_world import EUR, TOKEN_POWERS, UNIT, Refusal, World, account, artifact

HOLDER = account("holder").address


@pytest.fixture
def token(world: World) -> Any:
    return world.tokens[EUR]


def test_token__units__are_six_decimals(token: Any) -> None:
    assert token.functions.decimals().call() == 6


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "configureMinter": (HOLDER, 5),
    "removeMinter": (HOLDER,),
    "freeze": (HOLDER,),
    "unfreeze": (HOLDER,),
    "pause": (),
    "unpause": (),
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in TOKEN_POWERS.items() for name in names])
def test_restricted__caller_without_the_role__refused(world: World, token: Any, role: str, name: str) -> None:
    call = token.get_function_by_name(name)(*ARGUMENTS[name])
    for who in world.who:
        if who != role.lower():
            assert world.refused(call, who) == Refusal("AccessManagedUnauthorized", (world.who[who],)), who


def test_restricted__every_function_that_changes_state__is_restricted_or_known_to_be_open() -> None:
    changing = {
        entry["name"]
        for entry in artifact("CurrencyToken")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    standard = {"transfer", "transferFrom", "approve", "permit", "setAuthority"}
    signed = {"transferWithAuthorization", "receiveWithAuthorization", "cancelAuthorization"}
    minters = {"mint", "burn"}
    powers = {name for names in TOKEN_POWERS.values() for name in names}
    assert changing - powers == standard | signed | minters


def test_configure_minter__again__replaces_the_allowance(world: World, token: Any) -> None:
    minter = world.who["stranger"]
    receipt = world.send(token.functions.configureMinter(minter, 10), "mint_controller")
    assert world.chain.events(receipt) == [("MinterConfigured", {"minter": minter, "allowance": 10})]
    world.send(token.functions.configureMinter(minter, 4), "mint_controller")
    assert token.functions.isMinter(minter).call()
    assert token.functions.minterAllowance(minter).call() == 4


def test_mint__within_allowance__creates_and_uses_it_up(world: World, token: Any) -> None:
    minter = world.who["stranger"]
    world.send(token.functions.configureMinter(minter, 10), "mint_controller")
    supply = token.functions.totalSupply().call()
    receipt = world.send(token.functions.mint(HOLDER, 7), "stranger")
    assert ("Minted", {"minter": minter, "account": HOLDER, "amount": 7}) in world.chain.events(receipt)
    assert token.functions.balanceOf(HOLDER).call() == 7
    assert token.functions.totalSupply().call() == supply + 7
    assert token.functions.minterAllowance(minter).call() == 3
    over = world.refused(token.functions.mint(HOLDER, 4), "stranger")
    assert over == Refusal("MinterAllowanceShort", (minter, 3, 4))


def test_mint__no_minter_or_removed__refused(world: World, token: Any) -> None:
    stranger, call = world.who["stranger"], token.functions.mint(HOLDER, 1)
    assert world.refused(call, "stranger") == Refusal("MinterUnknown", (stranger,))
    world.send(token.functions.configureMinter(stranger, 10), "mint_controller")
    receipt = world.send(token.functions.removeMinter(stranger), "mint_controller")
    assert world.chain.events(receipt) == [("MinterRemoved", {"minter": stranger})]
    assert world.refused(call, "stranger") == Refusal("MinterUnknown", (stranger,))
    assert token.functions.minterAllowance(stranger).call() == 0
    assert not token.functions.isMinter(stranger).call()
    again = world.refused(token.functions.removeMinter(stranger), "mint_controller")
    assert again == Refusal("MinterUnknown", (stranger,))


def test_mint__nothing_or_for_nobody__refused(world: World, token: Any) -> None:
    assert world.refused(token.functions.mint(HOLDER, 0), "issuer") == Refusal("AmountZero")
    assert world.refused(token.functions.mint("0x" + "00" * 20, 1), "issuer").name == "ERC20InvalidReceiver"


def test_mint__frozen_minter_or_account__refused(world: World, token: Any) -> None:
    world.send(token.functions.freeze(HOLDER), "compliance")
    assert world.refused(token.functions.mint(HOLDER, 1), "issuer") == Refusal("AccountIsFrozen", (HOLDER,))
    issuer = world.who["issuer"]
    world.send(token.functions.freeze(issuer), "compliance")
    other = token.functions.mint(account("other").address, 1)
    assert world.refused(other, "issuer") == Refusal("AccountIsFrozen", (issuer,))


def test_burn__own_units__destroys_them_and_keeps_the_allowance(world: World, token: Any) -> None:
    issuer = world.who["issuer"]
    held, allowed = token.functions.balanceOf(issuer).call(), token.functions.minterAllowance(issuer).call()
    receipt = world.send(token.functions.burn(3 * UNIT), "issuer")
    assert ("Burned", {"minter": issuer, "amount": 3 * UNIT}) in world.chain.events(receipt)
    assert token.functions.balanceOf(issuer).call() == held - 3 * UNIT
    assert token.functions.totalSupply().call() == held - 3 * UNIT
    assert token.functions.minterAllowance(issuer).call() == allowed


def test_burn__no_minter_nothing_or_too_much__refused(world: World, token: Any) -> None:
    stranger = world.who["stranger"]
    assert world.refused(token.functions.burn(1), "stranger") == Refusal("MinterUnknown", (stranger,))
    assert world.refused(token.functions.burn(0), "issuer") == Refusal("AmountZero")
    assert world.refused(token.functions.burn(2**200), "issuer").name == "ERC20InsufficientBalance"


def test_mint__frozen_then_unfrozen_minter__goes_on_with_its_allowance(world: World, token: Any) -> None:
    """How a rogue minter is stopped at once: removing it may have to be announced first."""
    issuer = world.who["issuer"]
    allowed = token.functions.minterAllowance(issuer).call()
    world.send(token.functions.freeze(issuer), "compliance")
    assert world.refused(token.functions.mint(HOLDER, 1), "issuer") == Refusal("AccountIsFrozen", (issuer,))
    world.send(token.functions.unfreeze(issuer), "compliance")
    world.send(token.functions.mint(HOLDER, 1), "issuer")
    assert token.functions.minterAllowance(issuer).call() == allowed - 1


def test_configure_minter__nothing__leaves_a_minter_that_can_only_burn(world: World, token: Any) -> None:
    issuer = world.who["issuer"]
    world.send(token.functions.configureMinter(issuer, 0), "mint_controller")
    refused = world.refused(token.functions.mint(HOLDER, 1), "issuer")
    assert refused == Refusal("MinterAllowanceShort", (issuer, 0, 1))
    world.send(token.functions.burn(1), "issuer")


def test_minters__have_allowances_of_their_own(world: World, token: Any) -> None:
    stranger, governor = world.who["stranger"], world.who["governor"]
    world.send(token.functions.configureMinter(stranger, 10), "mint_controller")
    world.send(token.functions.configureMinter(governor, 20), "mint_controller")
    world.send(token.functions.mint(HOLDER, 10), "stranger")
    assert token.functions.minterAllowance(stranger).call() == 0
    assert token.functions.minterAllowance(governor).call() == 20
    assert not token.functions.isMinter(HOLDER).call()
