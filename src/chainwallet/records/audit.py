"""The audit log: privileged actions in a hash chain, so that an edited or missing row shows.

Each entry's hash covers its own content and the hash before it. What the chain alone cannot show is
that the newest entries were cut off: keep the head that `verify` returns elsewhere and hand it to the
next `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.json_text import canonical_json

GENESIS = "0" * 64
_CHAIN_LOCK = 0x6175646974  # "audit": entries are written one after the other


class AuditBroken(ChainwalletError):
    code = "AUDIT_BROKEN"
    status = 500


class AuditEntry(SQLModel, table=True):
    """`actor` did `action` to `subject`. `seq` counts from 1 without gaps."""

    __tablename__ = "audit_entry"

    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    actor: str
    action: str = Field(index=True)
    subject: str = Field(index=True)
    detail: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64, unique=True)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest entry's number and hash; (0, 64 zeros) for an empty log."""

    seq: int
    hash: str


def record(
    session: Session, *, actor: str, action: str, subject: str, detail: Mapping[str, str | int | bool | None]
) -> AuditEntry:
    """Append one entry in the caller's transaction. Writers queue until that transaction ends: not for hot paths."""
    session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CHAIN_LOCK})")
    head = read_head(session)
    entry = AuditEntry(
        seq=head.seq + 1,
        at=utc_now(),
        actor=actor,
        action=action,
        subject=subject,
        detail=dict(detail),
        previous_hash=head.hash,
        hash="",
    )
    entry.hash = _hash(entry)
    session.add(entry)
    session.flush()
    return entry


def read_head(session: Session) -> AuditHead:
    row = session.exec(select(AuditEntry.seq, AuditEntry.hash).order_by(col(AuditEntry.seq).desc()).limit(1)).first()
    return AuditHead(*row) if row else AuditHead(0, GENESIS)


def verify(session: Session, *, known: AuditHead | None = None) -> AuditHead:
    """The head of an intact log; AuditBroken names the first entry that was changed, removed or inserted.

    `known` is a head seen earlier: the log must still contain it, which detects a cut-off tail.
    """
    head = AuditHead(0, GENESIS)
    known_found = known is None or known.seq == 0
    query = select(AuditEntry).order_by(col(AuditEntry.seq)).execution_options(yield_per=1_000)
    for entry in session.exec(query):
        if entry.seq != head.seq + 1:
            raise AuditBroken(
                f"Audit entry {head.seq + 1} is missing; restore the log from a backup.", seq=head.seq + 1
            )
        if entry.previous_hash != head.hash or entry.hash != _hash(entry):
            raise AuditBroken(
                f"Audit entry {entry.seq} was changed after it was written; compare the log with a backup.",
                seq=entry.seq,
            )
        head = AuditHead(entry.seq, entry.hash)
        known_found = known_found or head == known
    if not known_found and known is not None:
        raise AuditBroken(
            f"Audit entry {known.seq}, seen earlier, is gone or different; restore the log from a backup.",
            seq=known.seq,
        )
    return head


def _hash(entry: AuditEntry) -> str:
    content = [
        entry.seq,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        entry.subject,
        entry.detail,
        entry.previous_hash,
    ]
    return hashlib.sha256(canonical_json(content, ascii_only=True).encode()).hexdigest()
