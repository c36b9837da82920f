"""The ledger spread by account: the same answers as the model's, the same guards, and keys that allow it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import SQLModel
from test_ledger_machine import RandomRun
from tests.ledger_database import open_ledger

from chainwallet.kit.database import Database
from chainwallet.ledger import books_root
from chainwallet.ledger.partitioning import SPREAD, spread_by_account

PARTS = 8
STEPS = 1_500


@pytest.fixture(scope="module")
def spread() -> Iterator[Database]:
    with open_ledger() as database:
        with database.transaction() as session:
            spread_by_account(session, parts=PARTS)
        seed = 20_260_102
        print(f"seed {seed}")
        run, done = RandomRun(database, seed), 0
        while done < STEPS:
            done += run.step()
        run.pair.check_all()
        yield database


def test_keys__of_what_is_spread__all_have_the_account() -> None:
    for table in SPREAD:
        declared = SQLModel.metadata.tables[table]
        keys = [set(index.columns.keys()) for index in declared.indexes if index.unique]
        keys += [set(one.columns.keys()) for one in declared.constraints if isinstance(one, UniqueConstraint)]
        keys.append(set(declared.primary_key.columns.keys()))
        assert all("account_id" in key for key in keys), table


def test_random_run__on_partitions__agrees_with_the_model(spread: Database) -> None:
    with spread.transaction() as session:
        assert books_root(session).entry_id > 0
        for table in SPREAD:
            counts = [
                session.connection().exec_driver_sql(f"SELECT count(*) FROM {table}_{part}").scalar_one()
                for part in range(PARTS)
            ]
            assert all(counts), f"{table} lies in {counts}"


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE posting SET units = units + 1",
        "DELETE FROM posting",
        "DELETE FROM hold",
        "UPDATE hold SET units = units + 1",
        "INSERT INTO posting SELECT entry_id + 1, account_id, units, balance_units, seal FROM posting LIMIT 1",
    ],
)
def test_guards__on_partitions__are_in_place(spread: Database, tampering: str) -> None:
    with pytest.raises((IntegrityError, DBAPIError)), spread.transaction() as session:
        session.connection().exec_driver_sql(tampering)


def test_spread__tables_with_rows__are_left_alone(spread: Database) -> None:
    with pytest.raises(DBAPIError, match="not empty"), spread.transaction() as session:
        spread_by_account(session, parts=2)
