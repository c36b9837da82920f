"""OpenZeppelin's AccessManager: one place that says which role may call which function of which contract."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from eth_abi.abi import decode, encode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.keys.addresses import address_bytes

if TYPE_CHECKING:
    from chainwallet.chain.node import Node

_GRANT_ROLE = selector("grantRole(uint64,address,uint32)")
_SET_TARGET_FUNCTION_ROLE = selector("setTargetFunctionRole(address,bytes4[],uint64)")
_LABEL_ROLE = selector("labelRole(uint64,string)")
_EXECUTE = selector("execute(address,bytes)")
_MULTICALL = selector("multicall(bytes[])")
_HAS_ROLE = selector("hasRole(uint64,address)")


class Role(IntEnum):
    """Who may do what. ADMIN grants the others."""

    ADMIN = 0
    GOVERNOR = 1
    SETTLER = 2
    MINT_CONTROLLER = 3
    COMPLIANCE = 4
    PAUSER = 5


def encode_grant_role(role: Role, account: str) -> bytes:
    """The call data of `grantRole`, without an execution delay."""
    return _GRANT_ROLE + encode(("uint64", "address", "uint32"), (role, address_bytes(account), 0))


def encode_set_target_function_role(target: str, selectors: Sequence[bytes], role: Role) -> bytes:
    """The call data of `setTargetFunctionRole`: calling these functions of `target` takes `role`."""
    arguments = (address_bytes(target), list(selectors), role)
    return _SET_TARGET_FUNCTION_ROLE + encode(("address", "bytes4[]", "uint64"), arguments)


def encode_label_role(role: Role) -> bytes:
    """The call data of `labelRole`: explorers show the role by name."""
    return _LABEL_ROLE + encode(("uint64", "string"), (role, role.name))


def encode_execute(target: str, data: bytes) -> bytes:
    """The call data of `execute`: the manager calls `target` for a caller that may."""
    return _EXECUTE + encode(("address", "bytes"), (address_bytes(target), data))


def encode_multicall(calls: Sequence[bytes]) -> bytes:
    """The call data of `multicall`: several calls to the manager in one transaction, all or none."""
    return _MULTICALL + encode(("bytes[]",), (list(calls),))


def encode_has_role(role: Role, account: str) -> bytes:
    """The call data of `hasRole`."""
    return _HAS_ROLE + encode(("uint64", "address"), (role, address_bytes(account)))


class AccessManager:
    """The manager at an address."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address

    def has_role(self, role: Role, account: str, *, block: int | None = None) -> bool:
        """Whether the account may use the role now."""
        answer = self.node.call(self.address, encode_has_role(role, account), block=block)
        is_member, delay_s = decode(("bool", "uint32"), answer)
        return bool(is_member) and delay_s == 0
