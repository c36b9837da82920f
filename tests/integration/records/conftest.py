"""A PostgreSQL with the tables of the records room, empty for each test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from chainwallet.kit.database import Database, open_database
from chainwallet.records.audit import AuditEntry
from chainwallet.records.idempotency import IdempotencyKey
from chainwallet.records.outbox import OutboxEvent
from chainwallet.records.webhooks import Webhook, WebhookDelivery

TABLES = [
    model.__table__  # type: ignore[attr-defined]
    for model in (AuditEntry, IdempotencyKey, OutboxEvent, Webhook, WebhookDelivery)
]


@pytest.fixture(scope="session")
def records_postgres() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        database = open_database(None, data_dir=Path(folder), pool_size=56)
        SQLModel.metadata.create_all(database.engine, tables=TABLES)
        yield database
        database.close()


@pytest.fixture
def database(records_postgres: Database) -> Database:
    names = ", ".join(table.name for table in TABLES)
    with records_postgres.transaction() as session:
        session.connection().exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    return records_postgres
