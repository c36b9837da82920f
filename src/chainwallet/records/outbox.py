"""The outbox: events written in the transaction that causes them, read by everyone in one order.

A sequence number says when a row was written, not when it became visible: a reader that remembers
"up to 17" would miss 16 if that transaction commits later. So events get a second number, their
`position`, once they are committed, from one publisher at a time. Positions become visible in order
and without gaps, and they survive a restore of the database on another server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, Session, SQLModel

from chainwallet.kit.ids import new_id
from chainwallet.kit.json_text import compact_json

_PUBLISHER_LOCK = 0x6F7574626F78  # "outbox": one publisher at a time, across processes


class OutboxEvent(SQLModel, table=True):
    """Something that happened to `subject_id`. `audience`: the customers concerned and their banks."""

    __tablename__ = "outbox_event"
    __table_args__ = (
        Index("ix_outbox_event_unpublished", "seq", postgresql_where=text("position IS NULL")),
        Index("uq_outbox_event_position", "position", unique=True),
    )

    seq: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    id: str = Field(unique=True)
    type: str
    subject_id: str
    audience: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    position: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


@dataclass(frozen=True, slots=True)
class Event:
    """What is appended: `type` as noun.verb ("transfer.settled"); everyone in `audience` may read `payload`."""

    type: str
    subject_id: str
    audience: Sequence[str]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    position: int
    id: str
    type: str
    subject_id: str
    created_at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """Positions `first` to `last` were given out, both included; `count` is 0 when there was nothing to do."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


NOTHING = Published(first=1, last=0)


def append(session: Session, events: Sequence[Event]) -> list[str]:
    """Write events in the caller's transaction, in one statement; their ids, in order. They are dated by the database:
    the clocks of processes differ, and step."""
    if not events:
        return []
    ids = [new_id("evt") for _ in events]
    # Arrays travel in binary (%b): as text, each quotation mark of a payload is escaped, at 30 times the cost.
    session.connection().exec_driver_sql(
        "INSERT INTO outbox_event (id, type, subject_id, audience, payload, created_at)"
        " SELECT u.id, u.type, u.subject_id, string_to_array(u.audience, ' '), u.payload::jsonb, now()"
        " FROM unnest(%(ids)b::text[], %(types)b::text[], %(subjects)b::text[], %(audiences)b::text[],"
        " %(payloads)b::text[]) AS u(id, type, subject_id, audience, payload)",
        {
            "ids": ids,
            "types": [event.type for event in events],
            "subjects": [event.subject_id for event in events],
            "audiences": [" ".join(dict.fromkeys(event.audience)) for event in events],
            "payloads": [compact_json(event.payload) for event in events],
        },
    )
    return ids


def place(session: Session, *, limit: int = 1_000) -> Published:
    """Give the oldest committed events without a position theirs; NOTHING if another publisher is at it."""
    connection = session.connection()
    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_PUBLISHER_LOCK})").scalar():
        return NOTHING
    row = connection.exec_driver_sql(
        "WITH top AS (SELECT coalesce(max(position), 0) AS position FROM outbox_event),"
        " due AS (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM"
        " (SELECT seq FROM outbox_event WHERE position IS NULL ORDER BY seq LIMIT %(limit)s) AS oldest),"
        " placed AS (UPDATE outbox_event e SET position = top.position + due.n FROM due, top"
        " WHERE e.seq = due.seq RETURNING e.position)"
        " SELECT min(position), max(position) FROM placed",
        {"limit": limit},
    ).one()
    return NOTHING if row[0] is None else Published(first=row[0], last=row[1])


def read_after(session: Session, position: int, *, audience: str | None, limit: int = 200) -> list[PublishedEvent]:
    """Published events after `position`, oldest first; with `audience`, only those that it may read."""
    rows = session.connection().exec_driver_sql(
        "SELECT position, id, type, subject_id, created_at, payload FROM outbox_event"
        " WHERE position > %(position)s AND (%(audience)s::text IS NULL OR audience @> ARRAY[%(audience)s::text])"
        " ORDER BY position LIMIT %(limit)s",
        {"position": position, "audience": audience, "limit": limit},
    )
    return [PublishedEvent(*row) for row in rows]


def last_position(session: Session) -> int:
    """The newest published position; 0 before the first."""
    found = session.connection().exec_driver_sql("SELECT coalesce(max(position), 0) FROM outbox_event")
    return int(found.scalar_one())
