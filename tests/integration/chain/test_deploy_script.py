"""scripts/deploy.py against a local node, a served one, and a rehearsal: dry unless --broadcast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.running_scripts import load_script

from chainwallet.chain.embedded import EmbeddedChain
from chainwallet.chain.node import Node
from chainwallet.chain.serve import serve

KEY = "0x" + "11" * 32
ALICE = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture
def script() -> ModuleType:
    return load_script("deploy")


@pytest.fixture
def run(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    monkeypatch.delenv("CHAINWALLET_DEPLOYER_KEY", raising=False)

    def call(*arguments: str) -> tuple[int, str]:
        code = script.main(["--deployments", str(tmp_path / "deployments"), "--currencies", "EUR,usd", *arguments])
        return code, capsys.readouterr().out

    return call


def test_deploy__dev_account_on_anvil__dry_then_done_then_nothing(
    anvil: Node, run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, out = run("--rpc-url", anvil.url, "--dev-account")
    assert code == 0
    assert "10 missing" in out
    assert "Nothing was sent" in out
    assert anvil.head().number == 0
    assert not (tmp_path / "deployments").exists()

    code, out = run("--rpc-url", anvil.url, "--dev-account", "--broadcast")
    assert code == 0
    assert "settlement hub" in out
    height = anvil.head().number
    assert (tmp_path / "deployments" / "31337.json").exists()

    code, out = run("--rpc-url", anvil.url, "--dev-account", "--broadcast")
    assert code == 0
    assert "nothing to do" in out
    assert anvil.head().number == height


def test_deploy__embedded_served_over_http__key_from_a_file(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    chain = EmbeddedChain()
    chain.request("anvil_setBalance", [ALICE, hex(10**21)])
    with serve(chain) as url:
        code, out = run("--rpc-url", url, "--private-key-file", str(key), "--broadcast")
    assert code == 0, out
    assert ALICE in out


def test_deploy__rehearsal__needs_no_key_and_leaves_nothing(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, out = run("--rpc-url", "embedded")
    assert code == 0
    assert "rehearsal" in out
    assert not (tmp_path / "deployments").exists()


def test_deploy__dev_account_elsewhere__refused(run: Callable[..., tuple[int, str]]) -> None:
    with serve(EmbeddedChain()) as url:
        code, out = run("--rpc-url", url, "--dev-account", "--broadcast")
    assert code == 1
    assert "everybody has that key" in out.replace("\n", " ")


def test_deploy__no_key_or_no_node__says_which(anvil: Node, run: Callable[..., tuple[int, str]]) -> None:
    code, out = run("--rpc-url", anvil.url)
    assert code == 1
    assert "CHAINWALLET_DEPLOYER_KEY" in out
    code, out = run("--rpc-url", "http://127.0.0.1:9", "--dev-account")
    assert code == 1
    assert "CHAIN_UNREACHABLE" in out
