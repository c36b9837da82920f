"""The crew: one process at a time runs the chain's workers, and another takes over when it is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from chainwallet.entrypoints.workers import crew as crews
from chainwallet.entrypoints.workers.crew import Crew
from chainwallet.entrypoints.workers.leadership import LeaderLock

if TYPE_CHECKING:
    from tests.integration.conftest import Bench


def until(holds: Callable[[], bool], what: str, timeout_s: float = 15) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


@pytest.fixture
def hire(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Crew]]:
    monkeypatch.setattr(crews, "LEADER_CHECK_S", 0.05)
    hired: list[Crew] = []

    def new() -> Crew:
        hired.append(Crew(bench.services))
        return hired[-1]

    yield new
    for crew in hired:
        crew.stop()


def _lock_holders(bench: Bench) -> list[int]:
    sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND granted AND database ="
    sql += " (SELECT oid FROM pg_database WHERE datname = current_database())"
    return [pid for (pid,) in bench.rows(sql, key=0x6C656164)]


def test_second_crew__waits_until_the_first_is_gone(bench: Bench, hire: Callable[[], Crew]) -> None:
    first, second = hire(), hire()
    first.start()
    until(lambda: first.leads, "the first leads")
    second.start()
    time.sleep(0.3)  # six of its tries
    assert not second.leads
    assert second.unhealthy() == [], "standing by is healthy"
    first.stop()
    assert not first.leads
    until(lambda: second.leads, "the second takes over")


def test_crew__settles_payments_and_delivers(bench: Bench, hire: Callable[[], Crew]) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    crew = hire()
    crew.start()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    until(lambda: bench.statuses(transfer_id) == ["settled"], "the payment settles")
    assert crew.unhealthy() == []


def test_leader_whose_session_dies__stops_and_stands_again(bench: Bench, hire: Callable[[], Crew]) -> None:
    """As when the database restarts: without its lock nobody is the leader, however alive its threads are."""
    crew = hire()
    crew.start()
    until(lambda: crew.leads, "it leads")
    (session,) = _lock_holders(bench)
    workers = crew._chain_workers
    bench.rows("SELECT pg_terminate_backend(:pid)", pid=session)
    until(lambda: bool(crew.leads and crew._chain_workers is not workers), "it leads again")
    assert not any(worker.healthy for worker in workers), "the workers of its first term have ended"
    assert len(_lock_holders(bench)) == 1


def test_database_away_at_the_start__is_waited_for(
    bench: Bench, hire: Callable[[], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    failures = [OperationalError("connect", {}, Exception("no")) for _ in range(3)]
    take = LeaderLock.take

    def flaky(lock: LeaderLock) -> bool:
        if failures:
            raise failures.pop()
        return take(lock)

    monkeypatch.setattr(LeaderLock, "take", flaky)
    crew = hire()
    crew.start()
    until(lambda: crew.leads, "it leads")
    assert failures == []


def test_lock__is_given_back_when_released(bench: Bench) -> None:
    one, other = LeaderLock(bench.database), LeaderLock(bench.database)
    assert one.take()
    assert one.is_held()
    assert not other.take()
    assert not other.is_held()
    one.release()
    assert not one.is_held()
    assert other.take()
    other.release()
    assert _lock_holders(bench) == []
    with bench.database.transaction() as session:
        session.execute(text("SELECT 1"))
