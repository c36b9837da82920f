"""What accounts hold, and how it came about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from chainwallet.ledger.models import AccountKind
from chainwallet.ledger.sql import int_array, run


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's figures: posted is what its postings sum to, held what is set aside of it."""

    account_id: int
    owner_id: str
    currency: str
    kind: AccountKind
    posted_units: int
    held_units: int

    @property
    def available_units(self) -> int:
        return self.posted_units - self.held_units


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting, with the account's balance after it."""

    entry_id: int
    kind: str
    reference: str
    units: int
    balance_units: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StatementPage:
    """Lines, newest first; `next_cursor` fetches the page after, None at the beginning of the account."""

    lines: tuple[StatementLine, ...]
    next_cursor: int | None


_BALANCES = "SELECT id, owner_id, currency, kind, posted_units::text, held_units::text FROM account"


def balances(session: Session, owner_id: str) -> list[Balance]:
    """Every account of one owner, by currency and kind. Empty for an owner without accounts."""
    rows = run(session, f"{_BALANCES} WHERE owner_id = %(owner)s ORDER BY currency, kind", owner=owner_id)
    return [_balance(row) for row in rows]


def balances_of(session: Session, account_ids: Iterable[int]) -> dict[int, Balance]:
    """Balances by account id; an id that no account has is missing from the answer."""
    wanted = int_array(sorted(set(account_ids)))
    found = map(_balance, run(session, f"{_BALANCES} WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id", ids=wanted))
    return {balance.account_id: balance for balance in found}


def _balance(row: tuple[int, str, str, str, str, str]) -> Balance:
    account_id, owner_id, code, kind, posted, held = row
    return Balance(account_id, owner_id, code, AccountKind(kind), int(posted), int(held))


_STATEMENT = """
SELECT p.entry_id, e.kind, e.reference, p.units::text, p.balance_units::text, e.created_at
FROM posting p JOIN journal_entry e ON e.id = p.entry_id
WHERE p.account_id = %(account)s AND (%(cursor)s::bigint IS NULL OR p.entry_id < %(cursor)s::bigint)
ORDER BY p.entry_id DESC LIMIT %(rows)s
"""


def statement(session: Session, account_id: int, cursor: int | None = None, limit: int = 50) -> StatementPage:
    """A page of an account's postings, newest first. Entry ids rise in the order that an account was booked in."""
    rows = run(session, _STATEMENT, account=account_id, cursor=cursor, rows=limit + 1)
    lines = tuple(
        StatementLine(entry_id, kind, reference, int(units), int(balance), created_at)
        for entry_id, kind, reference, units, balance, created_at in rows[:limit]
    )
    return StatementPage(lines, lines[-1].entry_id if len(rows) > limit else None)
