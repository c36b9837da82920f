"""Statements sent together: they commit together or not at all, and leave a connection that can be used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session

from chainwallet.kit.database import Database, Query, pipelined, round_trip


@pytest.fixture
def table(database: Database) -> Iterator[Database]:
    with database.transaction() as session:
        _do(session, "CREATE TABLE pipeline_probe (n int PRIMARY KEY)")
    yield database
    with database.transaction() as session:
        _do(session, "DROP TABLE pipeline_probe")


def _do(session: Session, statement: str) -> None:
    session.connection().exec_driver_sql(statement)


def _insert(session: Session, *numbers: int) -> None:
    for number in numbers:
        _do(session, f"INSERT INTO pipeline_probe VALUES ({number})")


def _stored(database: Database) -> list[int]:
    with database.transaction() as session:
        rows = session.connection().exec_driver_sql("SELECT n FROM pipeline_probe ORDER BY n")
        return [n for (n,) in rows]


def test_pipelined__to_commit__is_committed_when_the_transaction_ends(table: Database) -> None:
    with table.transaction() as session:
        _insert(session, 1)
        with pipelined(session, to_commit=True):
            _insert(session, 2, 3)
        assert _stored(table) == []
    assert _stored(table) == [1, 2, 3]


@pytest.mark.parametrize("numbers", [(2, 1, 3), (2, 3, 1)], ids=["in the middle", "at the end"])
@pytest.mark.parametrize("to_commit", [True, False])
def test_pipelined__one_is_refused__undoes_all(table: Database, to_commit: bool, numbers: tuple[int, ...]) -> None:
    def write() -> None:
        with table.transaction() as session:
            _insert(session, 1)
            with pipelined(session, to_commit=to_commit):
                _insert(session, *numbers)

    with pytest.raises(IntegrityError):
        write()
    for _ in range(20):  # whatever connection the pool gives out next
        assert _stored(table) == []


def test_pipelined__error_of_ours_before_the_commit__undoes_all(table: Database) -> None:
    def write() -> None:
        with table.transaction() as session:
            with pipelined(session, to_commit=True):
                _insert(session, 1)
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert _stored(table) == []


def test_pipelined__connection_lost_before_the_commit__is_an_error(table: Database) -> None:
    def write() -> None:
        with table.transaction() as session:
            with pipelined(session, to_commit=True):
                _insert(session, 1)
            pid = session.connection().connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with table.transaction() as other:
                _do(other, f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(DBAPIError):
        write()
    assert _stored(table) == []


def test_round_trip__asks_in_order_and_answers_each(table: Database) -> None:
    def rows(sql: str) -> Query[list[int]]:
        return Query(sql, {}, lambda found: [n for (n,) in found])

    with table.transaction() as session:
        with round_trip(session) as trip:
            first = trip.ask(rows("INSERT INTO pipeline_probe VALUES (1), (2) RETURNING n"))
            trip.savepoint("here")
            second = trip.ask(rows("DELETE FROM pipeline_probe WHERE n = 1 RETURNING n"))
            nothing = trip.ask(rows(""))
        assert (first.read(), second.read(), nothing.read()) == ([1, 2], [1], [])
        _do(session, "ROLLBACK TO SAVEPOINT here")
    assert _stored(table) == [1, 2]
