"""A PostgreSQL with the ledger's tables and triggers, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import SQLModel

from chainwallet.kit.database import Database, open_database
from chainwallet.ledger.ddl import statements
from chainwallet.ledger.models import Account, Hold, JournalEntry, Posting

_TABLES = [model.__table__ for model in (Account, JournalEntry, Posting, Hold)]  # type: ignore[attr-defined]


@contextmanager
def open_ledger(**options: int) -> Iterator[Database]:
    """The ledger in a server of its own, until the block ends; options as for open_database."""
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        database = open_database(None, data_dir=Path(folder), **options)
        SQLModel.metadata.create_all(database.engine, tables=_TABLES)
        with database.transaction() as session:
            for statement in statements():
                session.connection().exec_driver_sql(statement)
        yield database
        database.close()
