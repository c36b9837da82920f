"""One key, one effect: alone, in groups, in races, and when the effect is refused."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.records.idempotency import (
    Claim,
    Conflict,
    Follows,
    Fresh,
    IdempotencyKeyReused,
    Replay,
    claim,
    complete,
    purge,
    release,
)


def make(
    key: str, body: str = "a", *, tenant: str = "cus_1", resource: str = "trf_1", answer: str | None = None
) -> Claim:
    sha = hashlib.sha256(body.encode()).digest()
    return Claim(tenant, "POST /v1/transfers", key, sha, resource, None if answer is None else 201, answer)


def effects(database: Database) -> int:
    with database.transaction() as session:
        return session.connection().exec_driver_sql("SELECT count(*) FROM idempotency_key").scalar_one()


def test_a_first_claim_is_fresh_and_a_second_replays_the_exact_answer(database: Database) -> None:
    first = make("k1")
    with database.transaction() as session:
        assert claim(session, [first]) == [Fresh()]
        complete(session, [(first, 201, '{"id":"trf_1", "spaces":  "kept"}')])
    with database.transaction() as session:
        assert claim(session, [make("k1", resource="trf_2")]) == [
            Replay(201, '{"id":"trf_1", "spaces":  "kept"}', "trf_1")
        ]


def test_an_answer_known_in_advance_needs_no_second_write(database: Database) -> None:
    with database.transaction() as session:
        assert claim(session, [make("k1", answer="{}")]) == [Fresh()]
    with database.transaction() as session:
        assert claim(session, [make("k1")]) == [Replay(201, "{}", "trf_1")]


def test_the_same_key_with_another_body_is_a_conflict(database: Database) -> None:
    with database.transaction() as session:
        claim(session, [make("k1", "a")])
    with database.transaction() as session:
        verdict = claim(session, [make("k1", "b")])[0]
    assert isinstance(verdict, Conflict)
    error = verdict.error()
    assert isinstance(error, IdempotencyKeyReused)
    assert error.detail == (
        "This Idempotency-Key was already used on this path with a different body. "
        "Send a new key for a new request, or the same body to get the first answer again."
    )


def test_another_tenant_and_another_route_have_keys_of_their_own(database: Database) -> None:
    with database.transaction() as session:
        claim(session, [make("k1")])
    other = Claim("cus_1", "POST /v1/deposits", "k1", make("k1").body_sha256, "dep_1")
    with database.transaction() as session:
        assert claim(session, [make("k1", tenant="cus_2"), other]) == [Fresh(), Fresh()]


def test_the_same_key_twice_in_one_group_follows_the_first_or_conflicts_with_it(database: Database) -> None:
    group = [make("k1"), make("k2"), make("k1", resource="trf_9"), make("k1", "other"), make("k2")]
    with database.transaction() as session:
        assert claim(session, group) == [Fresh(), Fresh(), Follows(0), Conflict(), Follows(1)]
    with database.transaction() as session:
        verdicts = claim(session, group)
    assert [type(verdict) for verdict in verdicts] == [Replay, Replay, Replay, Conflict, Replay]


def test_a_released_claim_frees_its_key(database: Database) -> None:
    with database.transaction() as session:
        claim(session, [make("k1"), make("k2")])
        release(session, [make("k1")])
    with database.transaction() as session:
        assert [type(verdict) for verdict in claim(session, [make("k1"), make("k2")])] == [Fresh, Replay]


def test_a_rolled_back_effect_leaves_no_claim(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            claim(session, [make("k1")])
            raise RuntimeError("the effect failed")

    with pytest.raises(RuntimeError):
        fail()
    assert effects(database) == 0


def test_purge_forgets_old_keys_only(database: Database) -> None:
    with database.transaction() as session:
        claim(session, [make("old")])
        session.connection().exec_driver_sql("UPDATE idempotency_key SET created_at = now() - interval '40 days'")
        claim(session, [make("new")])
        assert purge(session, before=utc_now() - timedelta(days=30)) == 1
        assert [type(verdict) for verdict in claim(session, [make("old"), make("new")])] == [Fresh, Replay]


def test_fifty_parallel_requests_with_one_key_have_one_effect(database: Database) -> None:
    """Attack 18: the losers wait for the winner's commit and then see its answer."""
    rounds, clients = 20, 50
    for number in range(rounds):
        start = threading.Barrier(clients)

        def ask(client: int, key: str = f"k{number}", start: threading.Barrier = start) -> str:
            mine = make(key, resource=f"trf_{client}")
            start.wait()
            with database.transaction() as session:
                verdict = claim(session, [mine])[0]
                if isinstance(verdict, Fresh):
                    complete(session, [(mine, 201, f"answer of {client}")])
                    return f"answer of {client}"
            assert isinstance(verdict, Replay)
            assert verdict.body is not None
            return verdict.body

        with ThreadPoolExecutor(clients) as pool:
            answers = Counter(pool.map(ask, range(clients)))
        assert len(answers) == 1, f"round {number}: {answers}"
    assert effects(database) == rounds


def test_a_winner_that_rolls_back_lets_exactly_one_loser_win(database: Database) -> None:
    entered, fail = threading.Event(), threading.Event()

    def doomed() -> None:
        with database.transaction() as session:
            claim(session, [make("k1")])
            entered.set()
            fail.wait(10)
            raise RuntimeError("crash before commit")

    def waiting(_: int) -> type:
        with database.transaction() as session:
            return type(claim(session, [make("k1")])[0])

    with ThreadPoolExecutor(9) as pool:
        crash = pool.submit(doomed)
        assert entered.wait(10)
        losers = [pool.submit(waiting, number) for number in range(8)]
        fail.set()
        with pytest.raises(RuntimeError):
            crash.result()
        assert Counter(loser.result() for loser in losers) == {Fresh: 1, Replay: 7}


def test_groups_with_common_keys_in_any_order_do_not_deadlock(database: Database) -> None:
    seed = 20261122
    chance = random.Random(seed)
    keys = [f"k{number}" for number in range(24)]
    groups = [chance.sample(keys, 12) for _ in range(120)]

    def ask(group: list[str]) -> int:
        with database.transaction() as session:
            return sum(isinstance(verdict, Fresh) for verdict in claim(session, [make(key) for key in group]))

    with ThreadPoolExecutor(12) as pool:
        fresh = sum(pool.map(ask, groups))
    assert fresh == effects(database), f"seed {seed}"


def test_without_the_claim_the_race_has_many_effects(database: Database) -> None:
    """The negative control: looking before writing, without the unique insert, lets several through."""
    start = threading.Barrier(20)

    def ask(_: int) -> int:
        with database.transaction() as session:
            seen = session.connection().exec_driver_sql("SELECT count(*) FROM outbox_event").scalar_one()
            start.wait()
            return int(seen == 0)

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) > 1
