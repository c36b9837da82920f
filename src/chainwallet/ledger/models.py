"""The ledger's four tables. Only this room writes them; others read through its verbs.

The checks here are the second guard: they hold even when the Python that decides is wrong.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

import chainwallet.kit.database  # noqa: F401  (names constraints; must come before the tables)


class AccountKind(StrEnum):
    """Whose claim an account counts: `hub` is the chain's side of deposits and exits, `clearing` a batch in flight.

    `exit` is what an owner has set aside on chain to leave with: no order can spend it.
    """

    CUSTOMER = "customer"
    EXIT = "exit"
    TREASURY = "treasury"
    CLEARING = "clearing"
    HUB = "hub"


MAY_GO_NEGATIVE = frozenset({AccountKind.CLEARING, AccountKind.HUB})
NONCE_MAX = 2**63 - 1  # of a bigint; the hub's uint64 goes further, and whoever goes there can pay no more


class HoldStatus(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"


def _sealed() -> CheckConstraint:
    return CheckConstraint("octet_length(seal) = 32", name="seal")


class Account(SQLModel, table=True):
    """A claim in one currency. `posted_units` and `held_units` are running figures; `seal` is its last posting's.

    Of a `frozen` one nothing new is held: its position on chain is not what the books say.

    Orders with `cancelled_nonce` or a lower one never settle: the owner said so on chain. `last_nonce` was given last.
    """

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("owner_id", "currency", "kind", name="uq_account_key"),
        CheckConstraint("kind IN ('customer', 'exit', 'treasury', 'clearing', 'hub')", name="kind"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("held_units >= 0", name="held_not_negative"),
        CheckConstraint("kind IN ('clearing', 'hub') OR posted_units >= held_units", name="available_not_negative"),
        CheckConstraint("last_nonce >= 0", name="nonce_not_negative"),
        Index("ix_account_frozen", "id", postgresql_where=text("frozen")),
        CheckConstraint("cancelled_nonce BETWEEN 0 AND last_nonce", name="cancelled_nonce_was_passed"),
        _sealed(),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    owner_id: str = Field(sa_column=Column(Text, nullable=False))
    currency: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    posted_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    held_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    last_nonce: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    cancelled_nonce: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    frozen: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    seal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class JournalEntry(SQLModel, table=True):
    """Something that happened, once: (kind, reference) is unique."""

    __tablename__ = "journal_entry"
    __table_args__ = (
        UniqueConstraint("reference", "kind", name="uq_journal_entry_once"),
        CheckConstraint("kind ~ '^[a-z_]{1,32}$'", name="kind"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    reference: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class Posting(SQLModel, table=True):
    """One account's part of an entry; positive raises its owner's claim. `balance_units` is the account's after it."""

    __tablename__ = "posting"
    __table_args__ = (
        CheckConstraint("units <> 0", name="units_not_zero"),
        Index("ix_posting_account", "account_id", "entry_id"),
        _sealed(),
    )

    entry_id: int = Field(sa_column=Column(BigInteger, ForeignKey("journal_entry.id"), primary_key=True))
    account_id: int = Field(sa_column=Column(BigInteger, ForeignKey("account.id"), primary_key=True))
    units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    balance_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    seal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Hold(SQLModel, table=True):
    """Units of an account set aside under a reference until they are captured by an entry or released."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("units > 0", name="units_positive"),
        CheckConstraint("status IN ('open', 'captured', 'released')", name="status"),
        CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed_when_not_open"),
        CheckConstraint("(status = 'captured') = (entry_id IS NOT NULL)", name="entry_when_captured"),
        CheckConstraint("nonce > 0", name="nonce_positive"),
        Index("ix_hold_open", "account_id", postgresql_where=text("status = 'open'")),
        Index("uq_hold_nonce", "account_id", "nonce", unique=True, postgresql_where=text("nonce IS NOT NULL")),
        _sealed(),
    )

    reference: str = Field(sa_column=Column(Text, primary_key=True))
    account_id: int = Field(sa_column=Column(BigInteger, ForeignKey("account.id"), primary_key=True))
    units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    nonce: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    status: str = Field(default=HoldStatus.OPEN, sa_column=Column(Text, nullable=False))
    placed_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    entry_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("journal_entry.id"), nullable=True)
    )
    seal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
