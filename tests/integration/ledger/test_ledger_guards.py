"""The database refuses what the ledger would never ask for, in case the ledger is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session

from chainwallet.kit.database import Database
from chainwallet.ledger import AccountKey, AccountKind, EntryDraft, Violation, capture_and_post, ensure_accounts, verify

BOOKS = """
    post deposit d1  hub.EUR -100 A.EUR 100            -> posted
    order t1 A.EUR 40                                  -> held nonce 1
    order t2 A.EUR 20                                  -> held nonce 2
    order t3 A.EUR 10                                  -> held nonce 3
    release t3                                         -> 1
    post payment p1  A.EUR -20 B.EUR 20  capture t2    -> posted
"""
NEW_ACCOUNT = "INSERT INTO account (owner_id, currency, kind, seal) VALUES"
NEW_ENTRY = "INSERT INTO journal_entry (kind, reference, created_at) VALUES"
SEAL = "decode(repeat('00', 32), 'hex')"


@pytest.fixture
def session(database: Database, play: Callable[[str], None]) -> Session:
    """A transaction over a small set of books, rolled back at the end."""
    play(BOOKS)
    with Session(database.engine) as session:
        yield session
        session.rollback()


def _execute(session: Session, statement: str) -> int:
    return session.connection().exec_driver_sql(statement).rowcount


@pytest.mark.parametrize(
    ("statement", "guard"),
    [
        # accounts: A is 2, hub is 1, B is 3; A has 80 posted and 40 held
        ("UPDATE account SET posted_units = 39 WHERE owner_id = 'A'", "ck_account_available_not_negative"),
        ("UPDATE account SET held_units = 81 WHERE owner_id = 'A'", "ck_account_available_not_negative"),
        ("UPDATE account SET held_units = -1 WHERE owner_id = 'A'", "ck_account_held_not_negative"),
        ("UPDATE account SET posted_units = -1 WHERE owner_id = 'B'", "ck_account_available_not_negative"),
        ("UPDATE account SET last_nonce = 2 WHERE owner_id = 'A'", "account_nonce_rises"),
        ("UPDATE account SET owner_id = 'C' WHERE owner_id = 'A'", "account_keeps_its_key"),
        ("UPDATE account SET kind = 'hub' WHERE owner_id = 'A'", "account_keeps_its_key"),
        ("DELETE FROM account WHERE owner_id = 'B'", "account_is_kept"),
        (f"{NEW_ACCOUNT} ('A', 'EUR', 'customer', {SEAL})", "uq_account_key"),
        (f"{NEW_ACCOUNT} ('A', 'eur', 'customer', {SEAL})", "ck_account_currency"),
        (f"{NEW_ACCOUNT} ('A', 'EUR', 'secret', {SEAL})", "ck_account_kind"),
        (f"{NEW_ACCOUNT} ('C', 'EUR', 'hub', '')", "ck_account_seal"),
        (f"{NEW_ENTRY} ('deposit', 'd1', now())", "uq_journal_entry_once"),
        (f"{NEW_ENTRY} ('Deposit', 'x', now())", "ck_journal_entry_kind"),
        ("UPDATE journal_entry SET reference = 'd2'", "journal_entry_append_only"),
        ("DELETE FROM journal_entry", "journal_entry_append_only"),
        ("UPDATE posting SET units = units * 2", "posting_append_only"),
        ("DELETE FROM posting", "posting_append_only"),
        (f"INSERT INTO posting VALUES (1, 3, 0, 0, {SEAL})", "ck_posting_units_not_zero"),
        (f"INSERT INTO posting VALUES (1, 2, 5, 0, {SEAL})", "pk_posting"),
        (f"INSERT INTO posting VALUES (1, 3, 5, 0, {SEAL})", "ledger_entry_balances"),
        (f"INSERT INTO posting VALUES (2, 1, 5, 0, {SEAL}), (1, 3, -5, 0, {SEAL})", "ledger_entry_balances"),
        (f"INSERT INTO posting VALUES (1, 99, 5, 0, {SEAL}), (1, 3, -5, 0, {SEAL})", "fk_posting_account_id"),
        (f"INSERT INTO posting VALUES (99, 2, 5, 0, {SEAL}), (99, 3, -5, 0, {SEAL})", "fk_posting_entry_id"),
        ("DELETE FROM hold", "hold_is_kept"),
        ("UPDATE hold SET units = 1 WHERE reference = 't1'", "hold_keeps_its_amount"),
        (
            "UPDATE hold SET closed_at = NULL, status = 'open', entry_id = NULL WHERE reference = 't2'",
            "hold_closes_once",
        ),
        ("UPDATE hold SET closed_at = NULL, status = 'open' WHERE reference = 't3'", "hold_closes_once"),
        ("UPDATE hold SET status = 'released' WHERE reference = 't1'", "ck_hold_closed_when_not_open"),
        (
            "UPDATE hold SET status = 'captured', closed_at = now() WHERE reference = 't1'",
            "ck_hold_entry_when_captured",
        ),
        ("UPDATE hold SET status = 'gone', closed_at = now() WHERE reference = 't1'", "ck_hold_status"),
        (f"INSERT INTO hold VALUES ('t9', 2, 1, 2, 'open', now(), NULL, NULL, {SEAL})", "uq_hold_nonce"),
        (f"INSERT INTO hold VALUES ('t1', 2, 1, NULL, 'open', now(), NULL, NULL, {SEAL})", "pk_hold"),
        (f"INSERT INTO hold VALUES ('t9', 2, 0, NULL, 'open', now(), NULL, NULL, {SEAL})", "ck_hold_units_positive"),
        (f"INSERT INTO hold VALUES ('t9', 99, 1, NULL, 'open', now(), NULL, NULL, {SEAL})", "fk_hold_account_id"),
    ],
)
def test_statement_that_breaks_the_books__is_refused(session: Session, statement: str, guard: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        _execute(session, statement)
    assert refused.value.orig.diag.constraint_name == guard  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("statements", "invariants"),
    [
        (["UPDATE account SET posted_units = posted_units + 1 WHERE owner_id = 'A'"], {"I1", "I3"}),
        (["UPDATE account SET held_units = held_units - 1 WHERE owner_id = 'A'"], {"I3"}),
        (["UPDATE account SET owner_id = 'C' WHERE owner_id = 'A'"], {"I13"}),
        (["UPDATE account SET last_nonce = 9 WHERE owner_id = 'A'"], {"I15"}),
        (["UPDATE account SET seal = sha256('x') WHERE owner_id = 'B'"], {"I13"}),
        (["UPDATE posting SET units = 21 WHERE units = 20"], {"I1", "I3", "I13"}),
        (["UPDATE posting SET balance_units = 21 WHERE units = 20"], {"I13"}),
        (["UPDATE journal_entry SET kind = 'refund' WHERE kind = 'payment'"], {"I13"}),
        (["UPDATE journal_entry SET created_at = created_at + interval '1 microsecond' WHERE id = 1"], {"I13"}),
        (["DELETE FROM posting WHERE entry_id = 2"], {"I1", "I3", "I13"}),
        (  # history rewritten with its figures, by someone who does not know of seals
            [
                "UPDATE posting SET units = units * 2, balance_units = units * 2 WHERE entry_id = 1",
                "UPDATE posting SET balance_units = 180 WHERE units = -20",
                "UPDATE account SET posted_units = 180 WHERE owner_id = 'A'",
                "UPDATE account SET posted_units = -200 WHERE owner_id = 'hub'",
            ],
            {"I13"},
        ),
        (["UPDATE hold SET units = 21 WHERE reference = 't2'"], {"I14"}),
        (["UPDATE hold SET status = 'open', closed_at = NULL WHERE reference = 't3'"], {"I3", "I14"}),
        (["UPDATE hold SET nonce = 7 WHERE reference = 't2'"], {"I14", "I15"}),
        (["UPDATE hold SET entry_id = 99 WHERE reference = 't2'"], {"I14"}),
        (["DELETE FROM hold WHERE reference = 't3'"], {"I15"}),
        (
            [
                "DROP INDEX uq_hold_nonce",
                "ALTER TABLE account DROP CONSTRAINT ck_account_available_not_negative",
                "UPDATE account SET posted_units = 39 WHERE owner_id = 'A'",
            ],
            {"I1", "I2", "I3"},
        ),
        (
            [
                "ALTER TABLE journal_entry DROP CONSTRAINT uq_journal_entry_once",
                f"{NEW_ENTRY} ('deposit', 'd1', now())",
            ],
            {"I1", "I12"},
        ),
    ],
)
def test_books_changed_behind_the_guards__are_found(
    session: Session, statements: list[str], invariants: set[str]
) -> None:
    assert verify(session) == []
    _execute(session, "SET LOCAL session_replication_role = replica")  # no triggers, no foreign keys
    for statement in statements:
        _execute(session, statement)
    assert {violation.invariant for violation in verify(session)} == invariants


def test_verify__names_the_account_and_the_figures(session: Session) -> None:
    _execute(session, "UPDATE account SET held_units = held_units - 1 WHERE owner_id = 'A'")
    assert verify(session) == [Violation("I3", "account 2: held 39, its open holds sum to 40", 2)]


def test_clearing__must_be_empty_only_when_idle(database: Database) -> None:
    keys = [AccountKey("hub", "EUR", AccountKind.HUB), AccountKey("clearing", "EUR", AccountKind.CLEARING)]
    with database.transaction() as session:
        ids = ensure_accounts(session, keys)
        capture_and_post(session, [EntryDraft("payment", "p1", ((ids[keys[0]], -5), (ids[keys[1]], 5)))])
        assert verify(session) == []
        assert verify(session, is_idle=True) == [
            Violation("I16", "clearing account 1 stands at 5 units of EUR", ids[keys[1]])
        ]


def test_error_caught_inside_the_transaction__has_written_nothing(session: Session) -> None:
    with pytest.raises(Exception, match="sum to zero"):
        capture_and_post(
            session, [EntryDraft("payment", "p2", ((2, -1), (3, 1))), EntryDraft("payment", "p3", ((2, -1), (3, 2)))]
        )
    session.commit()
    assert verify(session) == []
    assert session.connection().exec_driver_sql("SELECT count(*) FROM journal_entry").scalar_one() == 2
