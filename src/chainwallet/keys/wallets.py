"""The table of managed wallets. Every column is authenticated: none can change without the wallet refusing to open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, DateTime
from sqlmodel import Field, SQLModel

from chainwallet.keys.envelope import NONCE_BYTES, WRAPPED_BYTES, Envelope, identity_of

IMPORTED = "imported"  # the `path` of a key that came from elsewhere

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WalletRow(SQLModel, table=True):
    """One customer's wallet. One wallet per owner today; further ones need only the unique constraint to go."""

    __tablename__ = "keys_wallet"
    __table_args__ = (
        CheckConstraint(f"octet_length(wrapped_key) = {WRAPPED_BYTES}", name="wrapped_key_length"),
        CheckConstraint(f"octet_length(nonce) = {NONCE_BYTES}", name="nonce_length"),
    )

    id: str = Field(primary_key=True)
    owner_id: str = Field(unique=True)
    address: str = Field(unique=True)
    path: str
    kek_id: str = Field(index=True)
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes
    created_at: datetime = Field(sa_type=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Wallet:
    """A managed wallet as other rooms know it."""

    id: str
    owner_id: str
    address: str


def wallet_identity(*, wallet_id: str, owner_id: str, address: str, path: str, created_at: datetime) -> bytes:
    """The associated data of a wallet: all of its columns that are not part of the envelope."""
    micros = (created_at - _EPOCH) // timedelta(microseconds=1)
    return identity_of(wallet_id, owner_id, address, path, str(micros))


def row_identity(row: Any) -> bytes:
    return wallet_identity(
        wallet_id=row.id, owner_id=row.owner_id, address=row.address, path=row.path, created_at=row.created_at
    )


def row_envelope(row: Any) -> Envelope:
    return Envelope(row.kek_id, bytes(row.wrapped_key), bytes(row.nonce), bytes(row.ciphertext))
