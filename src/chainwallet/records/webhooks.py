"""Webhooks: who wants which events, and the engine that delivers each at least once.

Every delivery keeps the event's id through all its attempts, so a receiver can drop repeats. A claim
is a lease on `next_attempt_at`: a process that dies while sending leaves a delivery that falls due
again, never one that is stuck.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import CheckConstraint, Column, DateTime, Index, LargeBinary, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.json_text import compact_json
from chainwallet.records import outbox

FIRST_RETRY_S = 5
RETRY_FACTOR = 4
RETRY_MAX_S = 86_400
ATTEMPTS_MAX = 10  # 5 s, 20 s, ... 23 h, 24 h: about two and a half days
LEASE_S = 120

Seal = Callable[[bytes, str], bytes]
"""(plaintext, associated data) -> ciphertext; `unseal` is the reverse. Bootstrap wires them to the key room."""


class WebhookUnknown(ChainwalletError):
    code = "WEBHOOK_UNKNOWN"
    status = 404


class WebhookStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"  # the receiver answered 410 Gone
    DELETED = "deleted"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Outcome(StrEnum):
    """What we know after sending: accepted (2xx), refused (another answer), or nothing at all."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Webhook(SQLModel, table=True):
    """A subscription. No `events` means all; no `customer_id` means the operator's, which sees every event."""

    __tablename__ = "webhook"
    __table_args__ = (CheckConstraint("status IN ('active', 'disabled', 'deleted')", name="status"),)

    id: str = Field(primary_key=True)
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret_sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    events: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    customer_id: str | None = Field(default=None, index=True)
    status: str = Field(default=WebhookStatus.ACTIVE, sa_column=Column(String, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class WebhookDelivery(SQLModel, table=True):
    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
        Index("ix_webhook_delivery_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    )

    event_id: str = Field(primary_key=True, foreign_key="outbox_event.id")
    webhook_id: str = Field(primary_key=True, foreign_key="webhook.id", index=True)
    state: str = Field(default=DeliveryState.PENDING, sa_column=Column(String, nullable=False))
    attempts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    next_attempt_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    last_status: int | None = Field(default=None, sa_column=Column(SmallInteger, nullable=True))
    last_error: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


@dataclass(frozen=True, slots=True)
class Letter:
    """One event for one receiver. `event_id` stays the same through all attempts."""

    event_id: str
    webhook_id: str
    url: str
    secret: bytes
    body: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Sent:
    outcome: Outcome
    status: int | None
    reason: str


class Sender(Protocol):
    """Sends letters at the same time; one `Sent` per letter, in order; never raises for a single letter."""

    def send(self, letters: Sequence[Letter]) -> list[Sent]: ...


OnSent = Callable[[Sequence[Letter], Sequence[Sent], datetime, float], None]
"""(letters, what became of each, when sending began, seconds until the last was answered)."""


@dataclass(frozen=True, slots=True)
class Progress:
    delivered: int = 0
    retried: int = 0
    dead: int = 0

    @property
    def total(self) -> int:
        return self.delivered + self.retried + self.dead


def subscribe(
    session: Session, *, url: str, secret: bytes, events: Sequence[str], customer_id: str | None, seal: Seal
) -> Webhook:
    """Store a subscription; the caller has checked the URL. The secret is sealed with the webhook's id."""
    webhook_id = new_id("whk")
    webhook = Webhook(
        id=webhook_id,
        url=url,
        secret_sealed=seal(secret, webhook_id),
        events=sorted(set(events)),
        customer_id=customer_id,
        created_at=database_time(session),
    )
    session.add(webhook)
    session.flush()
    return webhook


def database_time(session: Session) -> datetime:
    """When the transaction began, by the database's clock: what letters and events are dated by in every process."""
    found: datetime = session.connection().exec_driver_sql("SELECT now()").scalar_one()
    return found


def unsubscribe(session: Session, webhook_id: str, *, customer_id: str | None) -> Webhook:
    """Stop a subscription and what it still waits for; WebhookUnknown also when it is someone else's."""
    webhook = session.get(Webhook, webhook_id, with_for_update=True)
    hidden = webhook is not None and customer_id is not None and webhook.customer_id != customer_id
    if webhook is None or hidden or webhook.status == WebhookStatus.DELETED:
        raise WebhookUnknown("There is no such webhook; list them with GET /v1/webhooks.")
    webhook.status = WebhookStatus.DELETED
    _give_up(session, [webhook_id])
    session.flush()
    return webhook


def list_webhooks(session: Session, *, customer_id: str | None, after: str | None, limit: int) -> list[Webhook]:
    """Subscriptions that `customer_id` made (None: everyone's), by id, after the id `after`."""
    query = select(Webhook).where(Webhook.status != WebhookStatus.DELETED).order_by(col(Webhook.id)).limit(limit)
    if customer_id is not None:
        query = query.where(Webhook.customer_id == customer_id)
    if after is not None:
        query = query.where(Webhook.id > after)
    return list(session.exec(query))


def publish(session: Session, *, limit: int = 1_000) -> outbox.Published:
    """Give committed events their positions and address them to their subscribers, in one transaction."""
    published = outbox.place(session, limit=limit)
    if published.count:
        session.connection().exec_driver_sql(
            "INSERT INTO webhook_delivery (event_id, webhook_id, state, attempts, next_attempt_at)"
            " SELECT e.id, w.id, 'pending', 0, now() FROM outbox_event e JOIN webhook w"
            " ON w.status = 'active' AND w.created_at <= e.created_at"
            " AND (cardinality(w.events) = 0 OR e.type = ANY (w.events))"
            " AND (w.customer_id IS NULL OR w.customer_id = ANY (e.audience))"
            " WHERE e.position BETWEEN %(first)s AND %(last)s ON CONFLICT DO NOTHING",
            {"first": published.first, "last": published.last},
        )
    return published


def deliver_due(
    database: Database,
    *,
    sender: Sender,
    unseal: Seal,
    now: datetime,
    limit: int = 100,
    jitter: random.Random | None = None,
    on_sent: OnSent = lambda _letters, _sent, _started_at, _took_s: None,
) -> Progress:
    """Send up to `limit` deliveries that are due and record what became of each.

    Nothing is sent inside a transaction. An attempt without a 2xx answer is tried again after a
    growing, jittered pause under the same event id, ATTEMPTS_MAX times in all; 410 ends the subscription.
    """
    with database.transaction() as session:
        letters = _claim_due(session, unseal=unseal, now=now, limit=limit)
    if not letters:
        return Progress()
    started_at, started_s = utc_now(), time.perf_counter()
    sent = sender.send(letters)
    on_sent(letters, sent, started_at, time.perf_counter() - started_s)
    with database.transaction() as session:
        return _record(session, letters, sent, now=now, jitter=jitter or random.Random())


def retry_delay_s(attempt: int, *, jitter: random.Random) -> float:
    """The pause after the `attempt`-th failure: exponential, capped at a day, between half and all of it."""
    longest: int = min(FIRST_RETRY_S * RETRY_FACTOR ** (attempt - 1), RETRY_MAX_S)
    return longest * jitter.uniform(0.5, 1.0)


def render(event_type: str, created_at: datetime, payload: Any) -> str:
    """The body of a webhook, as Standard Webhooks has it: type, timestamp, data."""
    moment = created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return compact_json({"type": event_type, "timestamp": moment, "data": payload})


def _claim_due(session: Session, *, unseal: Seal, now: datetime, limit: int) -> list[Letter]:
    rows = session.connection().exec_driver_sql(
        "WITH due AS (SELECT event_id, webhook_id FROM webhook_delivery"
        " WHERE state = 'pending' AND next_attempt_at <= %(now)s ORDER BY next_attempt_at LIMIT %(limit)s"
        " FOR UPDATE SKIP LOCKED),"
        " leased AS (UPDATE webhook_delivery d SET attempts = d.attempts + 1, next_attempt_at = %(lease)s FROM due"
        " WHERE d.event_id = due.event_id AND d.webhook_id = due.webhook_id"
        " RETURNING d.event_id, d.webhook_id, d.attempts)"
        " SELECT l.event_id, l.webhook_id, w.url, w.secret_sealed, l.attempts, e.type, e.created_at, e.payload"
        " FROM leased l JOIN webhook w ON w.id = l.webhook_id JOIN outbox_event e ON e.id = l.event_id"
        " ORDER BY e.position",
        {"now": now, "lease": now + timedelta(seconds=LEASE_S), "limit": limit},
    )
    return [
        Letter(
            event_id=row[0],
            webhook_id=row[1],
            url=row[2],
            secret=unseal(bytes(row[3]), row[1]),
            body=render(row[5], row[6], row[7]),
            attempt=row[4],
        )
        for row in rows
    ]


def _record(
    session: Session, letters: Sequence[Letter], sent: Sequence[Sent], *, now: datetime, jitter: random.Random
) -> Progress:
    states = [_next_state(letter, one) for letter, one in zip(letters, sent, strict=True)]
    session.connection().exec_driver_sql(
        "UPDATE webhook_delivery d SET state = u.state, next_attempt_at = u.at, last_status = u.status,"
        " last_error = u.error FROM unnest(%(events)b::text[], %(webhooks)b::text[], %(states)b::text[],"
        " %(ats)b::timestamptz[], %(statuses)b::smallint[], %(errors)b::text[])"
        " AS u(event_id, webhook_id, state, at, status, error)"
        " WHERE d.event_id = u.event_id AND d.webhook_id = u.webhook_id AND d.state = 'pending'",
        {
            "events": [letter.event_id for letter in letters],
            "webhooks": [letter.webhook_id for letter in letters],
            "states": [str(state) for state in states],
            "ats": [now + timedelta(seconds=retry_delay_s(letter.attempt, jitter=jitter)) for letter in letters],
            "statuses": [one.status for one in sent],
            "errors": [None if one.outcome is Outcome.CONFIRMED else one.reason[:500] for one in sent],
        },
    )
    gone = sorted({letter.webhook_id for letter, one in zip(letters, sent, strict=True) if one.status == 410})
    if gone:
        _disable(session, gone)
    return Progress(
        delivered=states.count(DeliveryState.DELIVERED),
        retried=states.count(DeliveryState.PENDING),
        dead=states.count(DeliveryState.DEAD),
    )


def _next_state(letter: Letter, sent: Sent) -> DeliveryState:
    if sent.outcome is Outcome.CONFIRMED:
        return DeliveryState.DELIVERED
    gone = sent.status == 410
    return DeliveryState.DEAD if gone or letter.attempt >= ATTEMPTS_MAX else DeliveryState.PENDING


def _disable(session: Session, webhook_ids: Sequence[str]) -> None:
    session.connection().exec_driver_sql(
        "UPDATE webhook SET status = 'disabled' WHERE id = ANY (%(ids)s) AND status = 'active'", {"ids": webhook_ids}
    )
    _give_up(session, webhook_ids)


def _give_up(session: Session, webhook_ids: Sequence[str]) -> None:
    session.connection().exec_driver_sql(
        "UPDATE webhook_delivery SET state = 'dead', last_error = coalesce(last_error, 'subscription ended')"
        " WHERE webhook_id = ANY (%(ids)s) AND state = 'pending'",
        {"ids": list(webhook_ids)},
    )
