"""Deposits: the issuer mints tokens against money it received, and puts them into customers' positions."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, DateTime, Index, Numeric, Text, text
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.chain.contracts.currency_token import encode_mint
from chainwallet.chain.contracts.settlement_hub import HubDeposit, encode_deposit
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money, currency
from chainwallet.settlement.lanes import Call, Fees, TxKind, store_calls

GAS_MINT, GAS_DEPOSIT_FIXED, GAS_PER_DEPOSIT = 150_000, 200_000, 60_000  # bounds, not estimates


class DepositUnknown(ChainwalletError):
    code = "DEPOSIT_UNKNOWN"
    status = 404


class DepositCurrencyNotIssued(ChainwalletError):
    code = "DEPOSIT_CURRENCY_NOT_ISSUED"
    status = 422


class DepositStatus(StrEnum):
    PENDING = "pending"
    SUBMITTED = "submitted"
    SETTLED = "settled"


class Deposit(SQLModel, table=True):
    """Money that came in from outside for a customer. `chain_ref` is the id its event carries on chain."""

    __tablename__ = "deposit"
    __table_args__ = (
        Index("ix_deposit_pending", "id", postgresql_where=text("status = 'pending'")),
        Index("ix_deposit_status", "status", text("id DESC")),
    )

    id: str = Field(primary_key=True)
    customer_id: str = Field(index=True)
    account: str
    currency: str
    units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    chain_ref: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    status: str = DepositStatus.PENDING
    group_id: str | None = Field(default=None, sa_column=Column(Text, nullable=True, index=True))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def request_deposit(session: Session, *, customer_id: str, account: str, amount: Money) -> Deposit:
    """Record a deposit; a worker mints and deposits it, and it counts once its event is final."""
    deposit_id = new_id("dep")
    deposit = Deposit(
        id=deposit_id,
        customer_id=customer_id,
        account=account,
        currency=amount.code,
        units=amount.units,
        chain_ref="0x" + hashlib.sha256(deposit_id.encode()).hexdigest(),
        created_at=utc_now(),
    )
    session.add(deposit)
    session.flush()
    return deposit


def find_deposit(session: Session, deposit_id: str) -> Deposit:
    """The deposit with this id; DEPOSIT_UNKNOWN."""
    deposit = session.get(Deposit, deposit_id)
    if deposit is None:
        raise unknown_deposit()
    return deposit


def unknown_deposit() -> DepositUnknown:
    """One sentence for every deposit that a caller cannot see, existing or not."""
    return DepositUnknown("No deposit of yours has this id; check it.")


def list_deposits(
    session: Session,
    *,
    customer_id: str | None,
    bank_or_customer_id: str | None,
    status: DepositStatus | None,
    before: str | None,
    limit: int,
) -> list[Deposit]:
    """The newest deposits first, `limit` of them, older than the id `before`; see transfers.list_transfers."""
    statement = select(Deposit).order_by(col(Deposit.id).desc()).limit(limit)
    if customer_id is not None:
        statement = statement.where(Deposit.customer_id == customer_id)
    if bank_or_customer_id is not None:
        mine = text("customer_id IN (SELECT id FROM customer WHERE id = :mine OR bank_id = :mine)")
        statement = statement.where(mine.bindparams(mine=bank_or_customer_id))
    if status is not None:
        statement = statement.where(Deposit.status == status)
    if before is not None:
        statement = statement.where(Deposit.id < before)
    return list(session.exec(statement))


def any_pending(session: Session) -> bool:
    """Whether a deposit waits for its transaction."""
    found = session.connection().exec_driver_sql("SELECT EXISTS (SELECT 1 FROM deposit WHERE status = 'pending')")
    return bool(found.scalar_one())


def submit_deposits(
    session: Session,
    *,
    hub: str,
    tokens: Mapping[str, str],
    signer: Signer,
    chain_id: int,
    fees: Fees,
    limit: int = 200,
) -> int:
    """Turn waiting deposits into transactions, two per currency: mint the sum, deposit it to each account."""
    statement = (
        select(Deposit)
        .where(Deposit.status == DepositStatus.PENDING)
        .order_by(col(Deposit.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    waiting: dict[str, list[Deposit]] = defaultdict(list)
    for deposit in session.exec(statement):
        waiting[deposit.currency].append(deposit)
    calls: list[Call] = []
    for code, deposits in sorted(waiting.items()):
        group_id = new_id("dpg")
        calls += _calls(group_id, code, deposits, hub=hub, token=tokens[code], issuer=signer.address)
        for deposit in deposits:
            deposit.status, deposit.group_id = DepositStatus.SUBMITTED, group_id
            session.add(deposit)
    if calls:
        store_calls(session, calls, signer=signer, chain_id=chain_id, fees=fees)
    return sum(len(deposits) for deposits in waiting.values())


def _calls(
    group_id: str, code: str, deposits: Sequence[Deposit], *, hub: str, token: str, issuer: str
) -> tuple[Call, Call]:
    parts = [HubDeposit(d.account, int(d.units), bytes.fromhex(d.chain_ref[2:])) for d in deposits]
    mint = encode_mint(issuer, sum(part.units for part in parts))
    deposit = encode_deposit(currency(code).id, parts)
    return (
        Call(TxKind.MINT, group_id, token, mint, GAS_MINT),
        Call(TxKind.DEPOSIT, group_id, hub, deposit, GAS_DEPOSIT_FIXED + GAS_PER_DEPOSIT * len(parts)),
    )


def resubmit_group(session: Session, group_id: str) -> None:
    """Let the deposits of a reverted transaction wait for the next one."""
    session.connection().exec_driver_sql(
        "UPDATE deposit SET status = 'pending', group_id = NULL WHERE group_id = %(group)s AND status = 'submitted'",
        {"group": group_id},
    )


def settle_deposits(session: Session, chain_refs: Sequence[str]) -> dict[str, Deposit]:
    """Mark deposits settled by the ids their events carry; returns those that are ours, by that id."""
    rows = session.exec(
        select(Deposit).where(col(Deposit.chain_ref).in_(chain_refs)).order_by(col(Deposit.id)).with_for_update()
    ).all()
    for deposit in rows:
        if deposit.status != DepositStatus.SETTLED:
            deposit.status, deposit.settled_at = DepositStatus.SETTLED, utc_now()
            session.add(deposit)
    return {deposit.chain_ref: deposit for deposit in rows}
