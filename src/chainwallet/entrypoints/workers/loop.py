"""The loop that every worker runs in: do a step, and when there was nothing to do, wait to be woken."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from chainwallet.entrypoints.workers.metrics import WORKER_FAILURES

_log = structlog.get_logger(__name__)

BACKOFF_MAX_S = 5.0


class Worker:
    """Runs `step` in a thread of its own until stopped. `step` returns whether it did anything.

    A step that fails is logged and tried again, a little later each time: whatever it had not committed is
    still to be done, so nothing is lost by trying again. Being woken does not shorten that wait.
    """

    def __init__(self, name: str, step: Callable[[], bool], *, idle_s: float) -> None:
        self.name = name
        self.failures = 0
        self._step = step
        self._idle_s = idle_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the step at hand and end."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float = 30) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def healthy(self) -> bool:
        return self._thread.is_alive() and self.failures < 3

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                busy = self._step()
                self.failures = 0
                WORKER_FAILURES.labels(self.name).set(0)
            except Exception as error:
                self.failures += 1
                WORKER_FAILURES.labels(self.name).set(self.failures)
                tell = _log.exception if self.failures == 1 else _log.error
                tell("worker_step_failed", worker=self.name, failures=self.failures, error=repr(error))
                self._stopping.wait(min(BACKOFF_MAX_S, 0.1 * 2 ** min(self.failures, 10)))
                continue
            if not busy:
                self._wake.wait(self._idle_s)
