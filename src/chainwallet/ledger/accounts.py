"""Accounts: found or opened by their key, and locked in one order before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from chainwallet.kit.database import Query, ask
from chainwallet.kit.money import currency
from chainwallet.ledger.errors import UnknownAccount
from chainwallet.ledger.models import MAY_GO_NEGATIVE, NONCE_MAX, AccountKind
from chainwallet.ledger.seals import sql_account_seal
from chainwallet.ledger.sql import int_array, is_label, run


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """What makes an account one account: a customer id (or 'treasury', 'clearing', 'hub'), currency and kind."""

    owner_id: str
    currency: str
    kind: AccountKind

    def __post_init__(self) -> None:
        currency(self.currency)
        if not is_label(self.owner_id):
            raise UnknownAccount("An account's owner is named by 1 to 128 printable characters.")
        AccountKind(self.kind)


@dataclass(slots=True)
class LockedAccount:
    """An account's figures while its row is locked; the deciding functions advance them as they go."""

    id: int
    currency: str
    kind: AccountKind
    posted_units: int
    held_units: int
    last_nonce: int
    seal: bytes
    is_frozen: bool = False

    @property
    def available_units(self) -> int:
        return self.posted_units - self.held_units

    @property
    def may_go_negative(self) -> bool:
        return self.kind in MAY_GO_NEGATIVE

    @property
    def has_nonces_left(self) -> bool:
        return self.last_nonce < NONCE_MAX


_FIND = """
SELECT owner_id, currency, kind, id FROM account
WHERE (owner_id, currency, kind) IN (
  SELECT * FROM unnest(%(owners)s::text[], %(currencies)s::text[], %(kinds)s::text[])
)
"""

_OPEN = f"""
INSERT INTO account (owner_id, currency, kind, seal)
SELECT owner_id, currency, kind, {sql_account_seal("owner_id", "currency", "kind")}
FROM unnest(%(owners)s::text[], %(currencies)s::text[], %(kinds)s::text[]) AS u(owner_id, currency, kind)
ON CONFLICT DO NOTHING
"""


def ensure_accounts(session: Session, keys: Iterable[AccountKey]) -> dict[AccountKey, int]:
    """The ids of these accounts; those that do not exist are opened, empty. Safe to race.

    Raises MONEY_UNKNOWN_CURRENCY (from AccountKey). One statement when all exist, three otherwise.
    """
    wanted = sorted(set(keys))  # in one order: two callers opening the same accounts do not deadlock
    found = _find(session, wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        run(session, _OPEN, **_columns(missing))
        found |= _find(session, missing)
    return found


def _find(session: Session, keys: list[AccountKey]) -> dict[AccountKey, int]:
    rows = run(session, _FIND, **_columns(keys)) if keys else []
    return {AccountKey(owner_id, code, AccountKind(kind)): int(key) for owner_id, code, kind, key in rows}


def _columns(keys: list[AccountKey]) -> dict[str, list[str]]:
    return {
        "owners": [key.owner_id for key in keys],
        "currencies": [key.currency for key in keys],
        "kinds": [str(key.kind) for key in keys],
    }


_FIGURES = """
SELECT a.id, a.currency, a.kind, a.posted_units::text, a.held_units::text, a.last_nonce, a.seal, a.frozen
FROM account a
WHERE a.id IN (
  SELECT unnest(%(ids)s::bigint[])
  UNION SELECT h.account_id FROM hold h WHERE h.reference = ANY(%(references)s::text[])
)
ORDER BY a.id
"""
_LOCK = f"{_FIGURES}FOR NO KEY UPDATE OF a"


def lock_accounts(
    session: Session, account_ids: Iterable[int], *, references: Iterable[str] = ()
) -> dict[int, LockedAccount]:
    """Lock these accounts, and those that holds under `references` are on, until the transaction ends.

    Every verb that changes a balance takes its locks here, in id order, so one verb cannot deadlock with
    another. A transaction that calls several of them locks the accounts of all of them here first.
    Raises LEDGER_UNKNOWN_ACCOUNT.
    """
    return _figures(session, _LOCK, set(account_ids), references)


def glance_at_accounts(session: Session, account_ids: Iterable[int]) -> dict[int, LockedAccount]:
    """As `lock_accounts`, without locking: figures to plan with, which may have changed by the time they are locked."""
    return _figures(session, _FIGURES, set(account_ids), ())


def _figures(session: Session, statement: str, wanted: set[int], references: Iterable[str]) -> dict[int, LockedAccount]:
    rows = run(session, statement, ids=int_array(sorted(wanted)), references=sorted(set(references)))
    locked = {
        key: LockedAccount(key, code, AccountKind(kind), int(posted), int(held), nonce, seal, frozen)
        for key, code, kind, posted, held, nonce, seal, frozen in rows
    }
    if unknown := wanted - locked.keys():
        raise UnknownAccount("No account has this id; open it with ensure_accounts first.", account_ids=sorted(unknown))
    return locked


_LOCK_KEYS = """
SELECT a.owner_id, a.id, a.currency, a.kind, a.posted_units::text, a.held_units::text, a.last_nonce, a.seal, a.frozen
FROM account a
JOIN unnest(%(owners)s::text[], %(currencies)s::text[], %(kinds)s::text[]) AS u(owner_id, currency, kind)
  ON a.owner_id = u.owner_id AND a.currency = u.currency AND a.kind = u.kind
ORDER BY a.id
FOR NO KEY UPDATE OF a
"""


def lock_accounts_by_key(session: Session, keys: Iterable[AccountKey]) -> dict[AccountKey, LockedAccount]:
    """As `lock_accounts`, by key; an account that nobody has opened is missing from the answer. One statement."""
    return ask(session, lock_by_key_query(keys))


def lock_by_key_query(keys: Iterable[AccountKey]) -> Query[dict[AccountKey, LockedAccount]]:
    """What `lock_accounts_by_key` asks."""
    wanted = sorted(set(keys))

    def read(rows: Sequence[Any]) -> dict[AccountKey, LockedAccount]:
        return {
            AccountKey(owner_id, code, AccountKind(kind)): LockedAccount(
                key, code, AccountKind(kind), int(posted), int(held), nonce, seal, frozen
            )
            for owner_id, key, code, kind, posted, held, nonce, seal, frozen in rows
        }

    return Query(_LOCK_KEYS if wanted else "", _columns(wanted), read)


_FREEZE = """
UPDATE account a SET frozen = true
FROM unnest(%(owners)s::text[], %(currencies)s::text[], %(kinds)s::text[]) AS u(owner_id, currency, kind)
WHERE a.owner_id = u.owner_id AND a.currency = u.currency AND a.kind = u.kind AND NOT a.frozen
"""
_THAW = """
UPDATE account SET frozen = false
WHERE frozen AND (owner_id, currency, kind) NOT IN (
  SELECT * FROM unnest(%(owners)s::text[], %(currencies)s::text[], %(kinds)s::text[])
)
"""


def freeze_only(session: Session, keys: Iterable[AccountKey]) -> None:
    """From now on nothing new is held on these accounts, and on all others it may be. What is held stays as it is."""
    columns = _columns(sorted(set(keys)))
    session.connection().exec_driver_sql(_FREEZE, columns)
    session.connection().exec_driver_sql(_THAW, columns)


def frozen_accounts(session: Session) -> list[AccountKey]:
    """The accounts that are frozen, in the order of their keys."""
    rows = run(session, "SELECT owner_id, currency, kind FROM account WHERE frozen")
    return sorted(AccountKey(owner_id, code, AccountKind(kind)) for owner_id, code, kind in rows)
