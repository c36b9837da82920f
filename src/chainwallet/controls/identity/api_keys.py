"""API keys: a random secret shown once, its hash, what it may do and for whom."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.controls.identity.customers import find_customer
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.records import audit

SECRET_PREFIX = "cw_"
_SECRET = re.compile(r"cw_[A-Za-z0-9_-]{43}", re.ASCII)
PREFIX_SHOWN = 10


class Scope(StrEnum):
    """What a key may do. `admin` also manages keys and freezes customers; it does not imply the others."""

    ADMIN = "admin"
    CUSTOMERS = "customers"
    DEPOSITS = "deposits"
    QUOTES = "quotes"
    TRANSFERS = "transfers"
    EXITS = "exits"
    MAKER = "maker"
    READ = "read"
    WEBHOOKS = "webhooks"
    PAYMENT_FILES = "payment_files"


class ApiKeyUnknown(ChainwalletError):
    code = "API_KEY_UNKNOWN"
    status = 404


class ApiKeyScopeNotAllowed(ChainwalletError):
    code = "API_KEY_SCOPE_NOT_ALLOWED"
    status = 403


class ApiKey(SQLModel, table=True):
    """A key that may act within `scopes`; with `customer_id`, only for that customer (or that bank's customers)."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("octet_length(secret_sha256) = 32", name="secret_sha256_length"),)

    id: str = Field(primary_key=True)
    secret_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    prefix: str
    name: str
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    customer_id: str | None = Field(default=None, foreign_key="customer.id", index=True)
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def new_secret() -> str:
    """`cw_` and 32 random bytes: what the caller must keep, since only its hash stays here."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def is_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None


def digest(secret: str) -> bytes:
    """SHA-256 is enough: 256 random bits cannot be guessed, so a slow hash would only slow us down."""
    return hashlib.sha256(secret.encode()).digest()


def create_api_key(
    session: Session, *, name: str, scopes: Sequence[Scope], customer_id: str | None, actor: str
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not stored and cannot be shown again.

    A key that is bound to a customer cannot hold `admin` (ApiKeyScopeNotAllowed); CustomerUnknown if
    there is no such customer.
    """
    if customer_id is not None:
        find_customer(session, customer_id)
        if Scope.ADMIN in scopes:
            raise ApiKeyScopeNotAllowed("A key that is bound to a customer cannot have the scope admin; leave it out.")
    secret = new_secret()
    key = ApiKey(
        id=new_id("key"),
        secret_sha256=digest(secret),
        prefix=secret[:PREFIX_SHOWN],
        name=name,
        scopes=sorted({str(scope) for scope in scopes}),
        customer_id=customer_id,
        created_at=utc_now(),
    )
    session.add(key)
    session.flush()
    detail = {"name": name, "scopes": " ".join(key.scopes), "customer_id": customer_id}
    audit.record(session, actor=actor, action="api_key.created", subject=key.id, detail=detail)
    return key, secret


def revoke_api_key(session: Session, key_id: str, *, actor: str) -> ApiKey:
    """End a key; doing it twice is no error. ApiKeyUnknown if there is none."""
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None:
        raise ApiKeyUnknown("There is no such API key; list them with GET /v1/api-keys.")
    if key.revoked_at is None:
        key.revoked_at = utc_now()
        session.flush()
        audit.record(session, actor=actor, action="api_key.revoked", subject=key.id, detail={"name": key.name})
    return key


def list_api_keys(session: Session, *, after: str | None, limit: int) -> list[ApiKey]:
    query = select(ApiKey).order_by(col(ApiKey.id)).limit(limit)
    if after is not None:
        query = query.where(ApiKey.id > after)
    return list(session.exec(query))


def find_live_key(session: Session, secret_sha256: bytes) -> ApiKey | None:
    return session.exec(
        select(ApiKey).where(ApiKey.secret_sha256 == secret_sha256, col(ApiKey.revoked_at).is_(None))
    ).first()
