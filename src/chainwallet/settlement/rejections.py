"""What makers offered and was refused: per maker, pair and reason, the newest one and how many there were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime
from sqlmodel import Field, Session, SQLModel, select, tuple_

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError


class MakerRejection(SQLModel, table=True):
    """`version` and `quote_id` say which one was the last, where it had one. Counted, so that a flood stays small."""

    __tablename__ = "maker_rejection"

    maker_id: str = Field(primary_key=True)
    sell: str = Field(primary_key=True)
    buy: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    reason: str
    version: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    quote_id: str | None = None
    count: int = Field(sa_column=Column(BigInteger, nullable=False))
    first_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    last_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One refusal: the maker offered to sell `sell` for `buy`, and `error` says why not."""

    maker_id: str
    sell: str
    buy: str
    error: ChainwalletError
    version: int | None = None
    quote_id: str | None = None


_COUNT_ON = """
ON CONFLICT (maker_id, sell, buy, code) DO UPDATE SET reason = excluded.reason, version = excluded.version,
  quote_id = excluded.quote_id, count = maker_rejection.count + excluded.count, last_at = excluded.last_at
"""


def note_rejections(session: Session, rejected: Iterable[Rejected]) -> None:
    """Count refusals in the caller's transaction, in one statement."""
    now = utc_now()
    rows: dict[tuple[str, str, str, str], dict[str, object]] = {}
    for one in rejected:
        key = (one.maker_id, one.sell, one.buy, one.error.code)
        rows[key] = {
            "maker_id": one.maker_id,
            "sell": one.sell,
            "buy": one.buy,
            "code": one.error.code,
            "reason": one.error.detail,
            "version": one.version,
            "quote_id": one.quote_id,
            "count": int(str(rows[key]["count"])) + 1 if key in rows else 1,
            "first_at": now,
            "last_at": now,
        }
    insert_many(session, MakerRejection, [rows[key] for key in sorted(rows)], suffix=_COUNT_ON)


def list_rejections(
    session: Session, maker_id: str, *, after: Sequence[str] | None, limit: int
) -> list[MakerRejection]:
    """A maker's refusals by pair and code, `limit` of them after (sell, buy, code)."""
    place = (MakerRejection.sell, MakerRejection.buy, MakerRejection.code)
    statement = select(MakerRejection).where(MakerRejection.maker_id == maker_id).order_by(*place).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(*place) > tuple(after))
    return list(session.exec(statement))
