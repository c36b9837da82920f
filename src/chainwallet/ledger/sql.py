"""How the ledger talks to PostgreSQL: one statement for a whole batch, its rows passed as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlmodel import Session


def run(session: Session, statement: str, **parameters: Any) -> list[Any]:
    """Execute one statement on the caller's transaction; what it returns, as a list of rows."""
    result = session.connection().exec_driver_sql(statement, parameters)
    return list(result) if result.returns_rows else []


def int_array(values: Iterable[int | None]) -> str:
    """An array literal, to be cast in the statement.

    A list would be sent as int2[], int8[] or numeric[] depending on its largest value, and each
    of these would be a statement of its own to prepare.
    """
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def is_label(value: str) -> bool:
    """Whether an owner or a reference is fit for the books: 1 to 128 printable characters."""
    return 0 < len(value) <= 128 and value.isprintable()
