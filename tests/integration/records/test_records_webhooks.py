"""Deliveries: to whom, how often, until when; with a sender that does as it is told."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from chainwallet.kit.database import Database
from chainwallet.records.outbox import Event, append
from chainwallet.records.webhooks import (
    ATTEMPTS_MAX,
    LEASE_S,
    DeliveryState,
    Letter,
    Outcome,
    Progress,
    Sent,
    Webhook,
    WebhookStatus,
    WebhookUnknown,
    deliver_due,
    list_webhooks,
    publish,
    retry_delay_s,
    subscribe,
    unsubscribe,
)

LATER = datetime(2099, 1, 1, tzinfo=UTC)
OK = Sent(Outcome.CONFIRMED, 204, "")
DOWN = Sent(Outcome.UNKNOWN, None, "ConnectError")
REFUSED = Sent(Outcome.REJECTED, 500, "HTTP 500")
GONE = Sent(Outcome.REJECTED, 410, "HTTP 410")


def seal(secret: bytes, associated: str) -> bytes:
    return associated.encode() + b"|" + secret


def unseal(sealed: bytes, associated: str) -> bytes:
    owner, _, secret = sealed.partition(b"|")
    assert owner == associated.encode()
    return secret


class Scripted:
    """A sender that answers from a script and keeps the letters."""

    def __init__(self, answer: Callable[[Letter], Sent]) -> None:
        self.answer = answer
        self.letters: list[Letter] = []

    def send(self, letters: Sequence[Letter]) -> list[Sent]:
        self.letters += letters
        return [self.answer(letter) for letter in letters]


def hook(database: Database, *, events: Sequence[str] = (), customer_id: str | None = None) -> Webhook:
    with database.transaction() as session:
        return subscribe(
            session, url="https://a.example", secret=b"s" * 32, events=events, customer_id=customer_id, seal=seal
        )


def happen(database: Database, event_type: str = "transfer.settled", *audience: str) -> None:
    with database.transaction() as session:
        append(session, [Event(event_type, "trf_1", audience, {"id": "trf_1"})])
    with database.transaction() as session:
        publish(session)


def deliver(database: Database, sender: Scripted, now: datetime = LATER, limit: int = 100) -> Progress:
    return deliver_due(database, sender=sender, unseal=unseal, now=now, limit=limit, jitter=random.Random(1))


def state(database: Database) -> list[tuple[str, int, int | None]]:
    with database.transaction() as session:
        rows = session.connection().exec_driver_sql("SELECT state, attempts, last_status FROM webhook_delivery")
        return [tuple(row) for row in rows]


def test_an_event_goes_to_each_subscriber_that_wants_and_may_have_it(database: Database) -> None:
    everything = hook(database)
    settled = hook(database, events=["transfer.settled"])
    bank = hook(database, customer_id="cus_bank")
    hook(database, events=["transfer.failed"])
    hook(database, customer_id="cus_other")
    happen(database, "transfer.settled", "cus_1", "cus_bank")
    sender = Scripted(lambda _: OK)
    assert deliver(database, sender) == Progress(delivered=3)
    assert {letter.webhook_id for letter in sender.letters} == {everything.id, settled.id, bank.id}
    assert {letter.secret for letter in sender.letters} == {b"s" * 32}
    body = json.loads(sender.letters[0].body)
    assert (body["type"], body["data"]) == ("transfer.settled", {"id": "trf_1"})
    assert deliver(database, sender) == Progress()


def test_a_webhook_hears_only_what_happens_after_it_was_made(database: Database) -> None:
    happen(database)
    hook(database)
    assert deliver(database, Scripted(lambda _: OK)) == Progress()


def test_a_failed_delivery_is_tried_again_later_with_the_same_id(database: Database) -> None:
    hook(database)
    happen(database)
    now = datetime.now(UTC) + timedelta(seconds=1)
    answers = iter([DOWN, REFUSED, OK])
    sender = Scripted(lambda _: next(answers))
    assert deliver(database, sender, now) == Progress(retried=1)
    assert deliver(database, sender, now) == Progress()  # not due yet
    now += timedelta(seconds=5)
    assert deliver(database, sender, now) == Progress(retried=1)
    now += timedelta(seconds=20)
    assert deliver(database, sender, now) == Progress(delivered=1)
    assert len({letter.event_id for letter in sender.letters}) == 1
    assert [letter.attempt for letter in sender.letters] == [1, 2, 3]
    assert state(database) == [("delivered", 3, 204)]


def test_a_delivery_dies_after_its_last_attempt(database: Database) -> None:
    hook(database)
    happen(database)
    sender = Scripted(lambda _: REFUSED)
    now = datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(ATTEMPTS_MAX - 1):
        assert deliver(database, sender, now) == Progress(retried=1)
        now += timedelta(days=1)
    assert deliver(database, sender, now) == Progress(dead=1)
    assert deliver(database, sender, now + timedelta(days=99)) == Progress()
    assert state(database) == [("dead", ATTEMPTS_MAX, 500)]


def test_gone_ends_the_subscription_and_what_waits(database: Database) -> None:
    webhook = hook(database)
    happen(database)
    happen(database)
    sender = Scripted(lambda _: GONE)
    assert deliver(database, sender, limit=1) == Progress(dead=1)
    assert deliver(database, sender) == Progress()
    happen(database)
    assert [row[0] for row in state(database)] == [DeliveryState.DEAD] * 2
    with database.transaction() as session:
        assert session.get_one(Webhook, webhook.id).status == WebhookStatus.DISABLED


def test_a_crash_while_sending_leaves_the_delivery_due_again(database: Database) -> None:
    hook(database)
    happen(database)
    now = datetime.now(UTC) + timedelta(seconds=1)

    class Crash(Exception):
        pass

    def crash(_: Letter) -> Sent:
        raise Crash

    with pytest.raises(Crash):
        deliver(database, Scripted(crash), now)
    sender = Scripted(lambda _: OK)
    assert deliver(database, sender, now) == Progress()  # the lease still holds
    assert deliver(database, sender, now + timedelta(seconds=LEASE_S)) == Progress(delivered=1)


def test_two_workers_never_send_the_same_attempt(database: Database) -> None:
    hook(database)
    for _ in range(40):
        happen(database)
    senders = [Scripted(lambda _: OK) for _ in range(6)]

    def work(sender: Scripted) -> int:
        total = 0
        while progress := deliver(database, sender, limit=3).total:
            total += progress
        return total

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, senders)) == 40
    ids = [letter.event_id for sender in senders for letter in sender.letters]
    assert len(ids) == len(set(ids)) == 40


def test_unsubscribing_is_for_the_owner_only_and_stops_what_waits(database: Database) -> None:
    webhook = hook(database, customer_id="cus_1")
    happen(database, "transfer.settled", "cus_1")
    with database.transaction() as session, pytest.raises(WebhookUnknown):
        unsubscribe(session, webhook.id, customer_id="cus_2")
    with database.transaction() as session:
        unsubscribe(session, webhook.id, customer_id="cus_1")
        assert list_webhooks(session, customer_id="cus_1", after=None, limit=10) == []
        with pytest.raises(WebhookUnknown):
            unsubscribe(session, webhook.id, customer_id=None)
    assert deliver(database, Scripted(lambda _: OK)) == Progress()


def test_pauses_grow_with_jitter_up_to_a_day() -> None:
    jitter = random.Random(3)
    pauses = [[retry_delay_s(attempt, jitter=jitter) for _ in range(200)] for attempt in range(1, ATTEMPTS_MAX)]
    for attempt, found in enumerate(pauses, 1):
        longest = min(5 * 4 ** (attempt - 1), 86_400)
        assert longest / 2 <= min(found) < max(found) <= longest
    assert max(pauses[-1]) <= 86_400
