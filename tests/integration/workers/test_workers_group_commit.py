"""Group commit when callers go away and what follows a commit breaks: the thread serves everyone who comes later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from sqlmodel import Session

from chainwallet.kit.database import Database
from chainwallet.kit.groups import GroupCommit


class Gate:
    """Work that waits until it is let through, so that requests queue up behind it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.seen: list[int] = []

    def __call__(self, _session: Session, numbers: Sequence[int]) -> list[int | Exception]:
        self.entered.set()
        assert self.open.wait(5)
        self.seen += numbers
        return list(numbers)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def commits(database: Database, gate: Gate) -> Iterator[GroupCommit[int, int]]:
    committer: GroupCommit[int, int] = GroupCommit("probe", database, gate)
    yield committer
    gate.open.set()
    committer.close()


def test_caller_gone_before_its_turn__is_left_out(commits: GroupCommit[int, int], gate: Gate) -> None:
    async def run() -> list[int]:
        first = asyncio.create_task(commits.submit(1))
        await asyncio.to_thread(gate.entered.wait, 5)
        gone = asyncio.create_task(commits.submit(2))
        await asyncio.sleep(0)
        gone.cancel()
        third = asyncio.create_task(commits.submit(3))
        await asyncio.sleep(0)
        gate.open.set()
        return [await first, await third]

    assert asyncio.run(run()) == [1, 3]
    assert gate.seen == [1, 3]


def test_caller_gone_during_its_turn__is_committed_and_the_next_are_served(
    commits: GroupCommit[int, int], gate: Gate
) -> None:
    """As when a client hangs up: nobody is told, and nobody else is hurt."""

    async def run() -> int:
        gone = asyncio.create_task(commits.submit(1))
        await asyncio.to_thread(gate.entered.wait, 5)
        gone.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.wait_for(commits.submit(2), 5)

    assert asyncio.run(run()) == 2
    assert gate.seen == [1, 2]


def test_what_follows_the_commit_breaks__outcomes_are_told_all_the_same(database: Database) -> None:
    def breaks() -> None:
        raise RuntimeError("no")

    committer: GroupCommit[int, int] = GroupCommit(
        "probe", database, lambda _session, numbers: list(numbers), after_commit=breaks
    )
    assert [committer.submit_wait(n) for n in (1, 2)] == [1, 2]
    committer.close()


def test_too_few_outcomes__are_an_error_to_each_not_a_hung_thread(database: Database) -> None:
    work: Callable[[Session, Sequence[int]], list[int | Exception]] = lambda _session, _numbers: []  # noqa: E731
    committer: GroupCommit[int, int] = GroupCommit("probe", database, work)
    for number in (1, 2):
        with pytest.raises(RuntimeError, match="0 outcomes for 1 requests"):
            committer.submit_wait(number)
    committer.close()


def test_close__finishes_what_is_queued(database: Database, gate: Gate) -> None:
    committer: GroupCommit[int, int] = GroupCommit("probe", database, gate)
    gate.open.set()
    waiting = [threading.Thread(target=committer.submit_wait, args=(n,)) for n in range(20)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    committer.close()
    assert sorted(gate.seen) == list(range(20))
