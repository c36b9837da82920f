"""Many threads on one PostgreSQL: nothing is spent twice, nothing is booked twice, nobody deadlocks.

Each defence is also run switched off, and must then fail.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from chainwallet.kit.database import Database
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    Held,
    HoldNotOpen,
    HoldPart,
    HoldRequest,
    balances_of,
    capture_and_post,
    ensure_accounts,
    lock_accounts,
    place_holds,
    release_holds,
    verify,
)

RACERS = 8
Fund = Callable[..., dict[str, int]]


def _race(work: Callable[[int], Any], *, racers: int = RACERS) -> list[Any]:
    """Run `work(racer)` on threads that start together; the results in racer order."""
    gate = threading.Barrier(racers)

    def run(racer: int) -> Any:
        gate.wait(timeout=30)
        return work(racer)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


def _sound(database: Database) -> bool:
    with database.transaction() as session:
        return verify(session) == []


@pytest.mark.slow
def test_double_spend__of_racing_holds__never_succeeds(database: Database, funded: Fund) -> None:
    """Attack 2: eight racers each hold 60 of 100, 200 times over: one wins each round."""
    rounds = 200
    accounts = list(funded([f"C{number}" for number in range(rounds)], 100).values())

    def spend(racer: int) -> list[bool]:
        won = []
        for number, account in enumerate(accounts):
            with database.transaction() as session:
                request = HoldRequest(f"t{number}.{racer}", (HoldPart(account, 60),), account)
                won.append(isinstance(place_holds(session, [request])[0], Held))
        return won

    winners = [sum(won) for won in zip(*_race(spend), strict=True)]
    assert winners == [1] * rounds
    with database.transaction() as session:
        held = [balance.held_units for balance in balances_of(session, accounts).values()]
    assert held == [60] * rounds
    assert _sound(database)


def test_double_spend__when_read_and_write_are_apart__overspends(database: Database, funded: Fund) -> None:
    """The control: without the lock and without the check, racers do spend the same money."""
    rounds = 30
    accounts = list(funded([f"C{number}" for number in range(rounds)], 100).values())
    with database.transaction() as session:
        session.connection().exec_driver_sql(
            """CREATE TABLE naive AS SELECT id, posted_units, held_units FROM account WHERE kind = 'customer'"""
        )
    together = threading.Barrier(RACERS)

    def spend(_racer: int) -> None:
        for account in accounts:
            together.wait(timeout=30)
            with database.transaction() as session:
                connection = session.connection()
                available = connection.exec_driver_sql(
                    "SELECT posted_units - held_units FROM naive WHERE id = %(id)s", {"id": account}
                ).scalar_one()
                if available >= 60:
                    connection.exec_driver_sql(
                        "UPDATE naive SET held_units = held_units + 60 WHERE id = %(id)s", {"id": account}
                    )

    _race(spend)
    with database.transaction() as session:
        overspent = (
            session.connection()
            .exec_driver_sql("SELECT count(*) FROM naive WHERE held_units > posted_units")
            .scalar_one()
        )
        session.connection().exec_driver_sql("DROP TABLE naive")
    assert overspent > 0


def test_double_spend__with_a_wrong_decision__is_stopped_by_the_check(
    database: Database, funded: Fund, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python that believes there is always enough: the database still refuses."""
    from chainwallet.ledger.accounts import LockedAccount

    account = funded(["A"], 100)["A"]
    monkeypatch.setattr(LockedAccount, "available_units", property(lambda _self: 10**30))
    with pytest.raises(IntegrityError, match="ck_account_available_not_negative"), database.transaction() as session:
        place_holds(session, [HoldRequest("t1", (HoldPart(account, 101),))])
    with database.transaction() as session:
        other = ensure_accounts(session, [AccountKey("B", "EUR", AccountKind.CUSTOMER)]).popitem()[1]
    with pytest.raises(IntegrityError, match="ck_account_available_not_negative"), database.transaction() as session:
        capture_and_post(session, [EntryDraft("payment", "p1", ((account, -101), (other, 101)))])
    assert _sound(database)


def test_one_entry__booked_by_many_at_once__is_booked_once(database: Database, funded: Fund) -> None:
    accounts = funded(["A", "B"], 1_000)

    def book(_racer: int) -> int:
        booked = 0
        for number in range(20):
            draft = EntryDraft("payment", f"p{number}", ((accounts["A"], -7), (accounts["B"], 7)))
            with database.transaction() as session:
                booked += capture_and_post(session, [draft]) != [None]
        return booked

    assert sum(_race(book)) == 20
    with database.transaction() as session:
        assert balances_of(session, [accounts["B"]])[accounts["B"]].posted_units == 1_000 + 20 * 7
    assert _sound(database)


def test_one_hold__placed_by_many_at_once__is_one_hold_with_one_nonce(database: Database, funded: Fund) -> None:
    account = funded(["A"], 1_000)["A"]

    def place(_racer: int) -> list[int | None]:
        nonces = []
        for number in range(20):
            with database.transaction() as session:
                outcome = place_holds(session, [HoldRequest(f"t{number}", (HoldPart(account, 7),), account)])[0]
            assert isinstance(outcome, Held)
            nonces.append(outcome.nonce)
        return nonces

    answers = _race(place)
    assert all(answer == answers[0] for answer in answers)
    assert sorted(answers[0]) == list(range(1, 21))
    assert _sound(database)


def test_capture_and_release__racing_for_a_hold__exactly_one_gets_it(database: Database, funded: Fund) -> None:
    accounts = funded(["A", "B"], 1_000)
    rounds = 40
    with database.transaction() as session:
        place_holds(session, [HoldRequest(f"t{n}", (HoldPart(accounts["A"], 5),)) for n in range(rounds)])

    def close(racer: int) -> int:
        done = 0
        for number in range(rounds):
            draft = EntryDraft("payment", f"p{number}", ((accounts["A"], -5), (accounts["B"], 5)), (f"t{number}",))
            try:
                with database.transaction() as session:
                    if racer % 2:
                        done += release_holds(session, [f"t{number}"])
                    else:
                        done += capture_and_post(session, [draft]) != [None]
            except HoldNotOpen:
                continue  # the other one had it first
        return done

    assert sum(_race(close)) == rounds
    assert _sound(database)


def test_accounts__opened_by_many_at_once__are_opened_once(database: Database) -> None:
    keys = [AccountKey(f"C{number}", "EUR", AccountKind.CUSTOMER) for number in range(50)]

    def open_all(racer: int) -> dict[AccountKey, int]:
        mine = random.Random(racer).sample(keys, len(keys))
        with database.transaction() as session:
            return ensure_accounts(session, mine)

    answers = _race(open_all)
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0].values())) == len(keys)


def test_crossing_payments__from_many_threads__never_deadlock(database: Database, funded: Fund) -> None:
    """Each racer takes the same few accounts in its own random order, through every verb."""
    accounts = list(funded([f"C{number}" for number in range(6)], 10**6).values())

    def cross(racer: int) -> int:
        rng = random.Random(racer)
        for number in range(25):
            name = f"{racer}.{number}"
            legs = [(HoldPart(account, rng.randint(1, 9)),) for account in rng.sample(accounts, 4)]
            with database.transaction() as session:
                place_holds(session, [HoldRequest(f"{name}.{i}", leg, leg[0].account_id) for i, leg in enumerate(legs)])
            payer, payee = rng.sample(accounts, 2)
            drafts = [
                EntryDraft("payment", f"{name}.a", ((payer, -3), (payee, 3)), (f"{name}.2", f"{name}.0")),
                EntryDraft("payment", f"{name}.b", ((payee, -2), (payer, 2))),
            ]
            with database.transaction() as session:
                capture_and_post(session, drafts)
            with database.transaction() as session:
                release_holds(session, [f"{name}.3", f"{name}.1"])
        return 25

    assert sum(_race(cross)) == RACERS * 25
    assert _sound(database)


def test_several_verbs_in_one_transaction__never_deadlock__once_their_accounts_are_locked(
    database: Database, funded: Fund
) -> None:
    accounts = list(funded([f"C{number}" for number in range(4)], 10**6).values())

    def swap(racer: int) -> int:
        rng = random.Random(racer)
        last: list[str] = []
        for number in range(25):
            first, second = rng.sample(accounts, 2)
            name = f"{racer}.{number}"
            with database.transaction() as session:
                lock_accounts(session, [first, second], references=last)
                release_holds(session, last)
                place_holds(session, [HoldRequest(name, (HoldPart(first, 3),))])
                capture_and_post(session, [EntryDraft("payment", name, ((second, -1), (first, 1)))])
            last = [name]
        return 25

    assert sum(_race(swap)) == RACERS * 25
    assert _sound(database)


def test_crossing_locks__taken_in_any_order__do_deadlock(database: Database, funded: Fund) -> None:
    """The control: the same rows locked in opposite orders."""
    pair = list(funded(["A", "B"], 100).values())
    both_have_one = threading.Barrier(2)

    def lock(racer: int) -> bool:
        order = pair if racer else pair[::-1]
        try:
            with database.transaction() as session:
                connection = session.connection()
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '20ms'")
                for place, account in enumerate(order):
                    connection.exec_driver_sql("SELECT FROM account WHERE id = %(id)s FOR UPDATE", {"id": account})
                    if place == 0:
                        both_have_one.wait(timeout=30)
        except OperationalError as error:
            return isinstance(error.orig, psycopg.errors.DeadlockDetected)
        return False

    assert sum(_race(lock, racers=2)) == 1


def test_verify__while_others_book__sees_one_moment(database: Database, funded: Fund) -> None:
    accounts = list(funded([f"C{number}" for number in range(4)], 10**6).values())
    done = threading.Event()

    def work(racer: int) -> int:
        if racer == 0:
            found = 0
            while not done.is_set():
                with database.transaction() as session:
                    found += len(verify(session))
            return found
        rng = random.Random(racer)
        for number in range(60):
            payer, payee = rng.sample(accounts, 2)
            with database.transaction() as session:
                capture_and_post(session, [EntryDraft("payment", f"{racer}.{number}", ((payer, -1), (payee, 1)))])
        if racer == 1:
            done.set()
        return 0

    assert sum(_race(work, racers=4)) == 0
