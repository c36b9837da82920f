"""The migrated database is the one that the models declare, however often and by whomever it is migrated."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

import chainwallet.migrations
from chainwallet.kit.database import Database
from chainwallet.migrations import newest_revision, upgrade
from chainwallet.migrations.tables import import_tables

FOLDER = chainwallet.migrations.__path__[0]


@pytest.fixture
def empty(postgres: Database) -> Iterator[Database]:
    """A database without a single table."""
    with postgres.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS migrated WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE migrated"))
    database = Database(make_url(postgres.url).set(database="migrated").render_as_string(hide_password=False))
    yield database
    database.engine.dispose()
    with postgres.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE migrated WITH (FORCE)"))


def _differences(database: Database) -> list[object]:
    import_tables()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True, "compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_upgrade__makes_exactly_what_the_models_declare(empty: Database) -> None:
    upgrade(empty)
    assert _differences(empty) == [], "run scripts/make_migration.py"
    assert _revision(empty) == ScriptDirectory(FOLDER).get_current_head() == newest_revision()


def test_difference__is_noticed(empty: Database) -> None:
    """The control: a check that cannot fail proves nothing."""
    upgrade(empty)
    with empty.transaction() as session:
        session.execute(text("ALTER TABLE transfer DROP COLUMN purpose"))
        session.execute(text("DROP INDEX ix_batch_open"))
    assert len(_differences(empty)) == 2


def test_upgrade_again__changes_nothing(empty: Database) -> None:
    upgrade(empty)
    with empty.transaction() as session:
        session.execute(text("INSERT INTO lane (sender, next_nonce) VALUES ('0x', 7)"))
    upgrade(empty)
    with empty.transaction() as session:
        assert session.execute(text("SELECT next_nonce FROM lane")).scalar_one() == 7


def test_upgrade__by_several_at_once__is_done_once(empty: Database) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(empty)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _differences(empty) == []
    with empty.transaction() as session:
        held = session.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert held == 0, "nobody keeps the lock"


def test_upgrade__that_fails__leaves_nothing_half_done(empty: Database) -> None:
    with empty.transaction() as session:
        session.execute(text("CREATE TABLE transfer (id int)"))  # in the way of the first revision
    with pytest.raises(Exception, match="transfer"):
        upgrade(empty)
    with empty.transaction() as session:
        tables = session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
    assert list(tables) == ["transfer"]
    with empty.transaction() as session:
        session.execute(text("DROP TABLE transfer"))
    upgrade(empty)
    assert _differences(empty) == []


def test_revisions__are_one_line() -> None:
    script = ScriptDirectory(FOLDER)
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1
