"""The managed node through every death: ours, its own, a torn file; and never two of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwallet.chain.anvil import start_anvil
from chainwallet.chain.anvil_state import COPY, STATE
from chainwallet.chain.errors import AnvilFailed, AnvilNotFound, ChainUnreachable
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.transport import HttpTransport

ALICE = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"

# Opens the chain, says so, and mines a block for each line it is given, saying the head's number and hash.
CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from chainwallet.chain.node import open_node

    node = open_node("anvil", data_dir=Path(sys.argv[1]))
    print(node.url, node.genesis_hash, flush=True)
    for line in sys.stdin:
        node.request("anvil_mine", [])
        head = node.head()
        print(head.number, head.hash, flush=True)
    node.close()
    """
)


class Child:
    """A process of its own that keeps the chain in a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url, self.genesis = self._line().split()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def mine(self) -> tuple[int, str]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        number, block_hash = self._line().split()
        return int(number), block_hash

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[], Child]]:
    started: list[Child] = []

    def start() -> Child:
        started.append(Child(tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()
        for stream in (one.process.stdin, one.process.stdout):
            assert stream is not None
            stream.close()


def _run(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "chain" / "anvil.run").read_text())
    return found


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _gone(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


def test_open_and_close__again_and_again__same_chain_and_nothing_lost(tmp_path: Path) -> None:
    genesis, number = None, 0
    for _ in range(4):
        node = open_node("anvil", data_dir=tmp_path)
        assert genesis in (None, node.genesis_hash)
        genesis = node.genesis_hash
        assert node.head().number == number
        assert abs(node.block(0).timestamp - time.time()) > 1  # type: ignore[union-attr]
        node.request("anvil_mine", ["0x3"])
        number += 3
        assert abs(node.head().timestamp - time.time()) < 5, "new blocks are dated now, whatever the genesis says"
        node.close()
        with pytest.raises(ChainUnreachable):
            node.request("eth_chainId", [], retry=False)
    assert not (tmp_path / "chain" / "anvil.run").exists()


def test_two_folders__two_chains(tmp_path: Path) -> None:
    nodes = [open_node("anvil", data_dir=tmp_path / name) for name in ("one", "two")]
    assert nodes[0].genesis_hash != nodes[1].genesis_hash
    for node in nodes:
        node.close()


def test_second_process__joins_the_running_node_and_leaves_it_running(
    tmp_path: Path, child: Callable[[], Child]
) -> None:
    keeper = child()
    node = open_node("anvil", data_dir=tmp_path)
    assert (node.url, node.genesis_hash) == (keeper.url, keeper.genesis)
    number, block_hash = keeper.mine()
    assert node.block(number).hash == block_hash  # type: ignore[union-attr]
    node.close()
    assert keeper.mine()[0] == number + 1


@pytest.mark.slow
def test_keeper_killed_under_load__no_block_is_lost(tmp_path: Path, child: Callable[[], Child]) -> None:
    """kill -9 of our process: the kernel tells anvil, and anvil writes all it has before it ends."""
    last = (0, "")
    for turn in range(3):
        keeper = child()
        for _ in range(25 + turn):
            last = keeper.mine()
        keeper.kill()
        node = open_node("anvil", data_dir=tmp_path)
        assert (node.head().number, node.head().hash) == last
        assert node.genesis_hash == keeper.genesis
        node.close()


def test_keeper_killed__leaves_no_node_behind(tmp_path: Path, child: Callable[[], Child]) -> None:
    keeper = child()
    pid = _run(tmp_path)["pid"]
    keeper.kill()
    _await(lambda: _gone(pid), "anvil outlived its keeper")


@pytest.mark.slow
def test_everything_killed_at_once__starts_again_from_what_was_written(
    tmp_path: Path, child: Callable[[], Child]
) -> None:
    """As when the machine stops: the chain that comes back is a beginning of the one that was."""
    history: dict[int, str] = {}
    for turn in range(4):
        keeper = child()
        deadline = time.monotonic() + 0.4 + 0.4 * turn
        while time.monotonic() < deadline:
            number, block_hash = keeper.mine()
            history[number] = block_hash
        os.kill(_run(tmp_path)["pid"], signal.SIGKILL)
        keeper.kill()
        node = open_node("anvil", data_dir=tmp_path)
        head = node.head()
        assert node.genesis_hash == keeper.genesis
        assert head.number == 0 or history[head.number] == head.hash
        history = {number: block_hash for number, block_hash in history.items() if number <= head.number}
        node.close()
    assert history, "nothing at all was ever written"


def test_leftover_that_nobody_told_to_stop__is_stopped_and_its_blocks_kept(
    tmp_path: Path, child: Callable[[], Child]
) -> None:
    """As on a system without PR_SET_PDEATHSIG: the node lives on, and the next start ends it properly."""
    keeper = child()
    number, block_hash = keeper.mine()
    pid = _run(tmp_path)["pid"]
    os.kill(pid, signal.SIGSTOP)  # hears nothing while its keeper dies
    keeper.kill()
    os.kill(pid, signal.SIGCONT)
    node = open_node("anvil", data_dir=tmp_path)
    assert (node.head().number, node.head().hash) == (number, block_hash)
    assert _gone(pid)
    node.close()


def test_run_file_of_a_stranger__is_not_ours_to_stop(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "anvil.run").write_text(json.dumps({"pid": stranger.pid, "port": 1, "genesis_time": 1}))
    open_node("anvil", data_dir=tmp_path).close()
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_anvil_killed__is_back_at_the_same_url_with_a_state_at_most_a_second_old(tmp_path: Path) -> None:
    node = open_node("anvil", data_dir=tmp_path)
    node.fund(ALICE)  # a block too
    node.request("anvil_mine", ["0x4"])
    state = tmp_path / "chain" / STATE
    _await(lambda: b'"best_block_number":5' in state.read_bytes(), "the state lacks the blocks")
    block = node.block(5)
    pid = _run(tmp_path)["pid"]
    os.kill(pid, signal.SIGKILL)
    _await(lambda: _run(tmp_path)["pid"] != pid, "anvil was not started again")
    assert node.block(5) == block
    assert node.balance(ALICE) > 0
    node.close()


def test_anvil_killed_again_and_again_at_once__is_back_as_the_same_chain(tmp_path: Path) -> None:
    node = open_node("anvil", data_dir=tmp_path)
    for _ in range(4):
        pid = _run(tmp_path)["pid"]
        os.kill(pid, signal.SIGKILL)
        _await(lambda pid=pid: _run(tmp_path)["pid"] != pid, "anvil was not started again")  # type: ignore[misc]
    assert node.block(0).hash == node.genesis_hash  # type: ignore[union-attr]
    node.close()


def test_torn_state__falls_back_to_the_last_whole_copy(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    node = open_node("anvil", data_dir=tmp_path)
    genesis = node.genesis_hash
    node.request("anvil_mine", ["0x5"])
    _await(lambda: (folder / COPY).exists() and b'"number":"0x5"' in (folder / COPY).read_bytes(), "no copy was made")
    node.close()
    whole = (folder / STATE).read_bytes()
    (folder / STATE).write_bytes(whole[: len(whole) // 2])
    node = open_node("anvil", data_dir=tmp_path)
    assert (node.genesis_hash, node.head().number) == (genesis, 5)
    node.close()


def test_state_lost_altogether__is_another_chain(tmp_path: Path) -> None:
    node = open_node("anvil", data_dir=tmp_path)
    genesis = node.genesis_hash
    node.close()
    for name in (STATE, COPY):
        (tmp_path / "chain" / name).unlink(missing_ok=True)
    node = open_node("anvil", data_dir=tmp_path)
    assert node.genesis_hash != genesis
    node.close()


def test_binary_that_does_not_run__says_so_and_frees_the_folder(tmp_path: Path) -> None:
    broken = tmp_path / "anvil"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(AnvilFailed, match="out of order"):
        start_anvil(tmp_path / "chain", binary=broken)
    open_node("anvil", data_dir=tmp_path).close()


def test_no_binary__refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWALLET_ANVIL", str(tmp_path / "absent"))
    with pytest.raises(AnvilNotFound):
        open_node("anvil", data_dir=tmp_path)


def test_block_time__blocks_come_by_themselves(tmp_path: Path) -> None:
    managed = start_anvil(tmp_path / "chain", block_time_s=1)
    node = Node(HttpTransport(managed.url), kind="anvil", url=managed.url, stop=managed.stop)
    _await(lambda: node.head().number >= 1, "no block in time")
    node.close()


def test_opened_by_a_thread_that_ends__the_node_lives_on(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG fires when the thread that forked ends, so the forking thread is the keeper's own."""
    from threading import Thread

    opened: list[Node] = []
    thread = Thread(target=lambda: opened.append(open_node("anvil", data_dir=tmp_path)))
    thread.start()
    thread.join()
    time.sleep(0.2)  # there is no event for a signal that must not come
    assert opened[0].head().number == 0
    opened[0].close()
