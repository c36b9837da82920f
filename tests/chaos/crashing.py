"""`chainwallet`, started by the harness with functions wrapped from outside: to die at a named step, to see other
clocks, to have few connections. Nothing of this is in what production runs.

    python -m tests.chaos.crashing serve ...

CHAOS_FOLDER names a folder of orders that may change at any time:
    crash   "sign before 3": SIGKILL to itself when the step is about to be done for the third time; or "after".
    clock   "-3600": what utc_now says is off by so many seconds.
CHAOS_POOL   how many connections the database's pool has.

SIGUSR1 writes the stack of every thread into the log.
"""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import importlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS: dict[str, tuple[str, str]] = {
    "hold": ("chainwallet.payments.acceptance", "hold"),
    "sign": ("chainwallet.keys.signers", "LocalSigner.sign_transaction"),
    "persist": ("chainwallet.entrypoints.workers.settle", "commit_batch"),
    "commit": ("chainwallet.entrypoints.workers.settle", "_commit"),
    "send": ("chainwallet.chain.node", "Node.send_raw"),
    "mined": ("chainwallet.settlement.submitter", "Submitter._track"),
    "final": ("chainwallet.settlement.submitter", "Submitter._record"),
    "index": ("chainwallet.chain.indexer", "_store"),
    "post": ("chainwallet.entrypoints.workers.reconcile", "book_events"),
    "deliver": ("chainwallet.adapters.messaging.webhooks", "WebhookSender.send"),
}
# Letters are sent again sooner: with the defaults a letter whose sender was killed waits longer than a run takes.
LETTERS = {"LEASE_S": 5, "FIRST_RETRY_S": 1, "RETRY_FACTOR": 1, "ATTEMPTS_MAX": 1_000}


class _Doom:
    """Counts how often the step that was ordered is passed, and ends the process there."""

    def __init__(self, folder: Path) -> None:
        self._order = folder / "crash"
        self._lock = threading.Lock()
        self._passed = 0

    def at(self, step: str, moment: str) -> None:
        try:
            wanted, when, count = self._order.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        if (wanted, when) != (step, moment):
            return
        with self._lock:
            self._passed += 1
            if self._passed < int(count):
                return
            with contextlib.suppress(FileNotFoundError):
                self._order.unlink()  # the next life goes on
            os.kill(os.getpid(), signal.SIGKILL)


def _owner(module: str, path: str) -> tuple[Any, str]:
    found: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        found = getattr(found, one)
    return found, name


def _wrap(module: str, path: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    owner, name = _owner(module, path)
    setattr(owner, name, around(getattr(owner, name)))


def _doomed(doom: _Doom, step: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            doom.at(step, "before")
            result = real(*args, **options)
            doom.at(step, "after")
            return result

        return wrapped

    return around


def _move_the_clock(folder: Path) -> None:
    """Every room calls `clock.utc_now` by a name of its own, so it is the datetime behind it that is moved."""
    clock = importlib.import_module("chainwallet.kit.clock")
    real = datetime.datetime

    class Moved(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            try:
                off_s = float((folder / "clock").read_text() or 0)
            except (FileNotFoundError, ValueError):
                off_s = 0.0
            return real.now(tz) + datetime.timedelta(seconds=off_s)

    clock.datetime = Moved  # type: ignore[attr-defined]


def _few_connections(size: int) -> None:
    database = importlib.import_module("chainwallet.kit.database")
    real = database.create_engine

    def create_engine(*args: Any, **options: Any) -> Any:
        if "max_overflow" in options:
            options |= {"pool_size": size, "max_overflow": 0, "pool_timeout": 1}
        return real(*args, **options)

    database.create_engine = create_engine  # type: ignore[attr-defined]


def main() -> None:
    folder = Path(os.environ["CHAOS_FOLDER"])
    faulthandler.register(signal.SIGUSR1)
    vars(importlib.import_module("chainwallet.records.webhooks")).update(LETTERS)
    _move_the_clock(folder)
    if pool := os.environ.get("CHAOS_POOL"):
        _few_connections(int(pool))
    cli = importlib.import_module("chainwallet.entrypoints.cli.main")
    importlib.import_module("chainwallet.entrypoints.cli.serving")
    doom = _Doom(folder)
    for step, (module, path) in STEPS.items():
        _wrap(module, path, _doomed(doom, step))
    cli.app()


if __name__ == "__main__":
    main()
