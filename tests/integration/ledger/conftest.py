"""A PostgreSQL with the ledger's tables and triggers, and a small language to write books in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlmodel import Session
from tests.ledger_database import open_ledger

from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    Held,
    HoldPart,
    HoldRequest,
    balances_of,
    capture_and_post,
    ensure_accounts,
    place_holds,
    release_holds,
    renew_nonces,
    verify,
)


@pytest.fixture(scope="session")
def ledger_postgres() -> Iterator[Database]:
    with open_ledger(pool_size=32) as database:
        yield database


@pytest.fixture
def database(ledger_postgres: Database) -> Database:
    """The ledger's tables, empty."""
    with ledger_postgres.transaction() as session:
        session.connection().exec_driver_sql("TRUNCATE account, journal_entry, posting, hold RESTART IDENTITY")
    return ledger_postgres


class Books:
    """Plays lines such as `hold h1 A.EUR 60 -> held`, each in a transaction of its own, and checks what follows `->`.

    An account is `owner.CURRENCY`; owners `hub`, `clearing` and `treasury` are of that kind. Amounts are units.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def account(self, session: Session, name: str) -> int:
        owner, _, code = name.partition(".")
        kind = AccountKind(owner) if owner in set(AccountKind) else AccountKind.CUSTOMER
        key = AccountKey(owner, code, kind)
        return ensure_accounts(session, [key])[key]

    def play(self, script: str) -> None:
        for line in filter(None, (line.partition("#")[0].strip() for line in script.splitlines())):
            act, _, expected = (part.strip() for part in line.partition("->"))
            assert self._outcome(act.split()) == " ".join(expected.split()), line
        with self.database.transaction() as session:
            assert verify(session) == []

    def _outcome(self, words: list[str]) -> str:
        try:
            with self.database.transaction() as session:
                return getattr(self, f"_{words[0]}")(session, *words[1:])
        except ChainwalletError as error:
            return error.code

    def _parts(self, session: Session, words: tuple[str, ...]) -> list[tuple[int, int]]:
        return [(self.account(session, name), int(units)) for name, units in zip(words[::2], words[1::2], strict=True)]

    def _hold(self, session: Session, reference: str, *words: str) -> str:
        return self._place(session, reference, words, with_nonce=False)

    def _order(self, session: Session, reference: str, *words: str) -> str:
        return self._place(session, reference, words, with_nonce=True)

    def _place(self, session: Session, reference: str, words: tuple[str, ...], *, with_nonce: bool) -> str:
        parts = tuple(HoldPart(*part) for part in self._parts(session, words))
        outcome = place_holds(session, [HoldRequest(reference, parts, parts[0].account_id if with_nonce else None)])[0]
        if isinstance(outcome, Held):
            return "held" if outcome.nonce is None else f"held nonce {outcome.nonce}"
        return f"refused {outcome.available_units} of {outcome.needed_units}"

    def _release(self, session: Session, *references: str) -> str:
        return str(release_holds(session, references))

    def _renew(self, session: Session, *references: str) -> str:
        return " ".join(f"{reference}={nonce}" for reference, nonce in renew_nonces(session, references).items())

    def _post(self, session: Session, kind: str, reference: str, *words: str) -> str:
        split = words.index("capture") if "capture" in words else len(words)
        draft = EntryDraft(kind, reference, tuple(self._parts(session, words[:split])), words[split + 1 :])
        return "skipped" if capture_and_post(session, [draft]) == [None] else "posted"

    def _balance(self, session: Session, name: str) -> str:
        balance = balances_of(session, [self.account(session, name)]).popitem()[1]
        return f"{balance.posted_units} posted {balance.held_units} held {balance.available_units} available"


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


@pytest.fixture
def play(books: Books) -> Callable[[str], None]:
    return books.play


@pytest.fixture
def funded(database: Database) -> Callable[..., dict[str, int]]:
    """Open customer accounts in EUR, fund each with `units` from the hub; account ids by owner."""

    def fund(owners: list[str], units: int) -> dict[str, int]:
        hub = AccountKey("hub", "EUR", AccountKind.HUB)
        keys = [AccountKey(owner, "EUR", AccountKind.CUSTOMER) for owner in owners]
        with database.transaction() as session:
            ids = ensure_accounts(session, [hub, *keys])
            if units:
                drafts = [
                    EntryDraft("deposit", f"dep_{key.owner_id}", ((ids[hub], -units), (ids[key], units)))
                    for key in keys
                ]
                capture_and_post(session, drafts)
        return {key.owner_id: ids[key] for key in keys}

    return fund
