"""Deploys the contracts and wires who may do what: resumable at every step, and nothing to do the second time.

Steps are looked up on the chain before anything is sent, so a record that is behind the chain, or ahead of a chain
that lost blocks, leads to the same end. A wave is signed, recorded, then sent without waiting in between: 33
currencies take three waves, however long a block takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainwallet.chain.blocks import Receipt
from chainwallet.chain.deployment import Deployment, Record, path_for, set_aside_stale
from chainwallet.chain.errors import DeploymentFailed, DeploymentIncomplete
from chainwallet.chain.fees import suggest
from chainwallet.chain.node import Node
from chainwallet.chain.outcome import Rejected, RejectReason
from chainwallet.chain.sending import FEE_CAP_WEI, MINED_TIMEOUT_S, wait_until_mined
from chainwallet.chain.steps import Step, StepKind, Surroundings, missing_steps, plan_steps
from chainwallet.keys.intents import Transaction
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signers import SignedTransaction, Signer

GWEI = 10**9
GAS_TX_MAX = 16_000_000  # EIP-7825 caps a transaction at 2**24 gas

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step that is missing: what it does and about how much gas it takes."""

    id: str
    title: str
    gas: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What deploying would do. Nothing is missing where everything is on the chain already."""

    chain_id: int
    path: Path
    deployer: str
    done: int
    missing: tuple[PlannedStep, ...]
    fee_wei: int

    @property
    def gas(self) -> int:
        return sum(step.gas for step in self.missing)


def plan(node: Node, signer: Signer, *, currencies: Sequence[str], folder: Path, treasury: str | None = None) -> Plan:
    """What `deploy` would do now, with estimates of gas and its cost at the current fee. Writes and sends nothing."""
    record = _record(node, signer, folder, treasury)
    around = Surroundings(node, record, signer.address)
    steps = plan_steps(currencies)
    missing = missing_steps(around, steps)
    planned = tuple(PlannedStep(step.id, step.title, step.gas_about) for step in missing)
    max_fee_wei, _ = suggest(node, FEE_CAP_WEI)
    return Plan(
        chain_id=node.chain_id,
        path=path_for(folder, node),
        deployer=signer.address,
        done=len(steps) - len(planned),
        missing=planned,
        fee_wei=max_fee_wei * sum(step.gas for step in planned),
    )


def deploy(
    node: Node,
    signer: Signer,
    *,
    currencies: Sequence[str],
    folder: Path,
    broadcast: bool,
    treasury: str | None = None,
    say: Say = _silent,
) -> Deployment:
    """The contracts for these currencies: found where they are, deployed where they are missing.

    The signer becomes administrator, settler and sandbox issuer (minter) of every currency; surplus goes to
    `treasury` (by default the signer). Idempotent and resumable: the record in `folder` is written before each wave
    and after each confirmed step. Without `broadcast` nothing is written or sent, and DeploymentIncomplete says what
    is missing. DeploymentFailed when a transaction is refused, reverts, or is not mined in time: run it again.
    """
    steps = plan_steps(currencies)
    if broadcast and (aside := set_aside_stale(folder, node)) is not None:
        say(f"the record was of another chain with this id; it is now {aside}")
    record = _record(node, signer, folder, treasury)
    around = Surroundings(node, record, signer.address)
    missing = missing_steps(around, steps)
    if missing and not broadcast:
        for step in missing:
            say(f"would {step.title}")
        raise DeploymentIncomplete(
            f"{len(missing)} of {len(steps)} deployment steps are missing on chain {node.chain_id}: "
            "run `chainwallet deploy --broadcast`, or put its record into the deployments folder.",
            missing=len(missing),
        )
    if not missing:
        say(f"{len(steps)} steps, all on chain {node.chain_id} already: nothing to do")
    else:
        _Run(node, signer, record, around, say).execute(steps, missing)
        say(f"deployed: {len(missing)} steps, recorded in {record.path}")
    return record.deployment(list(currencies))


def _record(node: Node, signer: Signer, folder: Path, treasury: str | None) -> Record:
    found = Record.load(folder, node)
    if found is None:
        return Record(
            path_for(folder, node), node.chain_id, node.genesis_hash, signer.address, treasury or signer.address
        )
    if found.deployer != signer.address:
        raise DeploymentIncomplete(
            f"{found.path} is the deployment of {found.deployer}, and this key is {signer.address}: use that key, or "
            "another deployments folder."
        )
    if treasury is not None and found.treasury != treasury:
        raise DeploymentIncomplete(
            f"The hub's treasury is fixed: {found.treasury} in {found.path}, not {treasury}. Deploy a new hub into "
            "another deployments folder."
        )
    return found


@dataclass(slots=True)
class _Sent:
    """A transaction on its way, and the steps that it completes."""

    signed: SignedTransaction
    nonce: int
    steps: list[Step]


class _Run:
    """One run that sends: waves of transactions, each recorded before it leaves and when it is mined."""

    def __init__(self, node: Node, signer: Signer, record: Record, around: Surroundings, say: Say) -> None:
        self._node = node
        self._signer = signer
        self._record = record
        self._around = around
        self._say = say
        self._gas: dict[StepKind, int] = {}

    def execute(self, steps: Sequence[Step], missing: Sequence[Step]) -> None:
        self._adopt_pending(steps)
        for wave in sorted({step.wave for step in missing}):
            todo = [step for step in missing if step.wave == wave and step.id not in self._record.steps]
            if todo:
                self._wave(todo)

    def _adopt_pending(self, steps: Sequence[Step]) -> None:
        """Transactions of a run that was cut off: those that were mined count, the others never left or are lost."""
        by_id = {step.id: step for step in steps}
        sent: dict[str, list[Step]] = {}
        for step_id, entry in self._record.pending.items():
            if step_id in by_id:
                sent.setdefault(entry["tx_hash"], []).append(by_id[step_id])
        for tx_hash, covered in sent.items():
            receipt = self._node.receipt(tx_hash)
            if receipt is None and self._node.knows(tx_hash):
                receipt = self._mined(tx_hash)
            if receipt is not None and receipt.status:
                self._confirm(covered, receipt)
        self._record.pending.clear()

    def _wave(self, steps: Sequence[Step]) -> None:
        nonce = self._node.nonce(self._signer.address)
        fees = suggest(self._node, FEE_CAP_WEI)
        sent = [self._sign(group, nonce + offset, fees) for offset, group in enumerate(self._group(steps))]
        self._record.pending = {
            step.id: {"tx_hash": one.signed.hash, "nonce": one.nonce} for one in sent for step in one.steps
        }
        self._record.save()
        for one in sent:
            self._send(one)
        for one in sent:
            receipt = self._mined(one.signed.hash, one.signed.raw)
            titles = ", ".join(step.title for step in one.steps[:2]) + (", ..." if len(one.steps) > 2 else "")
            if not receipt.status:
                raise DeploymentFailed(f"Transaction {one.signed.hash} ({titles}) reverted; see why, then run again.")
            self._confirm(one.steps, receipt)
            self._say(f"{titles} (block {receipt.block_number}, {receipt.gas_used:,} gas)")

    def _group(self, steps: Sequence[Step]) -> Iterator[list[Step]]:
        """Contracts and approvals one a transaction; calls to the manager together, as many as a transaction holds."""
        bundle: list[Step] = []
        gas = 0
        for step in steps:
            if not step.bundled:
                yield [step]
                continue
            if bundle and gas + step.gas_about > GAS_TX_MAX // 2:
                yield bundle
                bundle, gas = [], 0
            bundle.append(step)
            gas += step.gas_about
        if bundle:
            yield bundle

    def _sign(self, steps: list[Step], nonce: int, fees: tuple[int, int]) -> _Sent:
        action = self._around.action(steps)
        kind = steps[0].kind
        # Steps of one kind cost the same but for a name's length; bundles differ. The margin covers that.
        estimated = None if steps[0].bundled else self._gas.get(kind)
        if estimated is None:
            estimated = self._node.estimate_gas(action.to, action.data, sender=self._signer.address)
            self._gas[kind] = estimated
        gas = estimated + estimated // 5
        max_fee_wei, tip_wei = fees
        transaction = Transaction(self._node.chain_id, nonce, action.to, action.data, gas, max_fee_wei, tip_wei)
        return _Sent(self._signer.sign_transaction(transaction), nonce, steps)

    def _send(self, one: _Sent) -> None:
        outcome = self._node.send_raw(one.signed.raw)
        if isinstance(outcome, Rejected):
            mined = outcome.reason == RejectReason.NONCE_TOO_LOW and self._node.receipt(one.signed.hash) is not None
            if not mined:
                raise DeploymentFailed(
                    f"The node refuses to {one.steps[0].title} ({outcome.reason}): {outcome.message}. Run it again "
                    "once that is mended; what is done stays done."
                )

    def _mined(self, tx_hash: str, raw: bytes | None = None) -> Receipt:
        receipt = wait_until_mined(self._node, tx_hash, raw)
        if receipt is None:
            raise DeploymentFailed(f"Transaction {tx_hash} was not mined in {MINED_TIMEOUT_S:.0f} s; run it again.")
        return receipt

    def _confirm(self, steps: Sequence[Step], receipt: Receipt) -> None:
        for step in steps:
            entry = {"tx_hash": receipt.tx_hash, "block": receipt.block_number, "gas_used": receipt.gas_used}
            if step.creates and receipt.contract_address is not None:
                code = self._node.code(receipt.contract_address)
                entry |= {"address": receipt.contract_address, "code_hash": "0x" + keccak(code).hex()}
            self._record.steps[step.id] = entry
            self._record.pending.pop(step.id, None)
        self._record.save()
