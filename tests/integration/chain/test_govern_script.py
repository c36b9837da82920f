"""scripts/govern.py: dry unless --broadcast, every power a command, announced and executed where a delay is set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from tests.running_scripts import load_script

from chainwallet.chain.contracts.access_manager import AccessManager, Role
from chainwallet.chain.contracts.artifacts import artifact
from chainwallet.chain.contracts.audit_anchor import AuditAnchor
from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.node import Node
from chainwallet.entrypoints.cli.governing import _COMMANDS
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import LocalSigner

OPERATOR_KEY = "0x" + "11" * 32
HOLDER = LocalSigner("0x" + "22" * 32).address
SOMEBODY = LocalSigner("0x" + "33" * 32).address
GWEI = 10**9

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(anvil_world: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the script against the deployed anvil with the operator's key, or with another; (exit code, output)."""
    script = load_script("govern")

    def call(*arguments: str, key: str | None = OPERATOR_KEY) -> tuple[int, str]:
        monkeypatch.delenv("CHAINWALLET_DEPLOYER_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("CHAINWALLET_DEPLOYER_KEY", key)
        where = ("--rpc-url", anvil_world.node.url, "--deployments", str(tmp_path / "deployments"))
        return script.main([*arguments, *where]), capsys.readouterr().out

    return call


def test_freeze__dry_then_done(anvil_world: Any, run: Run) -> None:
    nonce = anvil_world.node.nonce(anvil_world.operator.address)
    code, out = run("freeze", "hub", SOMEBODY)
    assert code == 0, out
    assert f"SettlementHub.freeze(account {SOMEBODY})" in out
    assert "the role COMPLIANCE (4)" in out
    assert f"{anvil_world.operator.address} may use it at once" in out
    assert "it works, with " in out
    assert "Nothing was sent." in out
    assert anvil_world.node.nonce(anvil_world.operator.address) == nonce

    code, out = run("freeze", "hub", SOMEBODY, "--broadcast")
    assert code == 0, out
    assert "done: " in out
    assert anvil_world.node.nonce(anvil_world.operator.address) == nonce + 1

    code, out = run("freeze", "hub", SOMEBODY)
    assert code == 1
    assert "AccountAlreadyFrozen" in out
    code, out = run("freeze", "hub", SOMEBODY, "--broadcast")
    assert (code, "AccountAlreadyFrozen" in out) == (1, True)
    assert anvil_world.node.nonce(anvil_world.operator.address) == nonce + 1, "what the chain refuses is not sent"


def test_every_command__runs_dry(anvil_world: Any, run: Run) -> None:
    root = "0x" + "09" * 32
    arguments = {
        "grant": ["PAUSER", SOMEBODY],
        "revoke": ["pauser", anvil_world.operator.address],
        "delay": ["PAUSER", anvil_world.operator.address, "60"],
        "freeze": ["EUR", SOMEBODY],
        "unfreeze": ["hub", SOMEBODY],
        "pause": ["hub"],
        "unpause": ["USD"],
        "minter": ["EUR", SOMEBODY.lower(), "1000000.00"],
        "remove-minter": ["EUR", anvil_world.operator.address],
        "list": ["GBP", anvil_world.deployment.tokens["USD"]],
        "anchor": ["audit-log", "86400", root, "3"],
    }
    assert set(arguments) == set(_COMMANDS)
    refused_now = {"unfreeze": "AccountNotFrozen", "unpause": "ExpectedPause", "list": "TokenAlreadyListed"}
    for name, values in arguments.items():
        code, out = run(name, *values)
        assert code == (1 if name in refused_now else 0), out
        assert refused_now.get(name, "it works") in out, name


def test_every_command__used__has_its_effect(anvil_world: Any, run: Run) -> None:
    node, deployment = anvil_world.node, anvil_world.deployment
    token = CurrencyToken(node, deployment.tokens["EUR"])
    assert run("minter", "EUR", SOMEBODY, "unlimited", "--broadcast")[0] == 0
    assert token.minter_allowance(SOMEBODY) == 2**256 - 1
    assert run("minter", "EUR", SOMEBODY, "12.50", "--broadcast")[0] == 0
    assert token.minter_allowance(SOMEBODY) == 12_500_000
    assert run("remove-minter", "EUR", SOMEBODY, "--broadcast")[0] == 0
    assert token.minter_allowance(SOMEBODY) == 0
    assert run("anchor", "liabilities", "86400", "0x" + "09" * 32, "3", "--broadcast")[0] == 0
    assert AuditAnchor(node, deployment.anchor).periods("liabilities") == [86_400]
    fresh = _create_token(anvil_world)
    assert run("list", "1001", fresh, "--broadcast")[0] == 0
    assert SettlementHub(node, deployment.hub).token(1_001) == fresh
    assert run("grant", "PAUSER", SOMEBODY, "--delay-s", "60", "--broadcast")[0] == 0
    assert run("delay", "PAUSER", SOMEBODY, "120", "--broadcast")[0] == 0
    manager = AccessManager(node, deployment.access_manager)
    assert manager.membership(Role.PAUSER, SOMEBODY).delay_s == 120
    assert run("revoke", "PAUSER", SOMEBODY, "--broadcast")[0] == 0
    assert manager.membership(Role.PAUSER, SOMEBODY).since == 0


def _create_token(world: Any) -> str:
    manager = address_bytes(world.deployment.access_manager)
    data = artifact("CurrencyToken").bytecode + encode(("string", "string", "address"), ("Other euro", "EUR2", manager))
    nonce = world.node.nonce(world.operator.address)
    created = Transaction(world.node.chain_id, nonce, None, data, 5_000_000, 100 * GWEI, GWEI)
    signed = world.operator.sign_transaction(created)
    world.node.send_raw(signed.raw)
    receipt = world.node.receipt(world.mined(signed.hash))
    return str(receipt.contract_address)


def test_delay__announced_then_executed_then_cancelled(anvil_world: Any, run: Run) -> None:
    node: Node = anvil_world.node
    holder_key = "0x" + "22" * 32
    node.fund(HOLDER)
    assert run("grant", "PAUSER", HOLDER, "--delay-s", "3600", "--broadcast")[0] == 0
    code, out = run("pause", "hub", key=holder_key)
    assert code == 0, out
    assert "has to announce it first, 3,600 s ahead" in out
    assert "announced: run this again" not in out
    assert "announced" in run("pause", "hub", "--broadcast", key=holder_key)[1]
    code, out = run("pause", "hub", "--broadcast", key=holder_key)
    assert code == 1
    assert "CHAIN_POWER_WAITING" in out
    node.request("evm_increaseTime", [3_601])
    node.request("evm_mine", [])
    code, out = run("pause", "hub", "--broadcast", key=holder_key)
    assert code == 0, out
    assert "executed: " in out

    assert run("unpause", "hub", "--broadcast", key=holder_key)[0] == 0
    code, out = run("unpause", "hub", "--cancel", key=holder_key)
    assert (code, "Nothing was sent" in out) == (0, True)
    code, out = run("unpause", "hub", "--cancel", "--announced-by", HOLDER, "--broadcast")
    assert code == 0, out
    assert "cancelled: " in out
    code, out = run("unpause", "hub", "--cancel", key=holder_key)
    assert (code, "AccessManagerNotScheduled" in out) == (1, True), "asked of the chain before anything is sent"
    assert "has to announce it first" in run("unpause", "hub", key=holder_key)[1]


def test_key__without_the_role__told_so_and_nothing_is_sent(anvil_world: Any, run: Run) -> None:
    code, out = run("pause", "hub", key="0x" + "22" * 32)
    assert code == 1
    assert f"{HOLDER} does not hold it" in out
    code, out = run("pause", "hub", "--broadcast", key="0x" + "22" * 32)
    assert code == 1
    assert "CHAIN_POWER_NOT_HELD" in out
    assert anvil_world.node.nonce(HOLDER) == 0
    code, out = run("delay", "PAUSER", HOLDER, "60")
    assert (code, "grant it first" in out) == (1, True)


def test_from__needs_no_key_and_never_sends(anvil_world: Any, run: Run) -> None:
    nonce = anvil_world.node.nonce(anvil_world.operator.address)
    code, out = run("pause", "hub", "--from", anvil_world.operator.address, "--broadcast", key=None)
    assert code == 0, out
    assert f"to {anvil_world.deployment.hub}: 0x8456cb59" in out, "the call data, for a wallet that is elsewhere"
    assert "Nothing was sent" in out
    assert anvil_world.node.nonce(anvil_world.operator.address) == nonce


def test_record__missing__says_where_it_was_looked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deployments" / "31337.json").unlink()
    code, out = run("pause", "hub")
    assert code == 1
    assert "CHAIN_DEPLOYMENT_INCOMPLETE" in out


@pytest.mark.parametrize(
    "arguments",
    [["grant", "EMPEROR", SOMEBODY], ["anchor", "audit-log", "x", "0x", "1"], []],
    ids=["role", "number", "nothing"],
)
def test_arguments__that_do_not_parse__exit_2(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(*arguments)
    assert left.value.code == 2


def test_anchor__root_of_another_length__refused(run: Run) -> None:
    code, out = run("anchor", "audit-log", "86400", "0x09", "3")
    assert code == 1
    assert "CHAIN_POWER_UNKNOWN" in out
