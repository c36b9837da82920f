"""Seals: each row of the books carries a SHA-256 that a changed row no longer matches.

A posting's seal covers the one before it on the same account, so an account's seal commits to its
whole history and `books_root` to everybody's. Whoever can write to the database can compute seals
too; a root kept elsewhere (a log, the chain) is what shows that history was rewritten as a whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from chainwallet.ledger.sql import run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly: what a seal covers of a time."""
    return (moment - _EPOCH) // _MICROSECOND


def posting_seal(
    previous: bytes, *, kind: str, reference: str, created_us: int, units: int, balance_units: int
) -> bytes:
    """The seal of a posting that follows the one sealed `previous`; SEAL_OF_POSTING is its twin in SQL."""
    sealed = f"{previous.hex()}|{kind}|{reference}|{created_us}|{units}|{balance_units}"
    return hashlib.sha256(sealed.encode()).digest()


def _sql_sha256(*parts: str) -> str:
    return f"sha256(convert_to(concat_ws('|', {', '.join(parts)}), 'UTF8'))"


def _sql_micros(column: str) -> str:
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


def sql_account_seal(owner_id: str, currency: str, kind: str) -> str:
    """SQL: the seal of an account without postings. Arguments are SQL expressions."""
    return _sql_sha256("'account'", owner_id, currency, kind)


def sql_posting_seal(previous: str, entry: str, posting: str) -> str:
    """SQL: the seal of the row `posting` of the row `entry`, after the seal `previous`."""
    return _sql_sha256(
        f"encode({previous}, 'hex')",
        f"{entry}.kind",
        f"{entry}.reference",
        _sql_micros(f"{entry}.created_at"),
        f"{posting}.units",
        f"{posting}.balance_units",
    )


def sql_hold_seal(**columns: str) -> str:
    """SQL: the seal of a hold, whose columns are named as in the table unless given as expressions."""
    names = {name: columns.get(name, name) for name in ("reference", "account_id", "units", "nonce", "status")}
    times = [_sql_micros(columns.get(name, name)) for name in ("placed_at", "closed_at")]
    parts = [*names.values(), *times, columns.get("entry_id", "entry_id")]
    return _sql_sha256(*(f"coalesce(({part})::text, '')" for part in parts))


@dataclass(frozen=True, slots=True)
class BooksRoot:
    """`root` (hex SHA-256) commits to every posting up to and including the entry `entry_id`."""

    entry_id: int
    root: str


def books_root(session: Session) -> BooksRoot:
    """The root of the books as they stand; to be kept where the database's writers cannot reach.

    Waits for transactions that are booking and keeps new ones waiting until this one ends, so that no
    entry with a lower number can still appear: call it in a transaction of its own.
    """
    run(session, "LOCK TABLE journal_entry IN SHARE MODE")
    newest = run(session, "SELECT coalesce(max(id), 0) FROM journal_entry")[0][0]
    return books_root_at(session, entry_id=int(newest))


def books_root_at(session: Session, *, entry_id: int) -> BooksRoot:
    """The root as of the entry `entry_id`: equal to the one kept then, unless history was changed."""
    rows = run(
        session,
        """SELECT DISTINCT ON (account_id) account_id, encode(seal, 'hex') FROM posting
           WHERE entry_id <= %(entry)s ORDER BY account_id, entry_id DESC""",
        entry=entry_id,
    )
    text = "\n".join(f"{account_id}|{seal}" for account_id, seal in rows)
    return BooksRoot(entry_id, hashlib.sha256(text.encode()).hexdigest())
