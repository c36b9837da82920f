"""A currency's token: what the issuer does with it, and balances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.keys.addresses import address_bytes

if TYPE_CHECKING:
    from chainwallet.chain.node import Node

UNLIMITED = 2**256 - 1

_MINT = selector("mint(address,uint256)")
_APPROVE = selector("approve(address,uint256)")
_CONFIGURE_MINTER = selector("configureMinter(address,uint256)")
_BALANCE_OF = selector("balanceOf(address)")
_ALLOWANCE = selector("allowance(address,address)")
_MINTER_ALLOWANCE = selector("minterAllowance(address)")
_TOTAL_SUPPLY = selector("totalSupply()")

# Restricted functions by who may call them; what the deployer wires.
MINT_CONTROLLER_FUNCTIONS = (_CONFIGURE_MINTER, selector("removeMinter(address)"))
COMPLIANCE_FUNCTIONS = (selector("freeze(address)"), selector("unfreeze(address)"))
PAUSER_FUNCTIONS = (selector("pause()"), selector("unpause()"))


def encode_mint(account: str, units: int) -> bytes:
    """The call data of `mint`: a minter creates units for an account, out of its allowance."""
    return _MINT + _address(account) + _word(units)


def encode_approve(spender: str, units: int) -> bytes:
    """The call data of `approve`."""
    return _APPROVE + _address(spender) + _word(units)


def encode_configure_minter(minter: str, units: int) -> bytes:
    """The call data of `configureMinter`: how much a minter may still create."""
    return _CONFIGURE_MINTER + _address(minter) + _word(units)


def encode_allowance(owner: str, spender: str) -> bytes:
    """The call data of `allowance`."""
    return _ALLOWANCE + _address(owner) + _address(spender)


def encode_minter_allowance(minter: str) -> bytes:
    """The call data of `minterAllowance`."""
    return _MINTER_ALLOWANCE + _address(minter)


def balances_of(node: Node, tokens: Sequence[str], account: str, *, block: int | None = None) -> list[int]:
    """What an account holds of several tokens, in units and in one round trip."""
    calls = [(token, _BALANCE_OF + _address(account)) for token in tokens]
    return [int.from_bytes(answer, "big") for answer in node.call_many(calls, block=block)]


class CurrencyToken:
    """The token at an address. Views read the latest block unless `block` pins them; amounts in units."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address

    def balance_of(self, account: str, *, block: int | None = None) -> int:
        return self._read(_BALANCE_OF + _address(account), block)

    def total_supply(self, *, block: int | None = None) -> int:
        return self._read(_TOTAL_SUPPLY, block)

    def allowance(self, owner: str, spender: str, *, block: int | None = None) -> int:
        """How much `spender` may move of what `owner` holds."""
        return self._read(encode_allowance(owner, spender), block)

    def minter_allowance(self, minter: str, *, block: int | None = None) -> int:
        """How much `minter` may still create."""
        return self._read(encode_minter_allowance(minter), block)

    def _read(self, data: bytes, block: int | None) -> int:
        return int.from_bytes(self.node.call(self.address, data, block=block), "big")


def _address(address: str) -> bytes:
    return bytes(12) + address_bytes(address)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
