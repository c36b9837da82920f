"""The loop that workers run in: woken, failing, recovering, stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from chainwallet.entrypoints.workers import loop
from chainwallet.entrypoints.workers.loop import Worker


class Step:
    """Does what the test says, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.busy = False
        self.error: Exception | None = None
        self.called = threading.Event()

    def __call__(self) -> bool:
        self.calls += 1
        self.called.set()
        if self.error is not None:
            raise self.error
        return self.busy

    def await_call(self) -> None:
        self.called.clear()
        assert self.called.wait(5), "the step is not taken"


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.005)


@pytest.fixture
def step() -> Step:
    return Step()


@pytest.fixture
def worker(step: Step) -> Iterator[Worker]:
    found = Worker("probe", step, idle_s=60)
    yield found
    found.stop()
    found.join()


def test_idle__waits_until_woken(worker: Worker, step: Step) -> None:
    worker.start()
    until(lambda: step.calls == 1, "it looks once")
    worker.wake()
    until(lambda: step.calls == 2, "it looks again")


def test_busy__goes_on_at_once(worker: Worker, step: Step) -> None:
    step.busy = True
    worker.start()
    until(lambda: step.calls > 50, "it does all there is to do")


def test_failing__is_tried_again_and_recovers(worker: Worker, step: Step) -> None:
    step.error = RuntimeError("the node is away")
    worker.start()
    until(lambda: step.calls >= 2, "it is tried again")
    until(lambda: worker.failures >= 3, "it fails again and again")
    assert not worker.healthy
    step.error = None
    until(lambda: worker.healthy, "it recovers by itself")
    assert worker.failures == 0


def test_failing__being_woken_does_not_make_it_spin(
    worker: Worker, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BACKOFF_MAX_S", 0.2)
    step.error = RuntimeError("the node is away")
    worker.start()
    until(lambda: step.calls == 1, "it fails")
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        worker.wake()  # as every accepted payment does
    assert step.calls <= 5, "each failure is followed by its pause"


def test_stop__ends_a_pause_and_a_wait(worker: Worker, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_MAX_S", 60)
    step.error = RuntimeError("the node is away")
    worker.failures = 20
    worker.start()
    until(lambda: step.calls == 1, "it fails")
    began = time.monotonic()
    worker.stop()
    worker.join()
    assert time.monotonic() - began < 2
    assert not worker.healthy, "it runs no more"
