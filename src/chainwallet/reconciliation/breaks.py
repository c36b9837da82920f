"""Breaks: places where the books and the chain do not say the same. Each is a case: since when, whose, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, DateTime, Identity, Text, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError


class BreakKind(StrEnum):
    UNKNOWN_PAYMENT = "unknown_payment"
    UNKNOWN_QUOTE = "unknown_quote"
    UNKNOWN_BATCH = "unknown_batch"
    GIVEN_UP_PAYMENT = "given_up_payment"
    UNFUNDED_ENTRY = "unfunded_entry"
    MISSING_PAYMENT = "missing_payment"
    MISSING_DEPOSIT = "missing_deposit"
    POSITION_DIFFERS = "position_differs"
    TOTAL_DIFFERS = "total_differs"
    TOKENS_MISSING = "tokens_missing"
    LEDGER_VIOLATION = "ledger_violation"
    FINALITY_BROKEN = "finality_broken"


SEEN_BY_COMPARING = frozenset(
    {
        BreakKind.POSITION_DIFFERS,
        BreakKind.TOTAL_DIFFERS,
        BreakKind.TOKENS_MISSING,
        BreakKind.LEDGER_VIOLATION,
        BreakKind.FINALITY_BROKEN,
    }
)
"""These close by themselves, when what they are about is right again, and not before."""


class BreakUnknown(ChainwalletError):
    code = "RECONCILIATION_BREAK_UNKNOWN"
    status = 404


class BreakClosesByItself(ChainwalletError):
    code = "RECONCILIATION_BREAK_CLOSES_BY_ITSELF"
    status = 409


class Break(SQLModel, table=True):
    """One difference: its kind, what it is about, what was found, since when, who looks after it, and why it was."""

    __tablename__ = "reconciliation_break"
    __table_args__ = (UniqueConstraint("kind", "subject", name="uq_reconciliation_break_subject"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    kind: str
    subject: str
    detail: str = Field(sa_column=Column(Text, nullable=False))
    opened_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    assignee: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    cause: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    closed_by: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


def open_break(session: Session, kind: BreakKind, subject: str, detail: str) -> None:
    """Open a break, or say of an open one what is seen now. One that was closed is a new case, as old as this."""
    session.connection().exec_driver_sql(
        """INSERT INTO reconciliation_break AS b (kind, subject, detail, opened_at)
           VALUES (%(k)s, %(s)s, %(d)s, %(now)s)
           ON CONFLICT (kind, subject) DO UPDATE SET detail = excluded.detail, closed_at = NULL, closed_by = NULL,
             opened_at = CASE WHEN b.closed_at IS NULL THEN b.opened_at ELSE excluded.opened_at END,
             assignee = CASE WHEN b.closed_at IS NULL THEN b.assignee END,
             cause = CASE WHEN b.closed_at IS NULL THEN b.cause END""",
        {"k": str(kind), "s": subject, "d": detail, "now": utc_now()},
    )


def open_breaks(session: Session) -> Sequence[Break]:
    """The breaks that are open, oldest first."""
    return session.exec(select(Break).where(col(Break.closed_at).is_(None)).order_by(col(Break.id))).all()


def open_subjects(session: Session, kind: BreakKind) -> list[str]:
    """What the open breaks of a kind are about."""
    found = select(Break.subject).where(col(Break.closed_at).is_(None), Break.kind == kind)
    return list(session.exec(found.order_by(Break.subject)))


def oldest_break_s(session: Session) -> tuple[int, float]:
    """How many breaks are open, and for how many seconds the oldest has been."""
    count, oldest = (
        session.connection()
        .exec_driver_sql("SELECT count(*), min(opened_at) FROM reconciliation_break WHERE closed_at IS NULL")
        .one()
    )
    return count, (utc_now() - oldest).total_seconds() if oldest else 0.0


def assign_break(session: Session, break_id: int, *, assignee: str, cause: str | None) -> Break:
    """Say who looks after an open break and, where it is known, why it is. RECONCILIATION_BREAK_UNKNOWN."""
    case = _find_open(session, break_id)
    case.assignee, case.cause = assignee, cause or case.cause
    session.flush()
    return case


def close_break(session: Session, break_id: int, *, cause: str, actor: str) -> Break:
    """Close a break that somebody explained. RECONCILIATION_BREAK_UNKNOWN for one that is not open.

    RECONCILIATION_BREAK_CLOSES_BY_ITSELF for a figure that is compared: it closes when it is right.
    """
    case = _find_open(session, break_id)
    if case.kind in SEEN_BY_COMPARING:
        raise BreakClosesByItself(
            f"A {case.kind} break closes when the figures are right again; assign it, and say its cause there."
        )
    case.cause, case.closed_by, case.closed_at = cause, actor, utc_now()
    session.flush()
    return case


def _find_open(session: Session, break_id: int) -> Break:
    case = session.get(Break, break_id, with_for_update=True)
    if case is None or case.closed_at is not None:
        raise BreakUnknown("No break with this id is open; GET /v1/reconciliation lists those that are.")
    return case


def note_lost_finality(session: Session, fork_block: int) -> int:
    """After a fork: open a break if it undid what was booked as final. How many such events the chain lacks now."""
    lost = _lost_events(session)
    if lost:
        detail = f"{lost} booked events are not on the chain since a fork at block {fork_block}; they are sent again."
        open_break(session, BreakKind.FINALITY_BROKEN, f"block {fork_block + 1}", detail)
    return lost


def close_restored_finality(session: Session) -> None:
    """Close those breaks when all that was booked is on the chain again."""
    if not _lost_events(session):
        close_breaks(session, BreakKind.FINALITY_BROKEN, subjects=None, seen=[])


def _lost_events(session: Session) -> int:
    """Events that are booked and orphaned, and that no block of the followed chain has in another place."""
    row = session.connection().exec_driver_sql(
        """SELECT count(DISTINCT e.key1) FROM chain_event e
           WHERE e.matched AND e.orphaned AND e.name IN ('PaymentSettled', 'Deposited', 'BatchSettled')
             AND NOT EXISTS (
               SELECT 1 FROM chain_event o WHERE o.name = e.name AND o.key1 = e.key1 AND NOT o.orphaned)"""
    )
    return int(row.scalar_one())


def close_breaks(session: Session, kind: BreakKind, *, subjects: Sequence[str] | None, seen: Sequence[str]) -> None:
    """Close the breaks of a kind about these subjects (about any, if None) that are not among those seen now."""
    session.connection().exec_driver_sql(
        """UPDATE reconciliation_break SET closed_at = %(now)s
           WHERE closed_at IS NULL AND kind = %(kind)s AND NOT subject = ANY(%(seen)s)
             AND (%(subjects)s::text[] IS NULL OR subject = ANY(%(subjects)s::text[]))""",
        {
            "now": utc_now(),
            "kind": str(kind),
            "seen": list(seen),
            "subjects": None if subjects is None else list(subjects),
        },
    )
