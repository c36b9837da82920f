"""Revisions of the corridors in the database: the newest is in force, and none is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel

from chainwallet.controls.corridors.decisions import CorridorMap
from chainwallet.controls.corridors.document import CorridorsData, shipped
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records import audit

SHIPPED = 0  # the revision of an installation that has stored none


class CorridorsChanged(ChainwalletError):
    code = "CORRIDORS_CHANGED"
    status = 409


class CorridorRevisionUnknown(ChainwalletError):
    code = "CORRIDOR_REVISION_UNKNOWN"
    status = 404


class CorridorRevision(SQLModel, table=True):
    """All corridors as they were stored once. Rows are only ever added; the highest number is in force."""

    __tablename__ = "corridor_revision"

    revision: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    document: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    note: str
    created_by: str
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


@dataclass(frozen=True, slots=True)
class Stored:
    """A revision and what it holds; who stored it when, and why, unless it is the one that ships."""

    revision: int
    data: CorridorsData
    note: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None


def newest_revision(session: Session) -> int:
    """The number in force; SHIPPED where none was stored."""
    found = session.connection().exec_driver_sql("SELECT coalesce(max(revision), 0) FROM corridor_revision")
    return int(found.scalar_one())


def read_corridors(session: Session, revision: int | None = None) -> Stored:
    """A revision, the newest without a number. CORRIDOR_REVISION_UNKNOWN."""
    wanted = newest_revision(session) if revision is None else revision
    if wanted == SHIPPED:
        return Stored(SHIPPED, shipped())
    row = session.get(CorridorRevision, wanted)
    if row is None:
        raise CorridorRevisionUnknown(f"There is no revision {wanted} of the corridors; leave it out for the newest.")
    return Stored(row.revision, CorridorsData.model_validate(row.document), row.note, row.created_by, row.created_at)


def store_corridors(session: Session, data: CorridorsData, *, based_on: int, note: str, actor: str) -> Stored:
    """Store the next revision, with an audit entry. CORRIDORS_CHANGED unless `based_on` is the newest.

    What is stored already is not stored again: the revision that holds it is the answer.
    """
    known = read_corridors(session)
    if known.data == data:
        return known
    row: Mapping[str, Any] = {
        "revision": based_on + 1,
        "document": data.model_dump(mode="json"),
        "note": note,
        "created_by": actor,
        "created_at": utc_now(),
    }
    if known.revision != based_on or not insert_many(
        session, CorridorRevision, [row], suffix="ON CONFLICT (revision) DO NOTHING RETURNING revision"
    ):
        raise CorridorsChanged(
            "Somebody stored other corridors meanwhile; read them, and say which revision yours are based on.",
            newest=newest_revision(session),
        )
    audit.record(
        session,
        actor=actor,
        action="corridors.stored",
        subject=f"corridors@{based_on + 1}",
        detail={"based_on": based_on, "corridors": len(data.corridors), "note": note},
    )
    return Stored(based_on + 1, data, note, actor, row["created_at"])


class Corridors:
    """The corridors in force, as this process knows them: `refresh` looks for a newer revision."""

    def __init__(self) -> None:
        self.map = CorridorMap(shipped(), revision=SHIPPED)

    def refresh(self, session: Session) -> None:
        """Take the newest revision; costs one small query where there is none."""
        if newest_revision(session) != self.map.revision:
            found = read_corridors(session)
            self.map = CorridorMap(found.data, revision=found.revision)
