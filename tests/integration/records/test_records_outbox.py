"""Events: written with their cause, placed in one order, read by those concerned."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chainwallet.kit.database import Database
from chainwallet.records.outbox import NOTHING, Event, append, last_position, place, read_after


def event(subject: str, *audience: str) -> Event:
    return Event("transfer.settled", subject, audience, {"id": subject})


def put(database: Database, *events: Event) -> None:
    with database.transaction() as session:
        append(session, events)


def publish(database: Database, *, limit: int = 1_000) -> int:
    with database.transaction() as session:
        return place(session, limit=limit).count


def read(database: Database, after: int = 0, *, audience: str | None = None) -> list[str]:
    with database.transaction() as session:
        return [found.subject_id for found in read_after(session, after, audience=audience)]


def test_an_event_is_read_once_it_is_committed_and_placed(database: Database) -> None:
    put(database, event("trf_1", "cus_1"), event("trf_2", "cus_2"))
    assert read(database) == []
    assert publish(database) == 2
    assert read(database) == ["trf_1", "trf_2"]
    assert publish(database) == 0


def test_a_rolled_back_cause_leaves_no_event(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            append(session, [event("trf_1", "cus_1")])
            raise RuntimeError("the cause failed")

    with pytest.raises(RuntimeError):
        fail()
    assert publish(database) == 0


def test_readers_see_what_concerns_them(database: Database) -> None:
    put(database, event("trf_1", "cus_1", "cus_bank"), event("trf_2", "cus_2"), event("trf_3", "cus_bank", "cus_2"))
    publish(database)
    assert read(database, audience="cus_bank") == ["trf_1", "trf_3"]
    assert read(database, audience="cus_2") == ["trf_2", "trf_3"]
    assert read(database, audience="cus_9") == []
    assert read(database, 1, audience="cus_bank") == ["trf_3"]


def test_an_event_that_commits_late_is_not_missed_by_a_reader_that_is_ahead(database: Database) -> None:
    """Why positions exist: trf_1 has the lower sequence number and commits after trf_2 was read."""
    written, commit = threading.Event(), threading.Event()

    def slow() -> None:
        with database.transaction() as session:
            append(session, [event("trf_1", "cus_1")])
            written.set()
            commit.wait(10)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow)
        assert written.wait(10)
        put(database, event("trf_2", "cus_1"))
        publish(database)
        assert read(database) == ["trf_2"]
        with database.transaction() as session:
            cursor = last_position(session)
        commit.set()
        running.result()
    publish(database)
    assert read(database, cursor) == ["trf_1"]


def test_positions_have_no_gaps_under_many_writers_and_publishers(database: Database) -> None:
    seed = 7
    chance = random.Random(seed)
    sizes = [chance.randint(1, 5) for _ in range(60)]

    def write(number: int) -> None:
        put(database, *(event(f"trf_{number}_{part}", "cus_1") for part in range(sizes[number])))
        publish(database, limit=7)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(write, range(len(sizes))))
    while publish(database):
        pass
    with database.transaction() as session:
        positions = [found.position for found in read_after(session, 0, audience=None, limit=10_000)]
    assert positions == list(range(1, sum(sizes) + 1)), f"seed {seed}"


def test_a_second_publisher_stands_back(database: Database) -> None:
    put(database, event("trf_1", "cus_1"))
    with database.transaction() as first:
        assert place(first).count == 1
        with database.transaction() as second:
            assert place(second) == NOTHING


def test_payloads_and_ids_come_back_as_they_went_in(database: Database) -> None:
    payload = {"name": "Zoë 'quoted' \"twice\" \\ 付", "units": 10**30, "none": None, "list": [1, "2"]}
    with database.transaction() as session:
        ids = append(session, [Event("customer.created", "cus_1", ["cus_1"], payload)])
        place(session)
        found = read_after(session, 0, audience=None)[0]
    assert (found.id, dict(found.payload), found.type) == (ids[0], payload, "customer.created")
