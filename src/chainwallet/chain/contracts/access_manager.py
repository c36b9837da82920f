"""OpenZeppelin's AccessManager: one place that says which role may call which function of which contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from eth_abi.abi import decode, encode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.keccak import keccak

if TYPE_CHECKING:
    from chainwallet.chain.node import Node

_GRANT_ROLE = selector("grantRole(uint64,address,uint32)")
_SET_TARGET_FUNCTION_ROLE = selector("setTargetFunctionRole(address,bytes4[],uint64)")
_LABEL_ROLE = selector("labelRole(uint64,string)")
_REVOKE_ROLE = selector("revokeRole(uint64,address)")
_SET_GRANT_DELAY = selector("setGrantDelay(uint64,uint32)")
_SET_TARGET_ADMIN_DELAY = selector("setTargetAdminDelay(address,uint32)")
_EXECUTE = selector("execute(address,bytes)")
_SCHEDULE = selector("schedule(address,bytes,uint48)")
_CANCEL = selector("cancel(address,address,bytes)")
_MULTICALL = selector("multicall(bytes[])")
_HAS_ROLE = selector("hasRole(uint64,address)")
_CAN_CALL = selector("canCall(address,address,bytes4)")
_GET_ACCESS = selector("getAccess(uint64,address)")
_GET_ROLE_ADMIN = selector("getRoleAdmin(uint64)")
_GET_TARGET_FUNCTION_ROLE = selector("getTargetFunctionRole(address,bytes4)")
_GET_SCHEDULE = selector("getSchedule(bytes32)")


class Role(IntEnum):
    """Who may do what. ADMIN grants the others."""

    ADMIN = 0
    GOVERNOR = 1
    SETTLER = 2
    MINT_CONTROLLER = 3
    COMPLIANCE = 4
    PAUSER = 5
    ANCHORER = 6


@dataclass(frozen=True, slots=True)
class Membership:
    """An account's place in a role: from when it holds it (Unix seconds, 0 for never), and its execution delay."""

    since: int
    delay_s: int


def encode_grant_role(role: int, account: str, delay_s: int = 0) -> bytes:
    """The call data of `grantRole`; whatever the holder does with the role then waits `delay_s`."""
    return _GRANT_ROLE + encode(("uint64", "address", "uint32"), (role, address_bytes(account), delay_s))


def encode_revoke_role(role: int, account: str) -> bytes:
    """The call data of `revokeRole`."""
    return _REVOKE_ROLE + encode(("uint64", "address"), (role, address_bytes(account)))


def encode_set_grant_delay(role: int, delay_s: int) -> bytes:
    """The call data of `setGrantDelay`: a new holder waits `delay_s`. The manager lets it begin 5 days later."""
    return _SET_GRANT_DELAY + encode(("uint64", "uint32"), (role, delay_s))


def encode_set_target_admin_delay(target: str, delay_s: int) -> bytes:
    """The call data of `setTargetAdminDelay`: changing who may call what on `target` waits. Begins 5 days later."""
    return _SET_TARGET_ADMIN_DELAY + encode(("address", "uint32"), (address_bytes(target), delay_s))


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


def encode_schedule(target: str, data: bytes) -> bytes:
    """The call data of `schedule`: as early as the caller's delay allows."""
    return _SCHEDULE + encode(("address", "bytes", "uint48"), (address_bytes(target), data, 0))


def encode_cancel(caller: str, target: str, data: bytes) -> bytes:
    """The call data of `cancel`: by the one who scheduled it, or an ADMIN."""
    return _CANCEL + encode(("address", "address", "bytes"), (address_bytes(caller), address_bytes(target), data))


def encode_multicall(calls: Sequence[bytes]) -> bytes:
    """The call data of `multicall`: several calls to the manager in one transaction, all or none."""
    return _MULTICALL + encode(("bytes[]",), (list(calls),))


def encode_has_role(role: int, account: str) -> bytes:
    """The call data of `hasRole`."""
    return _HAS_ROLE + encode(("uint64", "address"), (role, address_bytes(account)))


def encode_get_target_function_role(target: str, function: bytes) -> bytes:
    """The call data of `getTargetFunctionRole`."""
    return _GET_TARGET_FUNCTION_ROLE + encode(("address", "bytes4"), (address_bytes(target), function))


class AccessManager:
    """The manager at an address."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address

    def has_role(self, role: Role, account: str, *, block: int | None = None) -> bool:
        """Whether the account may use the role now, without a delay."""
        is_member, delay_s = self.standing(role, account, block=block)
        return is_member and delay_s == 0

    def standing(self, role: int, account: str, *, block: int | None = None) -> tuple[bool, int]:
        """(whether the account holds the role now, the delay before each use in seconds)."""
        answer = self.node.call(self.address, encode_has_role(role, account), block=block)
        is_member, delay_s = decode(("bool", "uint32"), answer)
        return is_member, delay_s

    def membership(self, role: int, account: str) -> Membership:
        """Since when the account holds the role, which may be in the future, and with which delay."""
        data = _GET_ACCESS + encode(("uint64", "address"), (role, address_bytes(account)))
        since, delay_s, _, _ = decode(("uint48", "uint32", "uint32", "uint48"), self.node.call(self.address, data))
        return Membership(since, delay_s)

    def admin_of(self, role: int) -> int:
        """The role whose holders grant and revoke this one."""
        return _number(self.node.call(self.address, _GET_ROLE_ADMIN + _word(role)))

    def role_for(self, target: str, function: bytes) -> int:
        """The role that calling a restricted function of a contract takes."""
        return _number(self.node.call(self.address, encode_get_target_function_role(target, function)))

    def may_call(self, caller: str, target: str, function: bytes) -> tuple[bool, int]:
        """(at once, after how many seconds' notice); (False, 0) is never. Not for the manager's own functions."""
        arguments = (address_bytes(caller), address_bytes(target), function)
        data = _CAN_CALL + encode(("address", "address", "bytes4"), arguments)
        is_immediate, delay_s = decode(("bool", "uint32"), self.node.call(self.address, data))
        return is_immediate, delay_s

    def ready_at(self, caller: str, target: str, data: bytes) -> int:
        """From when a scheduled call may be executed, Unix seconds; 0 if it is not scheduled, or a week too late."""
        operation = keccak(
            encode(("address", "address", "bytes"), (address_bytes(caller), address_bytes(target), data))
        )
        return _number(self.node.call(self.address, _GET_SCHEDULE + operation))


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")
