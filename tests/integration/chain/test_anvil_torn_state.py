"""A node told to end while it executes a block writes accounts that are ahead of its blocks: never gone on with."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from chainwallet.chain.anvil_state import TORN
from chainwallet.chain.errors import ChainUnreachable, RpcRefused
from chainwallet.chain.node import Node, open_node
from chainwallet.keys.keccak import keccak

SLOW = "0x00000000000000000000000000000000000000cc"
# storage[block number] = 1, then hash a megabyte until the gas is nearly used up
SLOW_CODE = "0x600143555b6210000060002050620f42405a1160045700"


def _state_root(node: Node) -> str:
    proof = node.request("eth_getProof", [SLOW, [], "latest"])["accountProof"]
    return "0x" + keccak(bytes.fromhex(proof[0][2:])).hex()


def _send_slow(node: Node, sender: str) -> threading.Thread:
    def send() -> None:
        try:
            call = {"from": sender, "to": SLOW, "gas": hex(50_000_000)}
            node.request("eth_sendTransaction", [call], retry=False)
        except (ChainUnreachable, RpcRefused):
            pass  # the node ends meanwhile

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.slow
def test_node_ended_while_it_executes__comes_back_consistent(tmp_path: Path) -> None:
    node = open_node("anvil", data_dir=tmp_path)
    node.request("anvil_setCode", [SLOW, SLOW_CODE])
    node.request("evm_mine", [])
    sender = node.request("eth_accounts", [])[0]
    run = tmp_path / "chain" / "anvil.run"
    node.close()
    node = open_node("anvil", data_dir=tmp_path)  # from here on there is a state to fall back to
    for wait_s in (0.02, 0.05, 0.1, 0.2):
        pid = json.loads(run.read_text())["pid"]
        thread = _send_slow(node, sender)
        time.sleep(wait_s)  # the block takes half a second
        os.kill(pid, signal.SIGTERM)  # as the kernel does when our process dies
        end = time.monotonic() + 30
        while not run.exists() or json.loads(run.read_text())["pid"] == pid:
            assert time.monotonic() < end, "anvil was not started again"
            time.sleep(0.01)
        thread.join()
        head = node.head()
        assert _state_root(node) == node.raw_block(head.number)["stateRoot"]  # type: ignore[index]
        assert node.nonce(sender) <= head.number, "no transaction without its block"
    assert (tmp_path / "chain" / TORN).exists(), "it did happen"
    node.close()


def test_node_closed_while_it_executes__waits_for_the_block(tmp_path: Path) -> None:
    node = open_node("anvil", data_dir=tmp_path)
    node.request("anvil_setCode", [SLOW, SLOW_CODE])
    sender = node.request("eth_accounts", [])[0]
    _send_slow(node, sender).join()
    node.close()
    node = open_node("anvil", data_dir=tmp_path)
    assert (node.head().number, node.nonce(sender)) == (1, 1)
    assert _state_root(node) == node.raw_block(1)["stateRoot"]  # type: ignore[index]
    node.close()
