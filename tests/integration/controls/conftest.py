"""A PostgreSQL with the tables of controls and records, empty for each test, and customers to put in it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from sqlmodel import Session, SQLModel

from chainwallet.controls.identity.api_keys import ApiKey
from chainwallet.controls.identity.customers import Customer, CustomerDraft, CustomerType, create_customer
from chainwallet.kit.database import Database, open_database
from chainwallet.records.audit import AuditEntry
from chainwallet.records.outbox import OutboxEvent

TABLES = [model.__table__ for model in (Customer, ApiKey, AuditEntry, OutboxEvent)]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def controls_postgres() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        database = open_database(None, data_dir=Path(folder))
        SQLModel.metadata.create_all(database.engine, tables=TABLES)
        yield database
        database.close()


@pytest.fixture
def database(controls_postgres: Database) -> Database:
    names = ", ".join(table.name for table in TABLES)
    with controls_postgres.transaction() as session:
        session.connection().exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    return controls_postgres


def address_for(_: Session, owner_id: str) -> str:
    return to_checksum_address("0x" + hashlib.sha256(owner_id.encode()).hexdigest()[:40])


@pytest.fixture
def open_customer(database: Database) -> Callable[..., Customer]:
    """Open a customer; whatever is not given is that of "Customer DE-001"."""

    def open_one(**given: Any) -> Customer:
        values = {"type": CustomerType.INDIVIDUAL, "full_name": "Customer DE-001", "country": "DE"} | given
        with database.transaction() as session:
            return create_customer(session, CustomerDraft(**values), new_address=address_for, actor="operator")

    return open_one
