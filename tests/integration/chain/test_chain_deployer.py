"""Deployment: complete, idempotent, resumable after every step, dry unless told otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainwallet.chain.deployer import deploy, plan
from chainwallet.chain.errors import DeploymentFailed, DeploymentIncomplete
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.outcome import Rejected, RejectReason
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.money import UnknownCurrency

CODES = ["EUR", "USD", "JPY"]
ALL_CODES = (
    "AED AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KRW KWD MXN MYR NOK NZD PHP PLN RON SAR SEK "
    "SGD THB TRY USD ZAR"
)
STEPS = 4 + 3 * len(CODES)


class Interrupted(Exception):
    """A process that dies here."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deployments"


@pytest.fixture
def funded(node: Node, operator: LocalSigner) -> LocalSigner:
    node.fund(operator.address)
    return operator


def test_deploy__fresh_chain__everything_recorded_with_code_on_chain(
    node: Node, funded: LocalSigner, folder: Path
) -> None:
    said: list[str] = []
    deployment = deploy(node, funded, currencies=CODES, folder=folder, broadcast=True, say=said.append)
    record = json.loads((folder / f"{node.chain_id}.json").read_text())
    assert len(record["steps"]) == STEPS
    assert record["pending"] == {}
    assert record["genesis_hash"] == deployment.genesis_hash == node.genesis_hash
    assert list(deployment.tokens) == CODES
    assert all(node.code(address) for address in [deployment.hub, *deployment.tokens.values()])
    assert deployment.block == record["steps"]["manager"]["block"]
    assert said[-1].startswith(f"deployed: {STEPS} steps")


def test_deploy__second_time__does_nothing_and_says_so(node: Node, funded: LocalSigner, folder: Path) -> None:
    first = deploy(node, funded, currencies=CODES, folder=folder, broadcast=True)
    height, said = node.head().number, list[str]()
    again = deploy(node, funded, currencies=CODES, folder=folder, broadcast=True, say=said.append)
    assert again == first
    assert node.head().number == height
    assert said == [f"{STEPS} steps, all on chain {node.chain_id} already: nothing to do"]


def test_deploy__another_currency_later__only_its_own_steps(node: Node, funded: LocalSigner, folder: Path) -> None:
    first = deploy(node, funded, currencies=CODES, folder=folder, broadcast=True)
    found = plan(node, funded, currencies=[*CODES, "CHF"], folder=folder)
    assert [step.id for step in found.missing] == ["token:CHF", "currency:CHF", "approve:CHF"]
    second = deploy(node, funded, currencies=[*CODES, "CHF"], folder=folder, broadcast=True)
    assert second.hub == first.hub
    assert {code: second.tokens[code] for code in CODES} == first.tokens


def test_deploy__without_broadcast__writes_and_sends_nothing(node: Node, funded: LocalSigner, folder: Path) -> None:
    height, said = node.head().number, list[str]()
    with pytest.raises(DeploymentIncomplete, match="--broadcast"):
        deploy(node, funded, currencies=CODES, folder=folder, broadcast=False, say=said.append)
    assert said[0] == "would create the access manager"
    assert len(said) == STEPS
    found = plan(node, funded, currencies=CODES, folder=folder)
    assert (found.done, len(found.missing)) == (0, STEPS)
    assert found.gas > 10_000_000
    assert not folder.exists()
    assert node.head().number == height


def test_deploy__without_broadcast_where_all_is_done__finds_it(node: Node, funded: LocalSigner, folder: Path) -> None:
    first = deploy(node, funded, currencies=CODES, folder=folder, broadcast=True)
    assert deploy(node, funded, currencies=CODES, folder=folder, broadcast=False) == first


def _interrupt_after(monkeypatch: pytest.MonkeyPatch, method: str, count: int, *, before: bool) -> Callable[[], int]:
    """Make the node die at its `count`-th call of `method`, before or after it takes effect; how many were made."""
    calls = 0
    real = getattr(Node, method)

    def dying(self: Node, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == count:
            raise Interrupted
        result = real(self, *arguments, **options)
        if not before and calls == count:
            raise Interrupted
        return result

    monkeypatch.setattr(Node, method, dying)
    return lambda: calls


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("method", ["send_raw", "receipt"])
def test_deploy__killed_at_every_step__resumes_to_the_same_end(
    anvil: Node, operator: LocalSigner, tmp_path: Path, method: str, before: bool
) -> None:
    """At every transaction of the run, before and after it is sent, and before and after it is seen mined."""
    anvil.fund(operator.address)
    snapshot = anvil.request("evm_snapshot", [])
    finished = False
    count = 0
    while not finished:
        count += 1
        folder = tmp_path / f"{method}-{before}-{count}"
        with pytest.MonkeyPatch.context() as patch:
            calls = _interrupt_after(patch, method, count, before=before)
            with contextlib.suppress(Interrupted):
                deploy(anvil, operator, currencies=["EUR", "USD"], folder=folder, broadcast=True)
            finished = calls() < count
        sent_before = anvil.nonce(operator.address)
        deployment = deploy(anvil, operator, currencies=["EUR", "USD"], folder=folder, broadcast=True)
        assert anvil.nonce(operator.address) == 8, f"sent twice after dying at call {count} (at nonce {sent_before})"
        assert deploy(anvil, operator, currencies=["EUR", "USD"], folder=folder, broadcast=False) == deployment
        assert anvil.request("evm_revert", [snapshot])
        snapshot = anvil.request("evm_snapshot", [])
    assert count == 9 if method == "send_raw" else count >= 9


def test_deploy__killed_while_the_record_was_lost__still_ends_complete(
    anvil: Node, operator: LocalSigner, folder: Path
) -> None:
    anvil.fund(operator.address)
    with pytest.MonkeyPatch.context() as patch:
        _interrupt_after(patch, "send_raw", 4, before=False)
        with pytest.raises(Interrupted):
            deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=True)
    (folder / f"{anvil.chain_id}.json").unlink()
    anvil.request(
        "evm_mine", []
    )  # anvil mines beside its answer, and without the record only the chain knows the nonce
    deployment = deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=True)
    assert deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=False) == deployment


def test_deploy__chain_lost_its_last_blocks__redoes_just_those(
    anvil: Node, operator: LocalSigner, folder: Path
) -> None:
    anvil.fund(operator.address)
    with pytest.MonkeyPatch.context() as patch:
        _interrupt_after(patch, "send_raw", 4, before=True)
        with pytest.raises(Interrupted):
            deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=True)
    snapshot = anvil.request("evm_snapshot", [])
    before = deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=True)
    anvil.request("evm_revert", [snapshot])
    found = plan(anvil, operator, currencies=CODES, folder=folder)
    assert 0 < len(found.missing) < STEPS
    after = deploy(anvil, operator, currencies=CODES, folder=folder, broadcast=True)
    assert (after.access_manager, after.hub) == (before.access_manager, before.hub)
    assert plan(anvil, operator, currencies=CODES, folder=folder).missing == ()


def test_deploy__record_of_another_chain__set_aside(operator: LocalSigner, folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    for turn in ("one", "two"):
        node = open_node("anvil", data_dir=tmp_path / turn)
        try:
            node.fund(operator.address)
            deploy(node, operator, currencies=["EUR"], folder=folder, broadcast=True, say=said.append)
        finally:
            node.close()
    assert (folder / "31337.json.old").exists()
    assert any("31337.json.old" in line for line in said)


def test_deploy__another_key_or_treasury__refused(node: Node, funded: LocalSigner, folder: Path) -> None:
    deploy(node, funded, currencies=["EUR"], folder=folder, broadcast=True)
    with pytest.raises(DeploymentIncomplete, match="use that key"):
        deploy(node, LocalSigner("0x" + "99" * 32), currencies=["EUR"], folder=folder, broadcast=True)
    with pytest.raises(DeploymentIncomplete, match="treasury is fixed"):
        deploy(node, funded, currencies=["EUR"], folder=folder, broadcast=True, treasury="0x" + "00" * 19 + "01")


def test_deploy__treasury_given__receives_the_surplus(node: Node, funded: LocalSigner, folder: Path) -> None:
    treasury = LocalSigner("0x" + "88" * 32).address
    deployment = deploy(node, funded, currencies=["EUR"], folder=folder, broadcast=True, treasury=treasury)
    assert deployment.treasury == treasury


def test_deploy__currency_that_does_not_exist__refused_before_anything_is_sent(
    node: Node, funded: LocalSigner, folder: Path
) -> None:
    with pytest.raises(UnknownCurrency):
        deploy(node, funded, currencies=["EUR", "XXXX"], folder=folder, broadcast=True)
    assert not folder.exists()


def test_deploy__damaged_record__refused(node: Node, funded: LocalSigner, folder: Path) -> None:
    folder.mkdir()
    (folder / f"{node.chain_id}.json").write_text('{"chain_id": 1')
    with pytest.raises(DeploymentIncomplete, match="not a deployment record"):
        deploy(node, funded, currencies=["EUR"], folder=folder, broadcast=True)


def test_deploy__node_refuses__failed_with_the_nodes_words(
    node: Node, funded: LocalSigner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "send_raw", lambda self, raw: Rejected(RejectReason.UNDERPRICED, "too cheap"))
    with pytest.raises(DeploymentFailed, match="too cheap"):
        deploy(node, funded, currencies=["EUR"], folder=folder, broadcast=True)


@pytest.mark.slow
def test_deploy__33_currencies__within_seconds(node: Node, funded: LocalSigner, folder: Path) -> None:
    codes = sorted(code for code in ALL_CODES.split())
    deployment = deploy(node, funded, currencies=codes, folder=folder, broadcast=True)
    assert len(deployment.tokens) == 33
    largest = max(
        step["gas_used"] for step in json.loads((folder / f"{node.chain_id}.json").read_text())["steps"].values()
    )
    assert largest < 1 << 24, "EIP-7825 caps a transaction at 2**24 gas"
