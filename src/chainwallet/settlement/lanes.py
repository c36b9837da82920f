"""Nonce lanes: transactions are numbered, signed and stored before any of them is sent.

The stored bytes are the truth: they are sent, and sent again after a crash, a drop or a reorg, and
never signed anew under the same nonce except to replace them with a higher fee, which is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, LargeBinary, Numeric, Text, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel

from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import Signer
from chainwallet.keys.transactions import access_list_of
from chainwallet.kit.clock import utc_now

GAS_FILLER = 21_000  # what a transaction without data uses


class TxKind(StrEnum):
    MINT = "mint"
    DEPOSIT = "deposit"
    SETTLE = "settle"
    EXIT_REQUEST = "exit_request"
    EXIT = "exit"
    ANCHOR = "anchor"
    FILLER = "filler"  # does nothing: keeps a nonce's place after what it was for has gone on without it


class TxStatus(StrEnum):
    SIGNED = "signed"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REVERTED = "reverted"
    REPLACED = "replaced"


class Lane(SQLModel, table=True):
    """The next nonce of a sending account on the pinned chain."""

    __tablename__ = "lane"

    sender: str = Field(primary_key=True)
    next_nonce: int = Field(sa_column=Column(BigInteger, nullable=False))


class ChainTx(SQLModel, table=True):
    """A signed transaction: its bytes, what it is for, and how far it got."""

    __tablename__ = "chain_tx"
    __table_args__ = (
        UniqueConstraint("sender", "nonce", "tx_hash", name="uq_chain_tx_nonce"),
        Index("uq_chain_tx_live_nonce", "sender", "nonce", unique=True, postgresql_where=text("status <> 'replaced'")),
        Index("ix_chain_tx_open", "nonce", postgresql_where=text("status IN ('signed', 'sent')")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    sender: str
    nonce: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: str
    reference: str = Field(index=True)
    tx_hash: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    gas: int = Field(sa_column=Column(BigInteger, nullable=False))
    max_fee_wei: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    max_priority_wei: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    to: str
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: str = TxStatus.SIGNED
    block_number: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    gas_used: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    sent_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


@dataclass(frozen=True, slots=True)
class Call:
    """A contract call to be sent: `data` to `to` with at most `gas`, for `reference` of `kind`.

    `slots` of the called contract are named in the transaction's access list (EIP-2930).
    """

    kind: TxKind
    reference: str
    to: str
    data: bytes
    gas: int
    slots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction offers per gas, in wei."""

    max_fee_wei: int
    max_priority_wei: int


def open_lane(session: Session, sender: str, *, nonce: int) -> None:
    """Make sure that the sender has a lane, which starts at the chain's `nonce` and never goes back."""
    session.connection().exec_driver_sql(
        """INSERT INTO lane (sender, next_nonce) VALUES (%(sender)s, %(nonce)s)
           ON CONFLICT (sender) DO UPDATE SET next_nonce = greatest(lane.next_nonce, excluded.next_nonce)""",
        {"sender": sender, "nonce": nonce},
    )


def store_calls(session: Session, calls: Sequence[Call], *, signer: Signer, chain_id: int, fees: Fees) -> list[ChainTx]:
    """Number, sign and store the calls, in order; they are sent after the transaction commits."""
    numbered = session.connection().exec_driver_sql(
        "UPDATE lane SET next_nonce = next_nonce + %(count)s WHERE sender = %(sender)s RETURNING next_nonce",
        {"count": len(calls), "sender": signer.address},
    )
    first = numbered.scalar_one() - len(calls)
    rows = [
        _sign(call, signer=signer, chain_id=chain_id, nonce=first + offset, fees=fees)
        for offset, call in enumerate(calls)
    ]
    session.add_all(rows)
    session.flush()
    return rows


def _sign(call: Call, *, signer: Signer, chain_id: int, nonce: int, fees: Fees) -> ChainTx:
    signed = signer.sign_transaction(
        Transaction(
            chain_id=chain_id,
            nonce=nonce,
            to=call.to,
            data=call.data,
            gas=call.gas,
            max_fee_wei=fees.max_fee_wei,
            max_priority_wei=fees.max_priority_wei,
            access_list=((call.to, call.slots),) if call.slots else (),
        )
    )
    return ChainTx(
        sender=signer.address,
        nonce=nonce,
        kind=call.kind,
        reference=call.reference,
        tx_hash=signed.hash,
        raw=signed.raw,
        gas=call.gas,
        max_fee_wei=fees.max_fee_wei,
        max_priority_wei=fees.max_priority_wei,
        to=call.to,
        data=call.data,
        created_at=utc_now(),
    )


def fill_gap(session: Session, *, below: int, down_to: int, signer: Signer, chain_id: int, fees: Fees) -> int:
    """Store fillers for the nonces from `down_to` up to `below` that nothing of ours has; how many.

    Nonces above one that nobody uses are never mined. One is missed where a node told a nonce too high when the lane
    was opened, or where a fork deeper than finality undid what somebody else had sent.
    """
    taken = session.connection().exec_driver_sql(
        """SELECT nonce FROM chain_tx WHERE sender = %(sender)s AND nonce >= %(low)s AND nonce < %(high)s
             AND status <> 'replaced'""",
        {"sender": signer.address, "low": down_to, "high": below},
    )
    missing = sorted(set(range(down_to, below)) - set(taken.scalars()))
    for nonce in missing:
        call = Call(TxKind.FILLER, f"gap {nonce}", signer.address, b"", GAS_FILLER)
        session.add(_sign(call, signer=signer, chain_id=chain_id, nonce=nonce, fees=fees))
    session.flush()
    return len(missing)


def replace(session: Session, tx_id: int, *, signer: Signer, chain_id: int, fees: Fees) -> OpenTx:
    """The same call under the same nonce with higher fees; the old row stays, marked replaced.

    A filler's call is to do nothing, whatever the row that it replaces did.
    """
    tx = session.get_one(ChainTx, tx_id)
    tx.status = TxStatus.REPLACED
    session.add(tx)
    session.flush()
    slots = tuple(slot for _, listed in access_list_of(bytes(tx.raw)) for slot in listed)
    call = Call(TxKind(tx.kind), tx.reference, tx.to, bytes(tx.data), tx.gas, slots)
    if call.kind == TxKind.FILLER:
        call = Call(TxKind.FILLER, tx.reference, signer.address, b"", GAS_FILLER)
    row = _sign(call, signer=signer, chain_id=chain_id, nonce=tx.nonce, fees=fees)
    session.add(row)
    session.flush()
    found = session.connection().exec_driver_sql(f"{_OPEN} WHERE id = %(id)s", {"id": row.id})
    return _open(found.one())


@dataclass(frozen=True, slots=True)
class OpenTx:
    """What following a transaction takes; its bytes, which may be many, are read when they are sent."""

    id: int
    nonce: int
    kind: str
    reference: str
    tx_hash: str
    max_fee_wei: int
    max_priority_wei: int
    has_data: bool
    status: str
    created_at: datetime
    sent_at: datetime | None


_OPEN = """
SELECT id, nonce, kind, reference, tx_hash, max_fee_wei::text, max_priority_wei::text, length(data) > 0, status,
       created_at, sent_at
FROM chain_tx
"""


def _open(row: Any) -> OpenTx:
    tx_id, nonce, kind, reference, tx_hash, max_fee, max_priority, has_data, status, created_at, sent_at = row
    fees = int(max_fee), int(max_priority)
    return OpenTx(tx_id, nonce, kind, reference, tx_hash, *fees, has_data, status, created_at, sent_at)


def open_transactions(session: Session, sender: str) -> list[OpenTx]:
    """Transactions that are signed or sent and not yet confirmed, by nonce."""
    rows = session.connection().exec_driver_sql(
        f"{_OPEN} WHERE sender = %(sender)s AND status IN ('signed', 'sent') ORDER BY nonce", {"sender": sender}
    )
    return [_open(row) for row in rows]


def open_hashes(session: Session, sender: str, kind: TxKind) -> list[str]:
    """The hashes of the transactions of a kind that are signed or sent and not yet confirmed."""
    rows = session.connection().exec_driver_sql(
        """SELECT tx_hash FROM chain_tx
           WHERE sender = %(sender)s AND kind = %(kind)s AND status IN ('signed', 'sent')""",
        {"sender": sender, "kind": kind},
    )
    return [tx_hash for (tx_hash,) in rows]


def signed_bytes(session: Session, tx_id: int) -> bytes:
    """The stored transaction, as it is sent."""
    found = session.connection().exec_driver_sql("SELECT raw FROM chain_tx WHERE id = %(id)s", {"id": tx_id})
    return bytes(found.scalar_one())


def has_open(session: Session, sender: str, *, created_before: datetime) -> bool:
    """Whether a transaction that is this old is not final yet; one that was replaced is as old as its first version."""
    row = session.connection().exec_driver_sql(
        """SELECT 1 FROM chain_tx t WHERE sender = %(sender)s AND status IN ('signed', 'sent') AND EXISTS (
             SELECT 1 FROM chain_tx v WHERE v.sender = t.sender AND v.nonce = t.nonce AND v.created_at < %(before)s
           ) LIMIT 1""",
        {"sender": sender, "before": created_before},
    )
    return row.first() is not None


def replaced_versions(session: Session, sender: str, nonces: Sequence[int]) -> dict[int, list[OpenTx]]:
    """The transactions that were replaced under these nonces, newest first: any of them may still be mined."""
    if not nonces:
        return {}
    rows = session.connection().exec_driver_sql(
        f"""{_OPEN} WHERE sender = %(sender)s AND nonce = ANY(%(nonces)s::bigint[]) AND status = 'replaced'
            ORDER BY id DESC""",
        {"sender": sender, "nonces": "{" + ",".join(map(str, nonces)) + "}"},
    )
    versions: dict[int, list[OpenTx]] = {}
    for row in rows:
        versions.setdefault(row[1], []).append(_open(row))
    return versions


def mark(
    session: Session, tx_id: int, status: TxStatus, *, block_number: int | None = None, gas_used: int | None = None
) -> None:
    """Record how far a transaction got."""
    session.connection().exec_driver_sql(
        """UPDATE chain_tx SET status = %(status)s::text,
               sent_at = CASE WHEN %(status)s::text = 'sent' THEN now() ELSE sent_at END,
               block_number = coalesce(%(block)s::bigint, block_number), gas_used = coalesce(%(gas)s::bigint, gas_used)
           WHERE id = %(id)s""",
        {"status": status, "block": block_number, "gas": gas_used, "id": tx_id},
    )


def supersede(session: Session, loser_id: int) -> None:
    """Another version of this nonce was mined: this one never will be."""
    session.connection().exec_driver_sql(
        "UPDATE chain_tx SET status = 'replaced' WHERE id = %(id)s AND status <> 'replaced'", {"id": loser_id}
    )


def reopen_from(session: Session, block_number: int) -> None:
    """Transactions mined at or after this block are open again: a fork undid it, and their bytes go out again.

    So do those of every transaction that is under way, at once: the fork may have undone them before anyone saw
    them mined. What a reverted one was for has gone on without it, so it must not succeed now: a filler takes its
    nonce.
    """
    session.connection().exec_driver_sql(
        """UPDATE chain_tx SET sent_at = to_timestamp(0), block_number = NULL, gas_used = NULL,
               kind = CASE WHEN status = 'reverted' THEN 'filler' ELSE kind END,
               status = CASE WHEN status = 'reverted' THEN 'signed' ELSE 'sent' END
           WHERE block_number >= %(block)s AND status IN ('confirmed', 'reverted') OR status = 'sent'""",
        {"block": block_number},
    )


def count_confirmed(session: Session) -> int:
    """How many transactions are confirmed."""
    return int(
        session.connection().exec_driver_sql("SELECT count(*) FROM chain_tx WHERE status = 'confirmed'").scalar_one()
    )
