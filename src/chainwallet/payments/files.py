"""Files of payments: a bank hands in many instructions at once; each is priced, accepted or refused on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, DateTime, Index, Integer, Numeric, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.payees import Party, PayeeRef, resolve_payees
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money
from chainwallet.payments.acceptance import Acceptance
from chainwallet.payments.candidates import Accepted, PayerUnknown, TransferRequest
from chainwallet.payments.pricing import Pricer, PriceRequest
from chainwallet.payments.quotes import Quote, QuoteLiquidityGone
from chainwallet.payments.terms import Stated

Draft = tuple["FileInstruction", Quote, str]


class PaymentFileUnknown(ChainwalletError):
    code = "PAYMENT_FILE_UNKNOWN"
    status = 404


class PaymentFileDuplicate(ChainwalletError):
    code = "PAYMENT_FILE_DUPLICATE"
    status = 409


class UetrUsed(ChainwalletError):
    code = "TRANSFER_UETR_USED"
    status = 409


class InstructionStatus(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class PaymentFile(SQLModel, table=True):
    """A file as it was received. `message_id` is the sender's own, and unique per sender."""

    __tablename__ = "payment_file"
    __table_args__ = (UniqueConstraint("tenant_id", "message_id", name="uq_payment_file_message"),)

    id: str = Field(primary_key=True)
    tenant_id: str
    customer_id: str | None = None
    message_id: str
    instructions: int
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class FileInstruction(SQLModel, table=True):
    """One instruction of a file: who pays whom, which amount is fixed, and what became of it."""

    __tablename__ = "payment_instruction"
    __table_args__ = (
        Index("ix_payment_instruction_pending", "file_id", "seq", postgresql_where=text("status = 'pending'")),
    )

    file_id: str = Field(primary_key=True, foreign_key="payment_file.id")
    seq: int = Field(sa_column=Column(Integer, primary_key=True))
    end_to_end_id: str
    uetr: str | None = None
    payer: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    payee: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    source_currency: str
    target_currency: str
    fixed: str
    fixed_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    purpose: str | None = None
    reference: str | None = None
    status: str = InstructionStatus.PENDING
    transfer_id: str | None = Field(default=None, sa_column=Column(Text, nullable=True, index=True))
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class InstructionDraft:
    """An instruction as a reader of files hands it over; exactly one of the amounts is fixed."""

    end_to_end_id: str
    payer: PayeeRef
    payee: PayeeRef
    source_currency: str
    target_currency: str
    fixed_source: Money | None = None
    fixed_target: Money | None = None
    uetr: str | None = None
    purpose: str | None = None
    reference: str | None = None


def receive_file(
    session: Session, *, message_id: str, instructions: Sequence[InstructionDraft], principal: Principal
) -> PaymentFile:
    """Store a file whole; a worker accepts its instructions. PAYMENT_FILE_DUPLICATE if it came before."""
    file = PaymentFile(
        id=new_id("pay"),
        tenant_id=principal.tenant_id,
        customer_id=principal.customer_id,
        message_id=message_id,
        instructions=len(instructions),
        created_at=utc_now(),
    )
    # Two of the same file at once meet at the constraint: the second waits for the first, then sees it.
    suffix = "ON CONFLICT (tenant_id, message_id) DO NOTHING RETURNING id"
    if not insert_many(session, PaymentFile, [file.model_dump()], suffix=suffix):
        raise _duplicate(session, file)
    insert_many(session, FileInstruction, [_row(file.id, seq, draft) for seq, draft in enumerate(instructions)])
    return file


def _duplicate(session: Session, file: PaymentFile) -> PaymentFileDuplicate:
    known = session.exec(
        select(PaymentFile.id).where(PaymentFile.tenant_id == file.tenant_id, PaymentFile.message_id == file.message_id)
    ).one()
    return PaymentFileDuplicate(
        f"A file with the message id {file.message_id} was received before, as {known}; nothing was done again.",
        payment_file_id=known,
    )


def _row(file_id: str, seq: int, draft: InstructionDraft) -> dict[str, Any]:
    fixed = draft.fixed_source or draft.fixed_target
    assert fixed is not None
    return {
        "file_id": file_id,
        "seq": seq,
        "end_to_end_id": draft.end_to_end_id,
        "uetr": draft.uetr,
        "payer": dict([draft.payer.key()]),
        "payee": dict([draft.payee.key()]),
        "source_currency": draft.source_currency,
        "target_currency": draft.target_currency,
        "fixed": "source" if draft.fixed_source is not None else "target",
        "fixed_units": fixed.units,
        "purpose": draft.purpose,
        "reference": draft.reference,
        "status": InstructionStatus.PENDING,
    }


def work_through(session: Session, acceptance: Acceptance, pricer: Pricer, *, limit: int = 100) -> int:
    """Price and accept the next instructions of the oldest file; how many were decided.

    One transaction does all of it, so an instruction is accepted together with the note that it was.
    """
    rows = session.exec(
        select(FileInstruction)
        .where(FileInstruction.status == InstructionStatus.PENDING)
        .order_by(col(FileInstruction.file_id), col(FileInstruction.seq))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    session.expunge_all()
    if not rows:
        return 0
    tenants = _tenants(session, {row.file_id for row in rows})
    view = pricer.look(session, lasting_s=pricer.ttl_s)
    drafts: list[Draft] = []
    outcomes: dict[tuple[str, int], Accepted | Exception] = {}
    used = _used_uetrs(session, [row.uetr for row in rows if row.uetr is not None])
    parties = resolve_payees(session, [PayeeRef(**name) for row in rows for name in (row.payer, row.payee)])
    drafted: set[str | None] = set()
    for row, payer, payee in zip(rows, parties[::2], parties[1::2], strict=True):
        if row.uetr is not None and row.uetr in drafted:
            continue  # another file names the same one: decided in the next pass, when it is known what became of it
        try:
            if isinstance(payer, ChainwalletError):
                raise payer
            if isinstance(payer, str):
                raise PayerUnknown("The debtor account is no customer's here; check it.")
            if row.uetr in used:
                raise UetrUsed("A transfer with this UETR exists already; nothing was done again.")
            receiver = payee if isinstance(payee, Party) else None
            wanted = _price_request(row, Stated.of_parties(payer, receiver, purpose=row.purpose))
            drafts.append((row, pricer.price(wanted, owner_id=tenants[row.file_id], view=view), payer.id))
            drafted.add(row.uetr)
        except ChainwalletError as refusal:
            outcomes[row.file_id, row.seq] = refusal
    accepted = acceptance.accept(session, [_request(*draft, tenants) for draft in drafts])
    some_went = any(isinstance(outcome, Accepted) for outcome in accepted)
    for (row, _, _), outcome in zip(drafts, accepted, strict=True):
        # No one was promised this price yet: what others of the file took is priced again in the next pass.
        if not (some_went and isinstance(outcome, QuoteLiquidityGone)):
            outcomes[row.file_id, row.seq] = outcome
    _note(session, outcomes)
    return len(outcomes)


def _price_request(row: FileInstruction, stated: Stated) -> PriceRequest:
    code = row.source_currency if row.fixed == "source" else row.target_currency
    money = Money(code, int(row.fixed_units))
    return PriceRequest(
        row.source_currency,
        row.target_currency,
        fixed_source=money if row.fixed == "source" else None,
        fixed_target=money if row.fixed == "target" else None,
        stated=stated,
    )


def _request(row: FileInstruction, quote: Quote, payer_id: str, tenants: dict[str, str | None]) -> TransferRequest:
    return TransferRequest(
        quote=quote,
        payer_id=payer_id,
        payee=PayeeRef(**row.payee),
        principal=Principal(f"file:{row.file_id}", frozenset(), tenants[row.file_id]),
        purpose=row.purpose,
        reference=row.reference,
        end_to_end_id=row.end_to_end_id,
        uetr=row.uetr,
    )


def _tenants(session: Session, file_ids: set[str]) -> dict[str, str | None]:
    statement = select(PaymentFile.id, PaymentFile.customer_id).where(col(PaymentFile.id).in_(file_ids))
    return {file_id: customer_id for file_id, customer_id in session.exec(statement).all()}


def _used_uetrs(session: Session, uetrs: Sequence[str]) -> set[str]:
    rows = session.connection().exec_driver_sql("SELECT uetr FROM transfer WHERE uetr = ANY(%(u)s)", {"u": list(uetrs)})
    return {uetr for (uetr,) in rows}


def _note(session: Session, outcomes: dict[tuple[str, int], Accepted | Exception]) -> None:
    def told(outcome: Accepted | Exception) -> tuple[str, str | None, str | None, str | None]:
        if isinstance(outcome, Accepted):
            return InstructionStatus.ACCEPTED, outcome.transfer_id, None, None
        if isinstance(outcome, ChainwalletError):
            return InstructionStatus.REJECTED, None, outcome.code, outcome.detail
        raise outcome

    told_all = [told(outcome) for outcome in outcomes.values()]
    session.connection().exec_driver_sql(
        """UPDATE payment_instruction p
           SET status = u.status, transfer_id = u.transfer, code = u.code, detail = u.detail
           FROM unnest(%(files)s::text[], %(seqs)s::int[], %(statuses)s::text[], %(transfers)s::text[],
                       %(codes)s::text[], %(details)s::text[]) AS u(file_id, seq, status, transfer, code, detail)
           WHERE p.file_id = u.file_id AND p.seq = u.seq""",
        {
            "files": [file_id for file_id, _ in outcomes],
            "seqs": [seq for _, seq in outcomes],
            "statuses": [str(status) for status, _, _, _ in told_all],
            "transfers": [transfer for _, transfer, _, _ in told_all],
            "codes": [code for _, _, code, _ in told_all],
            "details": [detail for _, _, _, detail in told_all],
        },
    )


def find_file(session: Session, file_id: str) -> tuple[PaymentFile, dict[str, int]]:
    """A file, and how many of its instructions (or of their transfers) have which status. PAYMENT_FILE_UNKNOWN."""
    file = session.get(PaymentFile, file_id)
    if file is None:
        raise PaymentFileUnknown("No payment file has this id.")
    rows = session.connection().exec_driver_sql(
        """SELECT coalesce(t.status, p.status), count(*) FROM payment_instruction p
           LEFT JOIN transfer t ON t.id = p.transfer_id WHERE p.file_id = %(file)s GROUP BY 1""",
        {"file": file_id},
    )
    return file, {status: count for status, count in rows.all()}


def rejections(session: Session, file_id: str, *, limit: int = 100) -> list[FileInstruction]:
    """The first instructions of a file that were refused, with code and detail."""
    statement = (
        select(FileInstruction)
        .where(FileInstruction.file_id == file_id, FileInstruction.status == InstructionStatus.REJECTED)
        .order_by(col(FileInstruction.seq))
        .limit(limit)
    )
    return list(session.exec(statement))
