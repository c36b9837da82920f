"""The powers over a deployment, each as the one call that uses it, and that call in words, read back from its bytes.

A power is a function that only the holders of a role may call. Which role is asked of the AccessManager, not known
here: what the chain says is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode

from chainwallet.chain.contracts.access_manager import Role, encode_grant_role, encode_revoke_role
from chainwallet.chain.contracts.artifacts import artifact, selector
from chainwallet.chain.contracts.audit_anchor import encode_anchor
from chainwallet.chain.contracts.currency_token import encode_configure_minter
from chainwallet.chain.contracts.settlement_hub import encode_list_currency
from chainwallet.chain.deployment import Deployment
from chainwallet.chain.errors import PowerUnknown
from chainwallet.chain.steps import LEAVE_FIRST_S
from chainwallet.keys.addresses import address_bytes, parse_address

HUB = "hub"
UINT32_MAX = 2**32 - 1

# How long a holder waits between saying what it will do and doing it, unless the grant says otherwise: a wrong listing
# is there for good and wants a second look, and a new minter is what a customer may want to leave before.
HOLDER_DELAY_S = {Role.GOVERNOR: 2 * 86_400, Role.MINT_CONTROLLER: LEAVE_FIRST_S}


@dataclass(frozen=True, slots=True)
class Power:
    """One use of a power: call `data` on the contract `contract`, which is at `target`."""

    contract: str
    target: str
    data: bytes

    @property
    def function(self) -> bytes:
        """The selector that the AccessManager decides about."""
        return self.data[:4]

    def words(self) -> str:
        """The call as its bytes say it: function, and arguments by name."""
        name, arguments = decode_call(self.contract, self.data)
        return f"{self.contract}.{name}({', '.join(f'{key} {value}' for key, value in arguments.items())})"


def decode_call(contract: str, data: bytes) -> tuple[str, dict[str, Any]]:
    """The function and the arguments of a call to one of our contracts; PowerUnknown if it has no such function."""
    for entry in artifact(contract).abi:
        if entry["type"] != "function":
            continue
        types = [argument["type"] for argument in entry["inputs"]]
        if selector(f"{entry['name']}({','.join(types)})") == data[:4]:
            values = decode(types, data[4:])
            named = zip(entry["inputs"], values, strict=True)
            return entry["name"], {argument["name"]: _readable(argument["type"], value) for argument, value in named}
    raise PowerUnknown(f"{contract} has no function 0x{data[:4].hex()}.")


def grant(deployment: Deployment, role: Role, account: str, *, delay_s: int | None = None) -> Power:
    """`account` holds `role`, and waits `delay_s` before each use of it (by default what HOLDER_DELAY_S says)."""
    seconds = HOLDER_DELAY_S.get(role, 0) if delay_s is None else delay_s
    if not 0 <= seconds <= UINT32_MAX:
        raise PowerUnknown(f"A delay is 0 to {UINT32_MAX} seconds, not {seconds}.")
    return Power("AccessManager", deployment.access_manager, encode_grant_role(role, account, seconds))


def revoke(deployment: Deployment, role: Role, account: str) -> Power:
    """`account` no longer holds `role`, at once."""
    return Power("AccessManager", deployment.access_manager, encode_revoke_role(role, account))


def freeze(deployment: Deployment, place: str, account: str) -> Power:
    """In the hub, `account` is debited no more; at a currency's token, it neither sends nor receives."""
    return _at(deployment, place, "freeze(address)", bytes(12) + address_bytes(account))


def unfreeze(deployment: Deployment, place: str, account: str) -> Power:
    """Ends a freeze."""
    return _at(deployment, place, "unfreeze(address)", bytes(12) + address_bytes(account))


def pause(deployment: Deployment, place: str) -> Power:
    """Stops settlement in the hub, or every movement of a currency's token."""
    return _at(deployment, place, "pause()", b"")


def unpause(deployment: Deployment, place: str) -> Power:
    """Ends a pause."""
    return _at(deployment, place, "unpause()", b"")


def configure_minter(deployment: Deployment, code: str, minter: str, units: int) -> Power:
    """`minter` may still create `units` of a currency; what it could before is replaced."""
    return Power("CurrencyToken", _token(deployment, code), encode_configure_minter(minter, units))


def remove_minter(deployment: Deployment, code: str, minter: str) -> Power:
    """`minter` creates and destroys no more of a currency."""
    data = selector("removeMinter(address)") + bytes(12) + address_bytes(minter)
    return Power("CurrencyToken", _token(deployment, code), data)


def list_currency(deployment: Deployment, currency_id: int, token: str) -> Power:
    """The hub takes deposits of `token` as the currency with this id, for good."""
    if not 0 < currency_id < 2**16:
        raise PowerUnknown(f"A currency's id is 1 to 65535, not {currency_id}.")
    return Power("SettlementHub", deployment.hub, encode_list_currency(currency_id, token))


def anchor_root(deployment: Deployment, kind: str, period: int, root: bytes, records: int) -> Power:
    """Keeps the root of a period's records; `period` is the Unix second in which it ended."""
    return Power("AuditAnchor", deployment.anchor, encode_anchor(kind, period, root, records))


def _at(deployment: Deployment, place: str, signature: str, arguments: bytes) -> Power:
    data = selector(signature) + arguments
    if place == HUB:
        return Power("SettlementHub", deployment.hub, data)
    return Power("CurrencyToken", _token(deployment, place), data)


def _token(deployment: Deployment, code: str) -> str:
    if code not in deployment.tokens:
        raise PowerUnknown(f"There is no {code} token here; there are {', '.join(sorted(deployment.tokens))}.")
    return deployment.tokens[code]


def _readable(kind: str, value: Any) -> Any:
    if kind == "address":
        return parse_address(value)
    if kind == "bytes32" and value.rstrip(b"\x00").isascii() and value.rstrip(b"\x00").decode().isprintable():
        return f'"{value.rstrip(bytes(1)).decode()}"'
    return "0x" + value.hex() if isinstance(value, bytes) else value
