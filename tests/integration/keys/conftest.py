"""A real PostgreSQL with the wallets' table, emptied for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from chainwallet.keys.wallets import WalletRow
from chainwallet.kit.database import Database, open_database


@pytest.fixture(scope="session")
def wallet_server() -> Iterator[Database]:
    url = os.environ.get("CHAINWALLET_TEST_DATABASE_URL")
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:  # short: unix socket paths are limited to 107 bytes
        database = open_database(url, data_dir=Path(folder))
        WalletRow.__table__.create(database.engine, checkfirst=True)  # type: ignore[attr-defined]
        yield database
        database.close()


@pytest.fixture
def wallets(wallet_server: Database) -> Database:
    with wallet_server.transaction() as session:
        session.execute(text("TRUNCATE keys_wallet"))
    return wallet_server
