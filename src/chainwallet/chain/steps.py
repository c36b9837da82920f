"""The deployment as a list of steps: what each is, what it sends, and how the chain shows that it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from eth_abi.abi import encode

from chainwallet.chain.contracts.access_manager import (
    Role,
    encode_execute,
    encode_get_target_function_role,
    encode_grant_role,
    encode_label_role,
    encode_multicall,
    encode_set_grant_delay,
    encode_set_target_admin_delay,
    encode_set_target_function_role,
)
from chainwallet.chain.contracts.artifacts import artifact
from chainwallet.chain.contracts.audit_anchor import ANCHOR
from chainwallet.chain.contracts.currency_token import (
    COMPLIANCE_FUNCTIONS,
    MINT_CONTROLLER_FUNCTIONS,
    PAUSER_FUNCTIONS,
    UNLIMITED,
    encode_allowance,
    encode_approve,
    encode_configure_minter,
)
from chainwallet.chain.contracts.settlement_hub import LIST_CURRENCY, SETTLE, encode_list_currency, encode_token_of
from chainwallet.chain.deployment import Record
from chainwallet.chain.node import Node
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.keccak import keccak
from chainwallet.kit.money import currency

EXIT_DELAY_S = (
    86_400  # a day: time for compliance to see a request, and for an owner to have left before most powers act
)

# What may change around a customer's money waits this long: whoever wants to leave first, can (docs/decisions/0005).
LEAVE_FIRST_S = 7 * 86_400
DELAYED_ROLES = (Role.ADMIN, Role.GOVERNOR, Role.SETTLER, Role.MINT_CONTROLLER, Role.COMPLIANCE, Role.PAUSER)


class StepKind(Enum):
    """What a step does; `wave` says when, `gas_about` is what it used when this was written."""

    MANAGER = (1, 3_000_000)
    HUB = (2, 3_600_000)
    TOKEN = (2, 2_600_000)
    ANCHOR = (2, 600_000)
    ROLES = (3, 650_000)
    WIRING = (3, 320_000)
    APPROVAL = (3, 47_000)

    def __init__(self, wave: int, gas_about: int) -> None:
        self.wave = wave
        self.gas_about = gas_about


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to have on the chain. `id` names it in the record; `code` is the currency that it is for, if any."""

    id: str
    kind: StepKind
    title: str
    code: str = ""

    @property
    def wave(self) -> int:
        return self.kind.wave

    @property
    def gas_about(self) -> int:
        return self.kind.gas_about

    @property
    def creates(self) -> bool:
        """Whether it puts a contract on the chain."""
        return self.kind in (StepKind.MANAGER, StepKind.HUB, StepKind.TOKEN, StepKind.ANCHOR)

    @property
    def bundled(self) -> bool:
        """Whether several go into one transaction, as calls to the manager."""
        return self.kind in (StepKind.ROLES, StepKind.WIRING)


@dataclass(frozen=True, slots=True)
class Action:
    """What a transaction sends: to a contract, or to nobody to create one."""

    to: str | None
    data: bytes


def plan_steps(codes: Sequence[str]) -> list[Step]:
    """Every step for these currencies, in an order that works; UnknownCurrency if one does not exist."""
    codes = [currency(code).code for code in dict.fromkeys(codes)]
    return [
        Step("manager", StepKind.MANAGER, "create the access manager"),
        Step("hub", StepKind.HUB, "create the settlement hub"),
        Step("anchor", StepKind.ANCHOR, "create the audit anchor"),
        *(Step(f"token:{code}", StepKind.TOKEN, f"create the {code} token", code) for code in codes),
        Step("roles", StepKind.ROLES, "grant the operator's roles, guard hub and anchor, set the delays"),
        *(
            Step(f"currency:{code}", StepKind.WIRING, f"guard, list and open {code} for minting", code)
            for code in codes
        ),
        *(Step(f"approve:{code}", StepKind.APPROVAL, f"let the hub take the issuer's {code}", code) for code in codes),
    ]


class Surroundings:
    """Where steps happen: the chain, what is recorded so far, and the account that deploys, settles and issues."""

    def __init__(self, node: Node, record: Record, account: str) -> None:
        self.node = node
        self.record = record
        self.account = account

    def action(self, steps: Sequence[Step]) -> Action:
        """The transaction that does one step, or several bundled ones."""
        first = steps[0]
        if first.bundled:
            return Action(self._at("manager"), encode_multicall([call for step in steps for call in self._calls(step)]))
        if first.kind is StepKind.APPROVAL:
            return Action(self._at(f"token:{first.code}"), encode_approve(self._at("hub"), UNLIMITED))
        return Action(None, self._creation(first))

    def _creation(self, step: Step) -> bytes:
        if step.kind is StepKind.MANAGER:
            return artifact("AccessManager").bytecode + encode(("address",), (address_bytes(self.account),))
        manager = address_bytes(self._at("manager"))
        if step.kind is StepKind.HUB:
            treasury = address_bytes(self.record.treasury)
            arguments = encode(("address", "address", "uint64"), (manager, treasury, EXIT_DELAY_S))
            return artifact("SettlementHub").bytecode + arguments
        if step.kind is StepKind.ANCHOR:
            return artifact("AuditAnchor").bytecode + encode(("address",), (manager,))
        names = (f"chainwallet {step.code}", f"{step.code}c")
        return artifact("CurrencyToken").bytecode + encode(("string", "string", "address"), (*names, manager))

    def _calls(self, step: Step) -> Iterator[bytes]:
        """The calls to the manager that a bundled step is made of."""
        hub = self._at("hub")
        if step.kind is StepKind.ROLES:
            yield from self._role_calls(hub, self._at("anchor"))
            return
        token = self._at(f"token:{step.code}")
        # Before the token's functions are guarded: until then they are the administrator's, whichever roles are mined.
        yield encode_execute(token, encode_configure_minter(self.account, UNLIMITED))
        yield encode_execute(hub, encode_list_currency(currency(step.code).id, token))
        yield encode_set_target_function_role(token, MINT_CONTROLLER_FUNCTIONS, Role.MINT_CONTROLLER)
        yield encode_set_target_function_role(token, COMPLIANCE_FUNCTIONS, Role.COMPLIANCE)
        yield encode_set_target_function_role(token, PAUSER_FUNCTIONS, Role.PAUSER)
        yield encode_set_target_admin_delay(token, LEAVE_FIRST_S)

    def _role_calls(self, hub: str, anchor: str) -> Iterator[bytes]:
        for role in Role:
            if role is not Role.ADMIN:
                yield encode_label_role(role)
                yield encode_grant_role(role, self.account)
        yield encode_set_target_function_role(hub, [SETTLE], Role.SETTLER)
        yield encode_set_target_function_role(hub, [LIST_CURRENCY], Role.GOVERNOR)
        yield encode_set_target_function_role(hub, COMPLIANCE_FUNCTIONS, Role.COMPLIANCE)
        yield encode_set_target_function_role(hub, PAUSER_FUNCTIONS, Role.PAUSER)
        for role in DELAYED_ROLES:
            yield encode_set_grant_delay(role, LEAVE_FIRST_S)
        yield encode_set_target_admin_delay(hub, LEAVE_FIRST_S)
        yield encode_set_target_function_role(anchor, [ANCHOR], Role.ANCHORER)

    def _at(self, step_id: str) -> str:
        address = self.record.address(step_id)
        if address is None:
            raise LookupError(f"{step_id} is not deployed yet: the waves are out of order")
        return address


def missing_steps(around: Surroundings, steps: Sequence[Step]) -> list[Step]:
    """The steps that the chain does not show as done. Records of contracts that are not there are dropped.

    Two round trips: is the code of every contract what was recorded, and does the rest read as it should. A bundle is
    atomic, so one look at the last thing a step does stands for all of it.
    """
    _drop_absent(around)
    record = around.record
    probes: list[tuple[Step, tuple[str, bytes], bytes]] = []
    missing = []
    for step in steps:
        if step.creates:
            if record.address(step.id) is None:
                missing.append(step)
            continue
        probe = _probe(around, step)
        if probe is None:
            missing.append(step)
        else:
            probes.append((step, *probe))
    answers = around.node.call_many([call for _, call, _ in probes])
    missing += [
        step for (step, _, expected), answer in zip(probes, answers, strict=True) if not answer.startswith(expected)
    ]
    for step in missing:
        record.steps.pop(step.id, None)
    absent = {step.id for step in missing}
    return [step for step in steps if step.id in absent]


def _drop_absent(around: Surroundings) -> None:
    record = around.record
    recorded = [(step_id, entry) for step_id, entry in record.steps.items() if "address" in entry]
    codes = around.node.codes([entry["address"] for _, entry in recorded])
    for (step_id, entry), code in zip(recorded, codes, strict=True):
        if not code or "0x" + keccak(code).hex() != entry["code_hash"]:
            del record.steps[step_id]


def _probe(around: Surroundings, step: Step) -> tuple[tuple[str, bytes], bytes] | None:
    """A view to call and how its answer starts if the step is done; None if a contract it needs is not there."""
    record = around.record
    manager, hub, anchor = record.address("manager"), record.address("hub"), record.address("anchor")
    token = record.address(f"token:{step.code}")
    if manager is None or hub is None or anchor is None or (step.code and token is None):
        return None
    if step.kind is StepKind.ROLES:
        # Not whether the deployer holds the roles: once they are handed on, it no longer does.
        return (manager, encode_get_target_function_role(anchor, ANCHOR)), Role.ANCHORER.to_bytes(32, "big")
    assert token is not None
    if step.kind is StepKind.WIRING:
        return (hub, encode_token_of(currency(step.code).id)), bytes(12) + address_bytes(token)
    return (token, encode_allowance(around.account, hub)), UNLIMITED.to_bytes(32, "big")
