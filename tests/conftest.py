"""Fixtures that several folders use: a real PostgreSQL, fresh tables, and printed seeds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import text
from sqlmodel import SQLModel

from chainwallet.kit.database import Database, open_database
from chainwallet.migrations import upgrade

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One PostgreSQL for the session: the one at CHAINWALLET_TEST_DATABASE_URL, or one embedded."""
    url = os.environ.get("CHAINWALLET_TEST_DATABASE_URL")
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:  # short: unix socket paths are limited to 107 bytes
        database = open_database(url, data_dir=Path(folder))
        upgrade(database)
        yield database
        database.close()


@pytest.fixture
def database(postgres: Database) -> Iterator[Database]:
    """The session's PostgreSQL with every table empty."""
    names = ", ".join(f'"{table.name}"' for table in SQLModel.metadata.sorted_tables)
    with postgres.transaction() as session:
        session.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return postgres
