"""Exits: owners take tokens off the hub, asked for here or on chain by themselves; one at a time in each currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, Column, DateTime, Index, Numeric, Text, text
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.chain.contracts.settlement_hub import encode_exit, encode_request_exit_for
from chainwallet.controls.identity.customers import Custody, Customer, CustomerSignsItself, CustomerStatus
from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.keys.intents import Domain, ExitOrder
from chainwallet.keys.signers import Signer
from chainwallet.keys.vault import Vault
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money, currency
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    HoldPart,
    HoldRequest,
    InsufficientFunds,
    Refused,
    ensure_accounts,
    lock_accounts_by_key,
    number_holds,
    open_holds,
    place_holds,
    release_holds,
)
from chainwallet.settlement.lanes import Call, ChainTx, Fees, OpenTx, TxKind, store_calls

GAS_REQUEST, GAS_PAYOUT = 250_000, 250_000  # bounds, not estimates; the token's transfer is ours, and plain
ORDER_LASTS_S = 24 * 3_600  # for the signed order to be mined in
TRY_AGAIN_S = 60.0


class ExitUnderWay(ChainwalletError):
    code = "EXIT_UNDER_WAY"
    status = 409


class ExitRecipientInvalid(ChainwalletError):
    code = "EXIT_RECIPIENT_INVALID"
    status = 422


class ExitNotAllowed(ChainwalletError):
    code = "EXIT_NOT_ALLOWED"
    status = 403


class ExitStatus(StrEnum):
    PLACED = "placed"  # asked for here; the money is held until the request is on chain
    SUBMITTED = "submitted"
    WAITING = "waiting"  # set aside on chain until `available_at`
    PAYING = "paying"
    PAID = "paid"
    CANCELLED = "cancelled"
    FAILED = "failed"


S = ExitStatus
HELD = (S.PLACED, S.SUBMITTED)
LIVE = (*HELD, S.WAITING, S.PAYING)


class Exit(SQLModel, table=True):
    """`units` on their way off the hub to `recipient`. `requested_by` and `ended_by` name the events that did it."""

    __tablename__ = "owner_exit"
    __table_args__ = (
        Index("ix_owner_exit_customer", "customer_id", text("id DESC")),
        Index("ix_owner_exit_due", "try_at", postgresql_where=text("status IN ('placed', 'waiting')")),
        Index(
            "uq_owner_exit_live",
            "customer_id",
            "currency",
            unique=True,
            postgresql_where=text("status IN ('placed', 'submitted', 'waiting', 'paying')"),
        ),
    )

    id: str = Field(primary_key=True)
    customer_id: str
    account: str
    recipient: str
    currency: str
    units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    status: str = ExitStatus.PLACED
    nonce: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    requested_by: str | None = Field(default=None, sa_column=Column(Text, nullable=True, unique=True))
    ended_by: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    failure_code: str | None = None
    failure_detail: str | None = None
    available_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    try_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def request_exit(session: Session, customer: Customer, *, amount: Money, recipient: str, domain: Domain) -> Exit:
    """Hold the amount and let a worker carry the customer's signed order to the hub.

    CUSTOMER_SIGNS_ITSELF, EXIT_NOT_ALLOWED for a frozen or closed customer, EXIT_RECIPIENT_INVALID, EXIT_UNDER_WAY
    (the hub takes one at a time in a currency), LEDGER_INSUFFICIENT_FUNDS.
    """
    if customer.status != CustomerStatus.ACTIVE:
        raise ExitNotAllowed(f"The customer is {customer.status}; nothing is signed for it until that is lifted.")
    if customer.custody == Custody.EXTERNAL:
        raise CustomerSignsItself("The customer keeps its own key: it leaves the hub by itself, on chain.")
    if recipient in (ZERO_ADDRESS, domain.hub):
        raise ExitRecipientInvalid("Tokens that the hub or the zero address received would be nobody's; name another.")
    now = utc_now()
    row = {
        "id": new_id("ext"),
        "customer_id": customer.id,
        "account": customer.address,
        "recipient": recipient,
        "currency": amount.code,
        "units": amount.units,
        "status": ExitStatus.PLACED,
        "try_at": now,
        "created_at": now,
    }
    if not insert_many(session, Exit, [row], suffix="ON CONFLICT DO NOTHING RETURNING id"):
        raise ExitUnderWay(f"An exit in {amount.code} is under way; wait for its end, or cancel it on chain.")
    _hold(session, str(row["id"]), customer.id, amount)
    return session.get_one(Exit, row["id"])


def _hold(session: Session, exit_id: str, customer_id: str, amount: Money) -> None:
    key = AccountKey(customer_id, amount.code, AccountKind.CUSTOMER)
    account = ensure_accounts(session, [key])[key]
    outcome = place_holds(session, [HoldRequest(exit_id, (HoldPart(account, amount.units),))])[0]
    if isinstance(outcome, Refused):
        available = Money(amount.code, max(outcome.available_units, 0))
        raise InsufficientFunds(
            f"The customer has {available} available and the exit takes {amount}; ask for less, or wait for payments."
        )


def live_exit(session: Session, customer_id: str, code: str) -> Exit | None:
    """The customer's exit in this currency that has not ended."""
    statement = select(Exit).where(
        Exit.customer_id == customer_id, Exit.currency == code, col(Exit.status).in_([str(s) for s in LIVE])
    )
    return session.exec(statement).first()


def list_exits(
    session: Session, *, customer_id: str, status: ExitStatus | None, before: str | None, limit: int
) -> list[Exit]:
    """A customer's exits, the newest first, `limit` of them, older than the id `before`."""
    statement = select(Exit).where(Exit.customer_id == customer_id).order_by(col(Exit.id).desc()).limit(limit)
    if status is not None:
        statement = statement.where(Exit.status == status)
    if before is not None:
        statement = statement.where(Exit.id < before)
    return list(session.exec(statement))


def due_exits(session: Session, *, chain_time: datetime, limit: int = 20) -> list[Exit]:
    """Exits with something to send now: a request, or a payout whose delay has passed, by the chain's time or ours."""
    now = utc_now()
    statement = (
        select(Exit)
        .where(
            col(Exit.status).in_([str(S.PLACED), str(S.WAITING)]),
            Exit.try_at <= max(now, chain_time),
        )
        .order_by(col(Exit.try_at), col(Exit.id))
        .limit(limit)
    )
    return list(session.exec(statement))


@dataclass(frozen=True, slots=True)
class SignedExit:
    """A call to the hub that may be sent for an exit, and for which status of it."""

    exit_id: str
    nonce: int | None
    kind: TxKind
    data: bytes


def sign_request(session: Session, exit_id: str, *, vault: Vault, domain: Domain) -> SignedExit | None:
    """Number and sign the order to leave; None while payments of the customer in that currency are on their way.

    The order's nonce ends every lower one, so it is given when none of those is alive, under the account's lock: what
    is accepted afterwards has a higher one, and goes out later. LEDGER_NONCES_SPENT.
    """
    row = session.get_one(Exit, exit_id, with_for_update=True)
    key = AccountKey(row.customer_id, row.currency, AccountKind.CUSTOMER)
    account = lock_accounts_by_key(session, [key])[key]
    alive = [hold for hold in open_holds(session, account.id) if hold.nonce is not None and hold.reference != row.id]
    if row.status != S.PLACED or alive:
        return None
    row.nonce = number_holds(session, [row.id])[row.id]
    session.add(row)
    order = ExitOrder(
        account=row.account,
        recipient=row.recipient,
        currency=currency(row.currency).id,
        units=int(row.units),
        nonce=row.nonce,
        deadline=unix_seconds(utc_now()) + ORDER_LASTS_S,
    )
    signature = vault.signer(session, row.account, owner_id=row.customer_id).sign_exit(domain, order)
    return SignedExit(row.id, row.nonce, TxKind.EXIT_REQUEST, encode_request_exit_for(order, signature))


def payout_of(row: Exit) -> SignedExit:
    """The call that pays out what is set aside; anyone may make it."""
    return SignedExit(row.id, row.nonce, TxKind.EXIT, encode_exit(row.account, currency(row.currency).id))


def store_exit_call(
    session: Session, signed: SignedExit, *, hub: str, signer: Signer, chain_id: int, fees: Fees
) -> ChainTx | None:
    """Store the transaction that carries the call, once; None if the exit has moved on meanwhile."""
    is_request = signed.kind == TxKind.EXIT_REQUEST
    row = session.get_one(Exit, signed.exit_id, with_for_update=True)
    if row.status != (S.PLACED if is_request else S.WAITING) or row.nonce != signed.nonce:
        return None
    row.status = S.SUBMITTED if is_request else S.PAYING
    session.add(row)
    call = Call(signed.kind, row.id, hub, signed.data, GAS_REQUEST if is_request else GAS_PAYOUT)
    return store_calls(session, [call], signer=signer, chain_id=chain_id, fees=fees)[0]


def put_off(session: Session, exit_id: str, *, delay_s: float) -> None:
    """Try again later: a payout that the hub refuses now, or a request that the chain is not ready for."""
    row = session.get_one(Exit, exit_id, with_for_update=True)
    row.try_at = utc_now() + timedelta(seconds=delay_s)
    session.add(row)


def fail_exit(session: Session, exit_id: str, *, code: str, detail: str) -> bool:
    """End an exit that is not on chain and give its money back; False if it is, or has ended."""
    row = session.get_one(Exit, exit_id, with_for_update=True)
    if row.status not in HELD:
        return False
    _end(session, row, S.FAILED, code=code, detail=detail)
    release_holds(session, [row.id])
    return True


def undo_exit_call(session: Session, tx: OpenTx) -> None:
    """A transaction of an exit reverted: a request has failed, a payout is tried again."""
    if tx.kind == TxKind.EXIT_REQUEST:
        detail = "The settlement contract refused the request; nothing was moved. Ask again."
        fail_exit(session, tx.reference, code="EXIT_REFUSED_BY_HUB", detail=detail)
        return
    row = session.get_one(Exit, tx.reference, with_for_update=True)
    if row.status == S.PAYING:
        row.status, row.try_at = S.WAITING, utc_now() + timedelta(seconds=TRY_AGAIN_S)
        session.add(row)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request to leave as the chain tells it; `nonce` of the signed order that made it, if one did.

    `name` is the event's, the same whichever block it is seen in.
    """

    name: str
    customer_id: str
    account: str
    recipient: str
    currency: str
    units: int
    available_at: datetime
    nonce: int | None


def exit_requested(session: Session, seen: Seen) -> tuple[str | None, list[str]]:
    """Follow a request on chain: the exit that it carries out, if it was asked for here, and holds to be released.

    Seen again after a fork, it changes no more than the time. A request that is not the one asked for here takes its
    place on chain, so that one has failed.
    """
    known = session.exec(select(Exit).where(Exit.requested_by == seen.name).with_for_update()).first()
    if known is not None:
        known.available_at = seen.available_at
        session.add(known)
        return None, []
    ours = _asked_for(session, seen)
    live = live_exit(session, seen.customer_id, seen.currency)
    overtaken = [] if live is None or (ours is not None and live.id == ours.id) else [live]
    for row in overtaken:
        detail = "The owner asked for another exit on chain, and the hub takes one at a time."
        _end(session, row, S.FAILED, code="EXIT_OVERTAKEN", detail=detail)
    session.flush()
    row = ours or _new_row(seen)
    row.status, row.requested_by = S.WAITING, seen.name
    row.available_at = row.try_at = seen.available_at
    row.failure_code = row.failure_detail = row.ended_at = None
    session.add(row)
    session.flush()
    return (None if ours is None else ours.id), [row.id for row in overtaken]


def _asked_for(session: Session, seen: Seen) -> Exit | None:
    """By the order's nonce, whoever carried it: also one whose own transaction came too late."""
    if seen.nonce is None:
        return None
    statement = select(Exit).where(
        Exit.customer_id == seen.customer_id,
        Exit.currency == seen.currency,
        Exit.nonce == seen.nonce,
        Exit.recipient == seen.recipient,
        Exit.units == seen.units,
        col(Exit.requested_by).is_(None),
    )
    return session.exec(statement.with_for_update()).first()


def _new_row(seen: Seen) -> Exit:
    now = utc_now()
    return Exit(
        id=new_id("ext"),
        customer_id=seen.customer_id,
        account=seen.account,
        recipient=seen.recipient,
        currency=seen.currency,
        units=seen.units,
        try_at=now,
        created_at=now,
    )


def exit_ended(session: Session, *, name: str, customer_id: str, code: str, is_paid: bool) -> None:
    """Follow a payout or a change of mind on chain. Seen again after a fork, it changes nothing."""
    if session.exec(select(Exit.id).where(Exit.customer_id == customer_id, Exit.ended_by == name)).first():
        return
    live = live_exit(session, customer_id, code)
    if live is not None and live.status not in HELD:
        live.ended_by = name
        _end(session, live, S.PAID if is_paid else S.CANCELLED)


def overtake_exits(session: Session, exit_ids: Sequence[str]) -> None:
    """End exits asked for here whose money left by another way; their holds are the caller's to release."""
    for exit_id in sorted(exit_ids):
        row = session.get_one(Exit, exit_id, with_for_update=True)
        if row.status in HELD:
            _end(session, row, S.FAILED, code="EXIT_FUNDS_LEFT", detail="The owner took the money off the hub itself.")


def _end(
    session: Session, row: Exit, status: ExitStatus, *, code: str | None = None, detail: str | None = None
) -> None:
    row.status, row.ended_at = status, utc_now()
    row.failure_code, row.failure_detail = code, detail
    session.add(row)
    session.flush()
