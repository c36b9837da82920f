"""Breaks: places where the books and the chain do not say the same, open until they do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, DateTime, Identity, Text, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.kit.clock import utc_now


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


class Break(SQLModel, table=True):
    """One difference: its kind, what it is about, what was found, and since when."""

    __tablename__ = "reconciliation_break"
    __table_args__ = (UniqueConstraint("kind", "subject", name="uq_reconciliation_break_subject"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    kind: str
    subject: str
    detail: str = Field(sa_column=Column(Text, nullable=False))
    opened_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def open_break(session: Session, kind: BreakKind, subject: str, detail: str) -> None:
    """Open a break, or open it again with what is seen now."""
    session.connection().exec_driver_sql(
        """INSERT INTO reconciliation_break (kind, subject, detail, opened_at) VALUES (%(k)s, %(s)s, %(d)s, %(now)s)
           ON CONFLICT (kind, subject) DO UPDATE SET detail = excluded.detail, closed_at = NULL""",
        {"k": str(kind), "s": subject, "d": detail, "now": utc_now()},
    )


def open_breaks(session: Session) -> Sequence[Break]:
    """The breaks that are open, oldest first."""
    return session.exec(select(Break).where(col(Break.closed_at).is_(None)).order_by(col(Break.id))).all()


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
