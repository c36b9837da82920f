"""Postings and holds spread by account: over one server's partitions, or a distributed PostgreSQL's nodes.

They are what grows, and every unique key of theirs has the account in it. Accounts and entries stay whole: an account's
figures are one row, and an entry is what its postings share. The ledger's verbs do not know the difference.
"""

from __future__ import annotations

from sqlmodel import Session

from chainwallet.ledger.ddl import statements

SPREAD = ("posting", "hold")


def spread_by_account(session: Session, *, parts: int) -> None:
    """Make the tables anew in `parts` hash partitions; only while they are empty (check_violation if they are not).

    A distributed PostgreSQL spreads the same tables by the same column (docs/scale.md).
    """
    ask = session.connection().exec_driver_sql
    for table in SPREAD:
        ask(f"DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM {table}), '{table} is not empty'; END $$")
        foreign = ask(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %(table)s::regclass AND contype = 'f' ORDER BY conname",
            {"table": table},
        ).all()
        ask(f"ALTER TABLE {table} RENAME TO {table}_whole")
        ask(f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING ALL) PARTITION BY HASH (account_id)")
        ask(f"DROP TABLE {table}_whole")
        for name, definition in foreign:
            ask(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        for part in range(parts):
            bounds = f"FOR VALUES WITH (MODULUS {parts}, REMAINDER {part})"
            ask(f"CREATE TABLE {table}_{part} PARTITION OF {table} {bounds}")
    for statement in statements():
        ask(statement)
