"""Statements, seals and the root of the books; a changed cell is found whichever it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from chainwallet.kit.database import Database
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    HoldPart,
    HoldRequest,
    HoldStatus,
    HoldView,
    StatementPage,
    UnknownAccount,
    balances,
    balances_of,
    books_root,
    books_root_at,
    capture_and_post,
    ensure_accounts,
    holds_of,
    place_holds,
    release_holds,
    statement,
    verify,
)

Fund = Callable[..., dict[str, int]]


def _pay(database: Database, payer: int, payee: int, amounts: list[int]) -> None:
    with database.transaction() as session:
        capture_and_post(
            session,
            [
                EntryDraft("payment", f"p{place}", ((payer, -units), (payee, units)))
                for place, units in enumerate(amounts)
            ],
        )


def test_statement__pages_back_to_the_beginning__with_the_balance_after_each_line(
    database: Database, funded: Fund
) -> None:
    accounts = funded(["A", "B"], 100)
    _pay(database, accounts["A"], accounts["B"], [10, 20, 30])
    with database.transaction() as session:
        first = statement(session, accounts["A"], limit=2)
        second = statement(session, accounts["A"], first.next_cursor, limit=2)
        third = statement(session, accounts["A"], limit=4)
    shown = [(line.kind, line.reference, line.units, line.balance_units) for line in (*first.lines, *second.lines)]
    assert shown == [
        ("payment", "p2", -30, 40),
        ("payment", "p1", -20, 70),
        ("payment", "p0", -10, 90),
        ("deposit", "dep_A", 100, 100),
    ]
    assert second.next_cursor is None
    assert third.next_cursor is None
    assert first.lines[0].created_at.tzinfo is not None


def test_statement__of_an_account_without_postings__is_empty(database: Database, funded: Fund) -> None:
    with database.transaction() as session:
        account = ensure_accounts(session, [AccountKey("A", "EUR", AccountKind.CUSTOMER)]).popitem()[1]
        assert statement(session, account) == StatementPage((), None)


def test_balances__are_by_currency__and_empty_for_strangers(database: Database, play: Callable[[str], None]) -> None:
    play("""
        post deposit d1 hub.USD -5 A.USD 5  -> posted
        post deposit d2 hub.EUR -7 A.EUR 7  -> posted
        hold h1 A.EUR 3                     -> held
    """)
    with database.transaction() as session:
        mine = balances(session, "A")
        assert [(b.currency, b.posted_units, b.held_units, b.available_units) for b in mine] == [
            ("EUR", 7, 3, 4),
            ("USD", 5, 0, 5),
        ]
        assert balances(session, "nobody") == []
        assert balances_of(session, [10**6]) == {}


def test_holds_of__shows_open_and_closed(database: Database, play: Callable[[str], None]) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100     -> posted
        order t1 A.EUR 3                           -> held nonce 1
        hold t2 A.EUR 4                            -> held
        hold t3 A.EUR 5                            -> held
        release t2                                 -> 1
        post fee f1 A.EUR -5 B.EUR 5 capture t3    -> posted
    """)
    with database.transaction() as session:
        assert holds_of(session, ["t3", "t1", "t2", "t4"]) == [
            HoldView("t1", 2, 3, 1, HoldStatus.OPEN, None),
            HoldView("t2", 2, 4, None, HoldStatus.RELEASED, None),
            HoldView("t3", 2, 5, None, HoldStatus.CAPTURED, 2),
        ]


def test_unknown_account__is_refused_before_anything_is_written(database: Database, funded: Fund) -> None:
    account = funded(["A"], 100)["A"]
    with database.transaction() as session:
        with pytest.raises(UnknownAccount) as refused:
            place_holds(session, [HoldRequest("t1", (HoldPart(account, 1), HoldPart(10**6, 1)))])
        assert refused.value.context == {"account_ids": [10**6]}
        with pytest.raises(UnknownAccount):
            capture_and_post(session, [EntryDraft("payment", "p1", ((account, -1), (10**6, 1)))])
    with database.transaction() as session:
        assert balances_of(session, [account])[account].held_units == 0
        assert verify(session) == []


def test_books_root__stays_what_it_was__and_tells_rewritten_history(database: Database, funded: Fund) -> None:
    accounts = funded(["A", "B"], 100)
    _pay(database, accounts["A"], accounts["B"], [10])
    with database.transaction() as session:
        kept = books_root(session)
    with database.transaction() as session:
        capture_and_post(session, [EntryDraft("payment", "later", ((accounts["B"], -5), (accounts["A"], 5)))])
    with database.transaction() as session:
        assert books_root_at(session, entry_id=kept.entry_id) == kept
        assert books_root(session).root != kept.root
    with Session(database.engine) as session:
        connection = session.connection()
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(  # the last posting of that time, rewritten with a seal that fits it
            "UPDATE posting SET seal = sha256('rewritten') WHERE entry_id = %(entry)s", {"entry": kept.entry_id}
        )
        assert books_root_at(session, entry_id=kept.entry_id) != kept
        session.rollback()


def _small_books(database: Database, fund: Fund) -> None:
    accounts = fund([f"C{number}" for number in range(6)], 10**6)
    rng = random.Random(7)
    ids = list(accounts.values())
    with database.transaction() as session:
        for number in range(30):
            payer, payee = rng.sample(ids, 2)
            place_holds(session, [HoldRequest(f"t{number}", (HoldPart(payer, 9),), payer)])
            if number % 3 == 0:
                release_holds(session, [f"t{number}"])
            elif number % 3 == 1:
                capture_and_post(
                    session, [EntryDraft("payment", f"t{number}", ((payer, -9), (payee, 9)), (f"t{number}",))]
                )
        assert verify(session) == []


CELLS = [
    ("account", "id", ["owner_id", "currency", "kind", "posted_units", "held_units", "last_nonce", "seal"]),
    ("journal_entry", "id", ["kind", "reference", "created_at"]),
    ("posting", "ctid", ["entry_id", "account_id", "units", "balance_units", "seal"]),
    (
        "hold",
        "ctid",
        ["reference", "account_id", "units", "nonce", "status", "placed_at", "closed_at", "entry_id", "seal"],
    ),
]
OTHER_WORDS = {"EUR": "USD", "customer": "treasury", "hub": "clearing", "captured": "released", "open": "released"}


def _flipped(value: Any, rng: random.Random) -> Any:
    """Another value of the same type; None stays absent."""
    if isinstance(value, datetime):
        return value + timedelta(microseconds=rng.choice([1, -1, 10**9]))
    if isinstance(value, bytes):
        place = rng.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]
    if isinstance(value, str):
        return OTHER_WORDS.get(value, value + "x")
    return int(value) + rng.choice([1, -1, 7, 10**9])


@pytest.mark.slow
def test_flipped_cells__are_all_found(database: Database, funded: Fund) -> None:
    """Attack 11: 1,000 random cells changed past every trigger; each is refused by a check or found by `verify`."""
    seed, flips = 20_260_101, 1_000
    rng = random.Random(seed)
    _small_books(database, funded)
    missed, refused = [], 0
    for _ in range(flips):
        table, key, columns = rng.choice(CELLS)
        column = rng.choice(columns)
        with Session(database.engine) as session:
            connection = session.connection()
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            rows = connection.exec_driver_sql(
                f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {key}"
            ).all()
            row, value = rng.choice(rows)
            try:
                connection.exec_driver_sql(
                    f"UPDATE {table} SET {column} = %(value)s WHERE {key} = %(row)s",
                    {"value": _flipped(value, rng), "row": row},
                )
            except IntegrityError:
                refused += 1
            else:
                if not verify(session):
                    missed.append((table, column, row, value))
            session.rollback()
    print(f"seed {seed}: {flips} cells flipped, {refused} refused, {flips - refused} found")
    assert missed == []
    assert refused < flips / 2
