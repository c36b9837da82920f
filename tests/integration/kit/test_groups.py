"""Group commit: one transaction for many, and one's fault is not another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text
from sqlmodel import Session

from chainwallet.kit.database import Database
from chainwallet.kit.groups import GroupCommit


@pytest.fixture
def table(database: Database) -> Database:
    with database.transaction() as session:
        session.execute(text("DROP TABLE IF EXISTS group_commit_probe"))
        session.execute(text("CREATE TABLE group_commit_probe (n int PRIMARY KEY)"))
    return database


def _insert(session: Session, numbers: Sequence[int]) -> list[int | Exception]:
    fits = [n for n in numbers if n >= 0]
    session.connection().exec_driver_sql("INSERT INTO group_commit_probe SELECT unnest(%(n)s::int[])", {"n": fits})
    return [n if n >= 0 else ValueError(n) for n in numbers]


def _stored(database: Database) -> set[int]:
    with database.transaction() as session:
        return {n for (n,) in session.execute(text("SELECT n FROM group_commit_probe"))}


def test_submit__many_at_once__each_its_own_outcome_in_few_transactions(table: Database) -> None:
    groups: list[int] = []

    def work(session: Session, numbers: Sequence[int]) -> list[int | Exception]:
        groups.append(len(numbers))
        return _insert(session, numbers)

    committer = GroupCommit("probe", table, work)

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(committer.submit(n) for n in range(-2, 198)), return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    committer.close()
    assert [type(one) for one in outcomes[:2]] == [ValueError, ValueError], "a refusal reaches its own caller"
    assert outcomes[2:] == list(range(198))
    assert _stored(table) == set(range(198))
    assert len(groups) < 100, "requests that wait together share a transaction"


def test_submit__one_breaks_the_group__the_others_are_committed(table: Database) -> None:
    committer = GroupCommit("probe", table, _insert)

    async def collide() -> list[object]:
        return await asyncio.gather(*(committer.submit(n) for n in [*range(20), 7]), return_exceptions=True)

    outcomes = asyncio.run(collide())
    committer.close()
    assert sum(isinstance(one, Exception) for one in outcomes) == 1, "only the duplicate fails"
    assert _stored(table) == set(range(20))


def test_submit__when_it_returns__the_row_is_committed(table: Database) -> None:
    committer = GroupCommit("probe", table, _insert)
    assert committer.submit_wait(5) == 5
    assert _stored(table) == {5}
    committer.close()
