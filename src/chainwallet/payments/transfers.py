"""Transfers: one row each, and the one table that says which status may follow which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, DateTime, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.kit.clock import rfc3339, utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.payments.terms import show_terms
from chainwallet.records.outbox import Event, append


class TransferUnknown(ChainwalletError):
    code = "TRANSFER_UNKNOWN"
    status = 404


class TransferNotCancellable(ChainwalletError):
    code = "TRANSFER_NOT_CANCELLABLE"
    status = 409


class TransferNotInReview(ChainwalletError):
    code = "TRANSFER_NOT_IN_REVIEW"
    status = 409


class TransferStatus(StrEnum):
    DECLINED = "declined"
    IN_REVIEW = "in_review"
    ACCEPTED = "accepted"
    SUBMITTED = "submitted"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"


S = TransferStatus
TRANSITIONS: dict[TransferStatus, frozenset[TransferStatus]] = {
    S.DECLINED: frozenset(),
    S.IN_REVIEW: frozenset({S.ACCEPTED, S.DECLINED, S.CANCELLED, S.FAILED}),
    S.ACCEPTED: frozenset({S.SUBMITTED, S.CANCELLED, S.FAILED}),
    S.SUBMITTED: frozenset({S.SETTLED, S.ACCEPTED}),  # back to accepted: its batch reverted, nothing moved
    S.SETTLED: frozenset({S.RETURNED}),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.RETURNED: frozenset(),
}
_MOMENTS = {
    S.ACCEPTED: "accepted_at",
    S.SUBMITTED: "submitted_at",
    S.SETTLED: "settled_at",
    S.DECLINED: "ended_at",
    S.FAILED: "ended_at",
    S.CANCELLED: "ended_at",
    S.RETURNED: "ended_at",
}


# SQL, and no parameters: queries have to say what the index says, or it does not serve them.
HAS_MOVED = "status NOT IN ('declined', 'failed', 'cancelled')"
# What goes back goes back once: only what ended without moving anything may be sent again.
ONE_RETURN = Index(
    "uq_transfer_return",
    "return_of",
    "payer_id",
    "payee_id",
    unique=True,
    postgresql_where=text(f"return_of IS NOT NULL AND {HAS_MOVED}"),
)


class Transfer(SQLModel, table=True):
    """A customer's payment: exactly `source_units` leave the payer, exactly `target_units` reach the payee.

    `return_of` is the transfer whose money it sends back, with the reason as a code of ISO 20022.
    """

    __tablename__ = "transfer"
    __table_args__ = (
        Index("ix_transfer_payer", "payer_id", text("id DESC")),
        Index("ix_transfer_payee", "payee_id"),
        Index("ix_transfer_status", "status", text("id DESC")),
        ONE_RETURN,
    )

    id: str = Field(primary_key=True)
    uetr: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    status: str
    payer_id: str
    payee_id: str | None = None
    payee_address: str
    quote_id: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    source_currency: str
    source_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    target_currency: str
    target_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    fee_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    cost_bps: Decimal = Field(sa_column=Column(Numeric(12, 2), nullable=False))
    purpose: str | None = None
    reference: str | None = None
    end_to_end_id: str | None = None
    terms: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    return_of: str | None = None
    return_reason: str | None = None
    failure_code: str | None = None
    failure_detail: str | None = None
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    accepted_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    submitted_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def find_transfer(session: Session, transfer_id: str) -> Transfer:
    """The transfer with this id; TRANSFER_UNKNOWN."""
    transfer = session.get(Transfer, transfer_id)
    if transfer is None:
        raise TransferUnknown("No transfer has this id; check it, or list the payer's transfers.")
    return transfer


def list_transfers(
    session: Session,
    *,
    payer_id: str | None,
    bank_or_customer_id: str | None,
    status: TransferStatus | None,
    before: str | None,
    limit: int,
) -> list[Transfer]:
    """The newest transfers first, `limit` of them, older than the id `before`.

    `bank_or_customer_id` limits them to payers that are that customer or its bank's customers.
    """
    statement = select(Transfer).order_by(col(Transfer.id).desc()).limit(limit)
    if payer_id is not None:
        statement = statement.where(Transfer.payer_id == payer_id)
    if bank_or_customer_id is not None:
        mine = text("payer_id IN (SELECT id FROM customer WHERE id = :mine OR bank_id = :mine)")
        statement = statement.where(mine.bindparams(mine=bank_or_customer_id))
    if status is not None:
        statement = statement.where(Transfer.status == status)
    if before is not None:
        statement = statement.where(Transfer.id < before)
    return list(session.exec(statement))


def settlement_of(session: Session, transfer_id: str) -> dict[str, Any] | None:
    """The batch and the transaction that carry a transfer; None before a batch has taken it."""
    row = (
        session.connection()
        .exec_driver_sql(
            """SELECT o.batch_id, x.tx_hash, x.block_number FROM payment_order o
           LEFT JOIN chain_tx x ON x.kind = 'settle' AND x.reference = o.batch_id::text AND x.status <> 'replaced'
           WHERE o.id = %(id)s AND o.batch_id IS NOT NULL""",
            {"id": transfer_id},
        )
        .first()
    )
    return None if row is None else {"batch_id": row[0], "tx_hash": row[1], "block_number": row[2]}


def advance(
    session: Session,
    transfer_ids: Sequence[str],
    target: TransferStatus,
    *,
    source: TransferStatus | None = None,
    failure_code: str | None = None,
    failure_detail: str | None = None,
) -> list[str]:
    """Move transfers to `target` where the transition table allows it; returns the ids that moved.

    With `source` only those that are there now are moved.

    Ids that are already there, or may not go there, are left alone, so that a step can be repeated. Each move
    is told to the outbox in the same transaction.
    """
    if not transfer_ids:
        return []
    sources = [str(s) for s, targets in TRANSITIONS.items() if target in targets and source in (None, s)]
    moment = _MOMENTS[target]
    rows = (
        session.connection()
        .exec_driver_sql(
            f"""WITH mine AS (
               SELECT id FROM transfer WHERE id = ANY(%(ids)s) AND status = ANY(%(sources)s) ORDER BY id FOR UPDATE
            )
            UPDATE transfer t SET status = %(target)s, {moment} = %(now)s,
                failure_code = coalesce(%(code)s::text, t.failure_code),
                failure_detail = coalesce(%(detail)s::text, t.failure_detail)
            FROM mine WHERE t.id = mine.id RETURNING t.id, t.payer_id, t.payee_id""",
            {
                "ids": list(transfer_ids),
                "sources": sources,
                "target": str(target),
                "now": utc_now(),
                "code": failure_code,
                "detail": failure_detail,
            },
        )
        .all()
    )
    banks = _banks(session, {customer for row in rows for customer in row[1:] if customer is not None})
    append(session, [_event(target, row[0], row[1], row[2], banks, failure_code) for row in rows])
    return [row[0] for row in rows]


def complete_returns(session: Session, settled_ids: Sequence[str]) -> list[str]:
    """Move the transfers to `returned` whose payer has the money back by these that settled; their ids."""
    if not settled_ids:
        return []
    rows = session.connection().exec_driver_sql(
        """SELECT t.id FROM transfer r JOIN transfer t ON t.id = r.return_of AND t.payer_id = r.payee_id
           WHERE r.id = ANY(%(ids)s)""",
        {"ids": list(settled_ids)},
    )
    return advance(session, [row[0] for row in rows], TransferStatus.RETURNED)


def open_transfers(session: Session, rows: Sequence[Mapping[str, Any]], *, banks: Mapping[str, str | None]) -> None:
    """Store new transfers, which have all columns, and tell the outbox of them."""
    insert_many(session, Transfer, rows)
    append(
        session,
        [
            _event(row["status"], row["id"], row["payer_id"], row["payee_id"], banks, row["failure_code"])
            for row in rows
        ],
    )


def _banks(session: Session, customer_ids: set[str]) -> dict[str, str | None]:
    rows = session.connection().exec_driver_sql(
        "SELECT id, bank_id FROM customer WHERE id = ANY(%(ids)s)", {"ids": sorted(customer_ids)}
    )
    return {customer_id: bank_id for customer_id, bank_id in rows.all()}


def _event(
    status: TransferStatus,
    transfer_id: str,
    payer_id: str,
    payee_id: str | None,
    banks: Mapping[str, str | None],
    failure_code: str | None,
) -> Event:
    parties = [party for party in (payer_id, payee_id) if party is not None]
    audience = [*parties, *(bank for party in parties if (bank := banks.get(party)) is not None)]
    payload = {"id": transfer_id, "status": str(status)}
    if failure_code is not None:
        payload["failure_code"] = failure_code
    return Event(f"transfer.{status}", transfer_id, audience, payload)


def describe(transfer: Transfer) -> dict[str, Any]:
    """The transfer as the REST contract shows it, amounts as decimal strings and times in UTC."""
    return describe_row({name: getattr(transfer, name) for name in Transfer.model_fields})


def describe_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """As `describe`, from the columns by name."""
    document: dict[str, Any] = {
        "id": row["id"],
        "uetr": row["uetr"],
        "status": str(row["status"]),
        "payer_id": row["payer_id"],
        "payee": {"customer_id": row["payee_id"], "address": row["payee_address"]},
        "quote_id": row["quote_id"],
        "source_amount": _amount(Money(row["source_currency"], int(row["source_units"]))),
        "target_amount": _amount(Money(row["target_currency"], int(row["target_units"]))),
        "fee": _amount(Money(row["source_currency"], int(row["fee_units"]))),
        "cost_bps": str(row["cost_bps"]),
        **show_terms(row["terms"], row["source_currency"]),
        "purpose": row["purpose"],
        "reference": row["reference"],
        "end_to_end_id": row["end_to_end_id"],
        "return_of": row["return_of"],
        "return_reason": row["return_reason"],
        "timeline": _timeline(row),
    }
    if row["failure_code"] is not None:
        document["failure"] = {"code": row["failure_code"], "detail": row["failure_detail"]}
    return document


def _amount(money: Money) -> dict[str, str]:
    return {"currency": money.code, "value": money.value}


def _timeline(row: Mapping[str, Any]) -> list[dict[str, str]]:
    moments = [
        ("created", row["created_at"]),
        ("accepted", row["accepted_at"]),
        ("submitted", row["submitted_at"]),
        ("settled", row["settled_at"]),
        (str(row["status"]), row["ended_at"]),
    ]
    return [{"status": status, "at": rfc3339(moment)} for status, moment in moments if moment is not None]
