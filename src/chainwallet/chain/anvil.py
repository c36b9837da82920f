"""The managed chain: anvil as a child process, its state on disk, kept running while this process lives.

How state survives, tried with anvil 1.7:
- When this process ends in any way, SIGKILL included, the kernel sends anvil SIGTERM (PR_SET_PDEATHSIG) and it writes
  its whole state before it ends: nothing is lost, unless it was executing a block just then. Where there is no such
  signal (macOS) the node lives on, and the next start stops it the same way.
- A state that was written while a block was executed is ahead of its own blocks (anvil_state.py). A start finds out,
  and takes the newest copy that is not.
- When anvil itself is killed, the state is at most one interval (1 s) old. It writes in place, so a kill in the middle
  of a write leaves a torn file; a copy of the last whole one is kept beside it (COPY_EVERY_S old at most).
Blocks that were lost are found by the indexer as a fork, and their transactions are sent again as the same bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

import structlog

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.anvil_state import (
    copies,
    copy_whole_state,
    keep_started_from,
    restore_whole_state,
    set_aside,
    start_from,
    write_first_state,
)
from chainwallet.chain.blocks import to_bytes
from chainwallet.chain.errors import AnvilFailed, ChainIdentityMismatch, ChainUnreachable, RpcRefused
from chainwallet.chain.transport import HttpTransport
from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.keys.keccak import keccak

_log = structlog.get_logger(__name__)

CHAIN_ID = 31337
GAS_LIMIT = 60_000_000
STATES_KEPT = 32  # blocks whose state can be read; each is a copy in memory, and keeping none slows nothing down less
COPY_EVERY_S = 3.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05
SHORT_LIFE_S = 1.0
QUIET_WITHIN_S = 5.0
RESTART_PAUSE_MAX_S = 5.0
_GENESIS_SPREAD_S = 1 << 29

# Runs between fork and exec in a fresh interpreter: preexec_fn is unsafe in a process with threads. The request to be
# signalled survives exec; a parent that died meanwhile is noticed by the changed parent id.
_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class ManagedAnvil:
    """A running node: its URL, and `stop`, which ends it if this process started it and otherwise does nothing."""

    url: str
    pid: int
    owned: bool
    stop: Callable[[], None]


def start_anvil(folder: Path, *, binary: Path | None = None, block_time_s: int | None = None) -> ManagedAnvil:
    """The node whose state is in `folder`: the one that another live process keeps there, or one started now.

    Raises AnvilNotFound without a binary, AnvilFailed when it does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "anvil.lock").open("a")  # held while we live: the kernel lets go of it however we end
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return _join(folder)
    try:
        keeper = _Keeper(folder, binary or find_anvil(), block_time_s, lock)
        keeper.start()
    except BaseException:
        lock.close()
        raise
    return ManagedAnvil(keeper.url, keeper.pid, owned=True, stop=keeper.stop)


def _join(folder: Path) -> ManagedAnvil:
    """The node that another process keeps: wait until it says where it listens, and check that it is the one."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        run = _read_run(folder)
        if run is not None:
            url = f"http://127.0.0.1:{run['port']}"
            with contextlib.suppress(ChainUnreachable):
                _check_genesis(url, run["genesis_time"])
                return ManagedAnvil(url, run["pid"], owned=False, stop=lambda: None)
        time.sleep(0.05)
    raise AnvilFailed(f"Another process holds {folder / 'anvil.lock'} but no node answers; stop that process.")


class _Keeper:
    """Starts anvil from a thread that lives as long as the node should: PR_SET_PDEATHSIG follows the thread that
    forked, not the process. The same thread restarts a node that dies, and copies whole states aside."""

    def __init__(self, folder: Path, binary: Path, block_time_s: int | None, lock: IO[str]) -> None:
        self._folder = folder
        self._binary = binary
        self._block_time_s = block_time_s
        self._lock = lock
        self._started = Event()
        self._stopping = Event()
        self._failure: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._thread = Thread(target=self._run, name="anvil-keeper", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the node, its state written, and let others start it."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S + 5)
        self._lock.close()

    def _run(self) -> None:
        try:
            _stop_leftover(self._folder)
            self._launch(port=None)
        except BaseException as failure:  # handed to the thread that waits in start
            self._failure = failure
            self._end()
            return
        finally:
            self._started.set()
        self._keep()
        self._await_quiet()
        self._end()
        (self._folder / "anvil.run").unlink(missing_ok=True)

    def _keep(self) -> None:
        """Until told to stop: copy whole states aside, and restart a node that died, slower if it keeps dying."""
        started_at = copied_at = time.monotonic()
        pause_s = POLL_S
        while not self._stopping.wait(pause_s):
            now = time.monotonic()
            process = self._process
            if process is None or process.poll() is not None:
                pause_s = min(RESTART_PAUSE_MAX_S, 2 * pause_s) if now - started_at < SHORT_LIFE_S else POLL_S
                started_at = now
                with contextlib.suppress(AnvilFailed, ChainUnreachable):
                    self._launch(port=self._port)
            elif now - copied_at >= COPY_EVERY_S:
                copy_whole_state(self._folder)
                copied_at, pause_s = now, POLL_S

    def _launch(self, *, port: int | None) -> None:
        restore_whole_state(self._folder)
        genesis_time = _genesis_time(self._folder)
        self._start(port, genesis_time)
        if _is_ahead_of_its_blocks(self.url):
            self._start_from_a_copy(genesis_time)
        keep_started_from(self._folder)
        # The genesis lies in the past, so that each chain has one of its own; new blocks are dated now.
        transport = HttpTransport(self.url)
        transport.request("evm_setTime", [int(time.time())])
        # anvil writes its first state after a second; until then a kill would lose even which chain this is.
        write_first_state(self._folder, transport.request("anvil_dumpState", []))
        transport.close()
        _write_run(self._folder, pid=self.pid, port=self._port, genesis_time=genesis_time)

    def _start_from_a_copy(self, genesis_time: int) -> None:
        """The newest copy whose state is that of its last block; the state itself if there is none."""
        _log.warning("chain_state_ahead_of_its_blocks", folder=str(self._folder))
        self._kill()
        torn = set_aside(self._folder)
        for other in (*copies(self._folder), torn):
            start_from(self._folder, other)
            self._start(self._port, genesis_time)
            if other == torn or not _is_ahead_of_its_blocks(self.url):
                return
            self._kill()

    def _start(self, port: int | None, genesis_time: int) -> None:
        for attempt in range(5):
            self._port = port or _free_port()
            self._process = self._spawn(genesis_time)
            if self._wait_until_ready(genesis_time):
                break
            self._end()
            if attempt == 4:
                log = (self._folder / "anvil.log").read_text(errors="replace")[-500:]
                raise AnvilFailed(f"anvil does not start in {self._folder}; its log ends with: {log.strip() or '-'}")

    def _kill(self) -> None:
        """End the node without letting it write its state."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _spawn(self, genesis_time: int) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        with (self._folder / "anvil.log").open("ab") as log:
            return subprocess.Popen(
                [*launcher, *self._command(genesis_time)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we stop the node when we are done with it
            )

    def _command(self, genesis_time: int) -> list[str]:
        options: dict[str, Any] = {
            "--host": "127.0.0.1",
            "--port": self._port,
            "--chain-id": CHAIN_ID,
            "--hardfork": "prague",
            "--gas-limit": GAS_LIMIT,
            "--order": "fifo",
            "--timestamp": genesis_time,
            "--state": self._folder / "anvil.json",
            "--state-interval": 1,
            "--prune-history": STATES_KEPT,
        }
        if self._block_time_s is not None:
            options["--block-time"] = self._block_time_s
        return [str(self._binary), "--silent", *(str(word) for pair in options.items() for word in pair)]

    def _wait_until_ready(self, genesis_time: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                _check_genesis(self.url, genesis_time)
            except ChainUnreachable:
                time.sleep(0.01)
            except ChainIdentityMismatch:
                return False  # someone else took the port between our look and anvil's
            else:
                return True
        return False

    def _await_quiet(self) -> None:
        """What was sent is mined, so that the state that is written is that of the last block."""
        with contextlib.suppress(ChainUnreachable, RpcRefused):
            transport = HttpTransport(self.url)
            end = time.monotonic() + QUIET_WITHIN_S
            while time.monotonic() < end and int(transport.request("txpool_status", [])["pending"], 16):
                time.sleep(0.01)
            transport.close()

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _genesis_time(folder: Path) -> int:
    """The genesis timestamp of the chain in `folder`, in Unix seconds; a new chain draws one of its own.

    anvil writes no genesis of its own into the state: without the same `--timestamp` at every start the hash of block
    0 would change at each restart. A random one makes the genesis hash unique, as --init with --state is refused.
    """
    path = folder / "anvil.genesis"
    if path.exists() and (folder / "anvil.json").exists():
        return int(path.read_text())
    drawn = int(time.time()) - 1 - secrets.randbelow(_GENESIS_SPREAD_S)
    path.write_text(str(drawn))
    return drawn


def _check_genesis(url: str, genesis_time: int) -> None:
    transport = HttpTransport(url, read_timeout_s=5.0)
    try:
        block = transport.request("eth_getBlockByNumber", ["0x0", False], retry=False)
        chain_id = int(transport.request("eth_chainId", [], retry=False), 16)
    finally:
        transport.close()
    if chain_id != CHAIN_ID or int(block["timestamp"], 16) != genesis_time:
        raise ChainIdentityMismatch(f"The node at {url} keeps another chain.")


def _is_ahead_of_its_blocks(url: str) -> bool:
    """Whether the accounts are not those after the last block: see anvil_state. A chain without blocks never is."""
    transport = HttpTransport(url)
    try:
        head = transport.request("eth_getBlockByNumber", ["latest", False])
        proof = transport.request("eth_getProof", [ZERO_ADDRESS, [], "latest"])["accountProof"]
    finally:
        transport.close()
    return int(head["number"], 16) > 0 and "0x" + keccak(to_bytes(proof[0])).hex() != head["stateRoot"]


def _write_run(folder: Path, *, pid: int, port: int, genesis_time: int) -> None:
    draft = folder / ".anvil.run"
    draft.write_text(json.dumps({"pid": pid, "port": port, "genesis_time": genesis_time}))
    draft.replace(folder / "anvil.run")


def _read_run(folder: Path) -> dict[str, int] | None:
    try:
        found = json.loads((folder / "anvil.run").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return {key: int(found[key]) for key in ("pid", "port", "genesis_time")}


def _stop_leftover(folder: Path) -> None:
    """Wait for a node whose keeper is gone to finish writing its state; tell it to, where the kernel did not."""
    run = _read_run(folder)
    if run is None:
        return
    started = time.monotonic()
    told = False
    while _is_ours(run["pid"], folder):
        waited_s = time.monotonic() - started
        if waited_s > STOP_TIMEOUT_S:
            os.kill(run["pid"], signal.SIGKILL)
        elif waited_s > 0.5 and not told:
            os.kill(run["pid"], signal.SIGTERM)
            told = True
        time.sleep(0.02)
    (folder / "anvil.run").unlink(missing_ok=True)


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether the process is alive and keeps this folder's state: a number may have been given to another one."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if not words:  # a zombie: it has ended, and its parent has not looked yet
            return False
    except FileNotFoundError:
        listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        words = listing.stdout
    return str(folder / "anvil.json") in words
