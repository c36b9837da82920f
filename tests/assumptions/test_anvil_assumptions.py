"""What we believe about anvil. When one of these fails after an upgrade, the code that rests on it must change."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import ChainUnreachable, RpcRefused
from chainwallet.chain.transport import HttpTransport

RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


class Anvil:
    """A bare anvil, without our keeper."""

    def __init__(self, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen([str(find_anvil()), "--silent", "--port", str(port), *options])
        self._transport = HttpTransport(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 20
        while True:
            try:
                self.ask("eth_chainId")
                return
            except ChainUnreachable:
                assert time.monotonic() < deadline, "anvil does not start"
                time.sleep(0.01)

    def ask(self, method: str, *params: Any) -> Any:
        return self._transport.request(method, list(params), retry=False)

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def hash(self, number: int) -> str:
        found: str = self.ask("eth_getBlockByNumber", hex(number), False)["hash"]
        return found

    def pay(self) -> str:
        tx_hash: str = self.ask("eth_sendTransaction", {"from": RICH, "to": OTHER, "value": "0x1"})
        return tx_hash

    def end(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self._transport.close()


@pytest.fixture
def bare() -> Iterator[Anvil]:
    made = Anvil()
    yield made
    made.end(signal.SIGKILL)


def test_sigterm__state_is_written_whole(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state.json"), "--timestamp", "1700000000")
    one = Anvil(*options)
    one.ask("anvil_mine", "0x4")
    tip = one.hash(4)
    one.end(signal.SIGTERM)
    two = Anvil(*options)
    assert (two.head(), two.hash(4)) == (4, tip)
    two.end(signal.SIGKILL)


def test_sigkill__only_what_the_interval_wrote(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state.json"), "--state-interval", "3600")
    one = Anvil(*options)
    one.ask("anvil_mine", "0x4")
    one.end(signal.SIGKILL)
    two = Anvil(*options)
    assert two.head() == 0
    two.end(signal.SIGKILL)


def _genesis_blocks(state: Path, *options: str) -> int:
    """How many different blocks 0 a state holds after two starts in different seconds."""
    for _ in range(2):
        node = Anvil("--state", str(state), *options)
        node.ask("anvil_mine", "0x1")
        node.end(signal.SIGTERM)
        time.sleep(1.0)  # the next start is in another second
    blocks = json.loads(state.read_bytes())["blocks"]
    return len([block for block in blocks if block["header"]["number"] == "0x0"])


def test_restart__makes_another_genesis_block__unless_its_timestamp_is_given(tmp_path: Path) -> None:
    """Why a managed chain draws a genesis time once: of several blocks 0 any may answer after the next start."""
    assert _genesis_blocks(tmp_path / "given.json", "--timestamp", "1700000000") == 1
    assert _genesis_blocks(tmp_path / "not-given.json") == 2


def test_evm_set_time__old_genesis__new_blocks_are_dated_now() -> None:
    node = Anvil("--timestamp", "1200000000")
    node.ask("evm_setTime", int(time.time()))
    node.ask("anvil_mine", "0x1")
    stamp = int(node.ask("eth_getBlockByNumber", "0x1", False)["timestamp"], 16)
    assert abs(stamp - time.time()) < 5
    node.end(signal.SIGKILL)


def test_init_with_state__refused(tmp_path: Path) -> None:
    """Otherwise random extra data in a genesis file would be the better way to a genesis hash of one's own."""
    (tmp_path / "genesis.json").write_text("{}")
    done = subprocess.run(
        [str(find_anvil()), "--init", str(tmp_path / "genesis.json"), "--state", str(tmp_path / "state.json")],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0


def test_state_file__written_in_place__same_inode(tmp_path: Path) -> None:
    """Why we keep a whole copy: a rename would change the inode, and writing in place can be cut off."""
    state = tmp_path / "state.json"
    node = Anvil("--state", str(state), "--state-interval", "1")
    _await(state.exists)
    inode, written = os.stat(state).st_ino, os.stat(state).st_mtime_ns
    node.ask("anvil_mine", "0x1")
    _await(lambda: os.stat(state).st_mtime_ns != written)
    assert os.stat(state).st_ino == inode
    node.end(signal.SIGKILL)


def _await(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_reorg__transactions_do_not_return_to_the_pool(bare: Anvil) -> None:
    tx_hash = bare.pay()
    _await(lambda: bare.ask("eth_getTransactionReceipt", tx_hash) is not None)
    bare.ask("anvil_reorg", 1, [])
    assert bare.ask("eth_getTransactionReceipt", tx_hash) is None
    assert bare.ask("eth_getTransactionByHash", tx_hash) is None
    assert bare.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_reorg__the_lost_blocks_are_forgotten_by_hash(bare: Anvil) -> None:
    bare.ask("anvil_mine", "0x3")
    lost = bare.hash(3)
    bare.ask("anvil_reorg", 1, [])
    assert bare.hash(3) != lost
    assert bare.ask("eth_getBlockByHash", lost, False) is None


def test_drop_transaction__the_senders_later_nonces_go_with_the_next_block(bare: Anvil) -> None:
    bare.ask("evm_setAutomine", False)
    first, second = bare.pay(), bare.pay()
    bare.ask("anvil_dropTransaction", first)
    bare.ask("evm_mine")
    assert bare.ask("eth_getTransactionByHash", second) is None


def test_prune_history__old_states_are_gone_old_receipts_stay() -> None:
    node = Anvil("--prune-history", "4")
    tx_hash = node.pay()
    node.ask("anvil_mine", "0xc")
    assert int(node.ask("eth_getBalance", OTHER, hex(node.head() - 2)), 16) > 0
    with pytest.raises(RpcRefused, match="BlockOutOfRange"):
        node.ask("eth_getBalance", OTHER, "0x2")
    assert node.ask("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
    node.end(signal.SIGKILL)


def test_automined_blocks__may_share_a_timestamp_and_never_go_back(bare: Anvil) -> None:
    hashes = [bare.pay() for _ in range(20)]
    _await(lambda: bare.ask("eth_getTransactionReceipt", hashes[-1]) is not None)
    stamps = [int(bare.ask("eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in range(1, bare.head() + 1)]
    assert stamps == sorted(stamps)


def test_block_receipts__by_hash__supported(bare: Anvil) -> None:
    tx_hash = bare.pay()
    _await(lambda: bare.ask("eth_getTransactionReceipt", tx_hash) is not None)
    receipts = bare.ask("eth_getBlockReceipts", bare.hash(bare.head()))
    assert [receipt["transactionHash"] for receipt in receipts] == [tx_hash]
