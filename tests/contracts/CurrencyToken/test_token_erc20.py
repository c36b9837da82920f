"""The behaviour that OpenZeppelin publishes for an ERC-20 and its extensions, on this token, in words of our own.

Source: https://github.com/OpenZeppelin/openzeppelin-contracts/tree/v5.7.0/test/token/ERC20, ERC20.behavior.js,
ERC20.test.js, extensions/ERC20Permit.test.js and ERC20Pausable.test.js. Refusals carry the values of ERC-6093.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from eth_utils import keccak
from hub_world import EUR, Refusal, World, account
from web3.exceptions import ContractPanicError

HOLDER_UNITS = 100
UNLIMITED = 2**256 - 1
NOBODY = "0x" + "00" * 20
RECIPIENT = account("recipient").address


class Token(NamedTuple):
    """The token, an owner of HOLDER_UNITS and a spender: both accounts that send."""

    world: World
    contract: Any
    owner: str
    spender: str

    def units(self, who: str) -> int:
        return int(self.contract.functions.balanceOf(who).call())

    def allowed(self) -> int:
        return int(self.contract.functions.allowance(self.owner, self.spender).call())

    def approve(self, units: int) -> Any:
        return self.world.send(self.contract.functions.approve(self.spender, units), "stranger")

    def move(self, units: int, *, to: str = RECIPIENT) -> Any:
        """The call by which the spender moves the owner's units."""
        return self.contract.functions.transferFrom(self.owner, to, units)


@pytest.fixture
def token(world: World) -> Token:
    contract, owner = world.tokens[EUR], world.who["stranger"]
    world.send(contract.functions.transfer(owner, HOLDER_UNITS), "issuer")
    return Token(world, contract, owner, world.who["governor"])


def moved(source: str, target: str, units: int) -> tuple[str, dict[str, Any]]:
    return ("Transfer", {"from": source, "to": target, "value": units})


def test_names__are_those_given_at_deployment(token: Token) -> None:
    functions = token.contract.functions
    assert (functions.name().call(), functions.symbol().call()) == (f"Currency {EUR}", f"C{EUR}")


def test_total_supply__is_what_was_minted(token: Token) -> None:
    assert token.contract.functions.totalSupply().call() == 10**15
    token.world.send(token.contract.functions.mint(RECIPIENT, 5), "issuer")
    assert token.contract.functions.totalSupply().call() == 10**15 + 5


def test_balance_of__account_with_and_without_units(token: Token) -> None:
    assert token.units(token.owner) == HOLDER_UNITS
    assert token.units(RECIPIENT) == 0


@pytest.mark.parametrize("units", [HOLDER_UNITS, 1, 0], ids=["all", "some", "none"])
def test_transfer__up_to_what_is_held__moves_and_emits(token: Token, units: int) -> None:
    receipt = token.world.send(token.contract.functions.transfer(RECIPIENT, units), "stranger")
    assert (token.units(token.owner), token.units(RECIPIENT)) == (HOLDER_UNITS - units, units)
    assert token.world.chain.events(receipt) == [moved(token.owner, RECIPIENT, units)]


def test_transfer__returns_true(token: Token) -> None:
    assert token.contract.functions.transfer(RECIPIENT, 1).call({"from": token.owner}) is True
    token.approve(1)
    assert token.move(1).call({"from": token.spender}) is True
    assert token.contract.functions.approve(token.spender, 1).call({"from": token.owner}) is True


def test_transfer__to_itself__changes_nothing(token: Token) -> None:
    token.world.send(token.contract.functions.transfer(token.owner, HOLDER_UNITS), "stranger")
    assert token.units(token.owner) == HOLDER_UNITS


def test_transfer__more_than_held__refused(token: Token) -> None:
    refused = token.world.refused(token.contract.functions.transfer(RECIPIENT, HOLDER_UNITS + 1), "stranger")
    assert refused == Refusal("ERC20InsufficientBalance", (token.owner, HOLDER_UNITS, HOLDER_UNITS + 1))


def test_transfer__to_nobody__refused(token: Token) -> None:
    refused = token.world.refused(token.contract.functions.transfer(NOBODY, 1), "stranger")
    assert refused == Refusal("ERC20InvalidReceiver", (NOBODY,))


@pytest.mark.parametrize("units", [HOLDER_UNITS, 40], ids=["all", "some"])
def test_transfer_from__within_the_allowance__moves_uses_it_up_and_emits_no_approval(token: Token, units: int) -> None:
    token.approve(HOLDER_UNITS)
    receipt = token.world.send(token.move(units), "governor")
    assert (token.units(token.owner), token.units(RECIPIENT)) == (HOLDER_UNITS - units, units)
    assert token.allowed() == HOLDER_UNITS - units
    assert token.world.chain.events(receipt) == [moved(token.owner, RECIPIENT, units)]


def test_transfer_from__owner_holds_too_little__refused(token: Token) -> None:
    token.approve(HOLDER_UNITS)
    token.world.send(token.contract.functions.transfer(RECIPIENT, 1), "stranger")
    refused = token.world.refused(token.move(HOLDER_UNITS), "governor")
    assert refused == Refusal("ERC20InsufficientBalance", (token.owner, HOLDER_UNITS - 1, HOLDER_UNITS))


@pytest.mark.parametrize("held", [HOLDER_UNITS, 0], ids=["owner holds enough", "owner holds nothing"])
def test_transfer_from__allowed_too_little__refused(token: Token, held: int) -> None:
    token.approve(HOLDER_UNITS - 1)
    if held == 0:
        token.world.send(token.contract.functions.transfer(RECIPIENT, HOLDER_UNITS), "stranger")
    refused = token.world.refused(token.move(HOLDER_UNITS), "governor")
    assert refused == Refusal("ERC20InsufficientAllowance", (token.spender, HOLDER_UNITS - 1, HOLDER_UNITS))


def test_transfer_from__unlimited_allowance__is_not_used_up(token: Token) -> None:
    token.approve(UNLIMITED)
    receipt = token.world.send(token.move(1), "governor")
    assert token.allowed() == UNLIMITED
    assert token.world.chain.events(receipt) == [moved(token.owner, RECIPIENT, 1)]


def test_transfer_from__to_nobody__refused(token: Token) -> None:
    token.approve(1)
    assert token.world.refused(token.move(1, to=NOBODY), "governor") == Refusal("ERC20InvalidReceiver", (NOBODY,))


def test_transfer_from__of_nobody__refused(token: Token) -> None:
    call = token.contract.functions.transferFrom(NOBODY, RECIPIENT, 0)
    assert token.world.refused(call, "governor") == Refusal("ERC20InvalidApprover", (NOBODY,))


def test_transfer_from__own_units__needs_an_allowance_too(token: Token) -> None:
    refused = token.world.refused(token.move(1), "stranger")
    assert refused == Refusal("ERC20InsufficientAllowance", (token.owner, 0, 1))


@pytest.mark.parametrize("before", [0, 1], ids=["none before", "one before"])
@pytest.mark.parametrize("units", [HOLDER_UNITS, HOLDER_UNITS + 1, 0], ids=["held", "more than held", "nothing"])
def test_approve__any_amount__replaces_and_emits(token: Token, units: int, before: int) -> None:
    token.approve(before)
    receipt = token.approve(units)
    approval = {"owner": token.owner, "spender": token.spender, "value": units}
    assert token.world.chain.events(receipt) == [("Approval", approval)]
    assert token.allowed() == units


def test_approve__nobody__refused(token: Token) -> None:
    refused = token.world.refused(token.contract.functions.approve(NOBODY, 1), "stranger")
    assert refused == Refusal("ERC20InvalidSpender", (NOBODY,))


def test_mint__beyond_256_bits__panics(token: Token) -> None:
    configure = token.contract.functions.configureMinter(token.world.who["issuer"], UNLIMITED)
    token.world.send(configure, "mint_controller")
    with pytest.raises(ContractPanicError, match="overflow"):
        token.contract.functions.mint(RECIPIENT, UNLIMITED).call({"from": token.world.who["issuer"]})


def test_mint_and_burn__move_from_and_to_nobody(token: Token) -> None:
    issuer = token.world.who["issuer"]
    receipt = token.world.send(token.contract.functions.mint(RECIPIENT, 5), "issuer")
    assert token.world.chain.events(receipt)[0] == moved(NOBODY, RECIPIENT, 5)
    receipt = token.world.send(token.contract.functions.burn(5), "issuer")
    assert token.world.chain.events(receipt)[0] == moved(issuer, NOBODY, 5)


def test_domain__is_the_tokens_own_and_described(token: Token) -> None:
    chain, functions = token.world.chain, token.contract.functions
    fields, name, version, chain_id, contract, salt, extensions = functions.eip712Domain().call()
    described = (bytes(fields), name, version, chain_id, contract, bytes(salt), extensions)
    assert described == (b"\x0f", f"Currency {EUR}", "1", chain.id, token.contract.address, bytes(32), [])
    words = [keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")]
    words += [keccak(text=name), keccak(text=version), chain_id.to_bytes(32, "big")]
    words += [bytes.fromhex(contract[2:]).rjust(32, b"\x00")]
    assert bytes(functions.DOMAIN_SEPARATOR().call()) == keccak(b"".join(words))


def test_nonces__before_any_permit__are_zero(token: Token) -> None:
    assert token.contract.functions.nonces(token.owner).call() == 0


def test_authority__is_the_access_manager_and_only_it_replaces_itself(token: Token) -> None:
    world = token.world
    assert token.contract.functions.authority().call() == world.manager.address
    assert bytes(token.contract.functions.isConsumingScheduledOp().call()) == bytes(4)
    for who in world.who:
        refused = world.refused(token.contract.functions.setAuthority(world.manager.address), who)
        assert refused == Refusal("AccessManagedUnauthorized", (world.who[who],))
