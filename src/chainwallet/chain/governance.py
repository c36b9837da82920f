"""Using a power: who may, whether this account may now, what the chain would answer, and doing it.

Where a holder has an execution delay, a power takes two transactions: `schedule` announces the call in public, and
`execute` makes it once the delay is over, within a week. Nothing is sent that the chain, asked first, refuses.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from chainwallet.chain.blocks import Receipt
from chainwallet.chain.contracts.access_manager import (
    AccessManager,
    Role,
    encode_cancel,
    encode_execute,
    encode_schedule,
)
from chainwallet.chain.contracts.artifacts import selector
from chainwallet.chain.errors import CallReverted, PowerNotHeld, PowerWaiting
from chainwallet.chain.node import Node
from chainwallet.chain.powers import Power
from chainwallet.chain.sending import send_call
from chainwallet.keys.signers import Signer

_ROLE_FUNCTIONS = (selector("grantRole(uint64,address,uint32)"), selector("revokeRole(uint64,address)"))


class Standing(StrEnum):
    """Where an account stands with a power."""

    NOT_HELD = "not held"
    IMMEDIATE = "may use it at once"
    TO_ANNOUNCE = "has to announce it first"
    WAITING = "announced, not ready yet"
    READY = "announced, ready"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What using a power would take and do.

    `held_from` is when a grant that still waits takes effect, `ready_at` when an announced call may be executed: Unix
    seconds, 0 where there is none. `send_to` and `send_data` are the next transaction, `refusal` the chain's objection.
    """

    power: Power
    caller: str
    role: int
    standing: Standing
    held_from: int
    delay_s: int
    ready_at: int
    send_to: str
    send_data: bytes
    gas: int
    refusal: CallReverted | None

    @property
    def role_name(self) -> str:
        return Role(self.role).name if self.role in list(Role) else str(self.role)


def assess(node: Node, manager: str, power: Power, caller: str) -> Assessment:
    """Where `caller` stands, the transaction that comes next, and how the chain answers it now. Sends nothing."""
    access = AccessManager(node, manager)
    # A chain of ours that nothing happens on has an old head; its next block is dated now.
    now = max(node.head().timestamp, int(time.time()))
    role, may_now, delay_s = _restriction(access, power, caller)
    since = access.membership(role, caller).since
    ready_at = access.ready_at(caller, power.target, power.data)
    standing = _standing(may_now, delay_s, ready_at, now)
    to, data = {
        Standing.TO_ANNOUNCE: (manager, encode_schedule(power.target, power.data)),
        Standing.READY: (manager, encode_execute(power.target, power.data)),
    }.get(standing, (power.target, power.data))
    gas, refusal = 0, None
    if standing is not Standing.WAITING:
        try:
            gas = node.estimate_gas(to, data, sender=caller)
        except CallReverted as reverted:
            refusal = reverted
    held_from = since if since > now else 0
    return Assessment(power, caller, role, standing, held_from, delay_s, ready_at, to, data, gas, refusal)


def use(node: Node, signer: Signer, found: Assessment) -> Receipt:
    """Send what the assessment says comes next: the call itself, its announcement, or its execution.

    PowerNotHeld, PowerWaiting or CallReverted, and nothing sent, where it cannot work; SendFailed after that.
    """
    if found.standing is Standing.NOT_HELD:
        raise PowerNotHeld(
            f"{found.caller} does not hold {found.role_name}"
            + (f" before {utc(found.held_from)}" if found.held_from else "")
            + ": let a holder send this, or have the role granted.",
        )
    if found.standing is Standing.WAITING:
        raise PowerWaiting(f"It is announced and can be executed from {utc(found.ready_at)} on; run this again then.")
    if found.refusal is not None:
        raise found.refusal
    return send_call(node, signer, found.send_to, found.send_data)


def cancellation(power: Power, announced_by: str) -> bytes:
    """The call to the manager that takes an announcement back: for whoever made it, or an ADMIN."""
    return encode_cancel(announced_by, power.target, power.data)


def _restriction(access: AccessManager, power: Power, caller: str) -> tuple[int, bool, int]:
    """(the role that the call takes, whether the caller may at once, after how many seconds' notice it may)."""
    if power.target != access.address:
        role = access.role_for(power.target, power.function)
        return role, *access.may_call(caller, power.target, power.function)
    role = Role.ADMIN
    if power.function in _ROLE_FUNCTIONS:
        role = access.admin_of(int.from_bytes(power.data[4:36], "big"))
    is_member, delay_s = access.standing(role, caller)
    return role, is_member and delay_s == 0, delay_s if is_member else 0


def _standing(may_now: bool, delay_s: int, ready_at: int, now: int) -> Standing:
    if may_now:
        return Standing.IMMEDIATE
    if delay_s == 0:
        return Standing.NOT_HELD
    if ready_at == 0:
        return Standing.TO_ANNOUNCE
    return Standing.READY if ready_at <= now else Standing.WAITING


def utc(timestamp: int) -> str:
    """A Unix second as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(timestamp))
