"""Idempotency keys: the same request sent twice has one effect and two equal answers.

A claim is inserted in the transaction of its effect, so there is never a claimed key without its
effect, nor an effect whose key another request can claim. Two transactions that claim the same key
at the same time meet at the primary key: the second waits for the first, then sees what it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CheckConstraint, Column, DateTime, LargeBinary, SmallInteger, Text
from sqlmodel import Field, Session, SQLModel

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Query, ask, insert_query
from chainwallet.kit.errors import ChainwalletError

KEY_PATTERN = "^[!-~]{1,255}$"


class IdempotencyKeyMissing(ChainwalletError):
    code = "IDEMPOTENCY_KEY_MISSING"
    status = 400


class IdempotencyKeyInvalid(ChainwalletError):
    code = "IDEMPOTENCY_KEY_INVALID"
    status = 400


class IdempotencyKeyReused(ChainwalletError):
    code = "IDEMPOTENCY_KEY_REUSED"
    status = 409


class IdempotencyRace(ChainwalletError):
    code = "IDEMPOTENCY_RACE"
    status = 503
    retryable = True


class IdempotencyKey(SQLModel, table=True):
    """One key of one tenant on one route. `body` is the answer's exact text, so that a replay is byte-equal."""

    __tablename__ = "idempotency_key"
    __table_args__ = (CheckConstraint("octet_length(body_sha256) = 32", name="body_sha256_length"),)

    tenant_id: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=255)
    body_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    resource_id: str
    status: int | None = Field(default=None, sa_column=Column(SmallInteger, nullable=True))
    body: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))


Identity = tuple[str, str, str]
"""A key's tenant, route and key."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request to be the one that has the effect. `tenant_id` outlives a key rotation: see Principal.

    `status` and `body` may be given at once where the answer is known before the effect: that saves
    the second write of `complete`.
    """

    tenant_id: str
    route: str
    key: str
    body_sha256: bytes
    resource_id: str
    status: int | None = None
    body: str | None = None

    @property
    def identity(self) -> Identity:
        return (self.tenant_id, self.route, self.key)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nobody had this key: have the effect now, in this transaction (or `release` it)."""


@dataclass(frozen=True, slots=True)
class Replay:
    """This request has had its effect: answer with `status` and `body`; `resource_id` is what it made."""

    status: int | None
    body: str | None
    resource_id: str


@dataclass(frozen=True, slots=True)
class Follows:
    """The same request as `claims[index]` of the same call, which is Fresh: share that one's outcome."""

    index: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key was used for another body."""

    def error(self) -> IdempotencyKeyReused:
        return IdempotencyKeyReused(
            "This Idempotency-Key was already used on this path with a different body. "
            "Send a new key for a new request, or the same body to get the first answer again."
        )


Verdict = Fresh | Replay | Follows | Conflict


def claim(session: Session, claims: Sequence[Claim]) -> list[Verdict]:
    """One verdict per claim, in order; two statements whatever their number."""
    return judge(session, claims, ask(session, claims_query(claims)))


def claims_query(claims: Sequence[Claim]) -> Query[frozenset[Identity]]:
    """Claim keys, and learn which of them nobody had; `judge` says what that means for each.

    Waits for other transactions that hold one of the keys. Keys are taken in sorted order, so that
    two groups with common keys cannot deadlock: ask this once per transaction.
    """
    now = utc_now()
    rows = [
        {
            "tenant_id": one.tenant_id,
            "route": one.route,
            "key": one.key,
            "body_sha256": one.body_sha256,
            "resource_id": one.resource_id,
            "status": one.status,
            "body": one.body,
            "created_at": now,
        }
        for one in (claims[first] for _, first in sorted(_firsts(claims).items()))
    ]
    inserting = insert_query(IdempotencyKey, rows, suffix="ON CONFLICT DO NOTHING RETURNING tenant_id, route, key")
    return Query(inserting.sql, inserting.parameters, lambda found: frozenset(map(tuple, found)))


def judge(session: Session, claims: Sequence[Claim], won: frozenset[Identity]) -> list[Verdict]:
    """One verdict per claim, in order, once `claims_query` has told which keys were won. One statement for the rest."""
    firsts = _firsts(claims)
    mine, seen = _won_or_seen(session, {identity: claims[first] for identity, first in firsts.items()}, won)
    verdicts: list[Verdict] = []
    for index, one in enumerate(claims):
        first = firsts[one.identity]
        if one.identity not in mine:
            body_sha256, replay = seen[one.identity]
            verdicts.append(replay if body_sha256 == one.body_sha256 else Conflict())
        elif index == first:
            verdicts.append(Fresh())
        else:
            verdicts.append(Follows(first) if claims[first].body_sha256 == one.body_sha256 else Conflict())
    return verdicts


def complete(session: Session, answers: Sequence[tuple[Claim, int, str]]) -> None:
    """Store (status, body) for fresh claims whose answer was not known when they were made."""
    if not answers:
        return
    # Arrays travel in binary (%b): as text, each quotation mark of a body is escaped, at 30 times the cost.
    session.connection().exec_driver_sql(
        "UPDATE idempotency_key k SET status = u.status, body = u.body"
        " FROM unnest(%(tenants)b::text[], %(routes)b::text[], %(keys)b::text[],"
        " %(statuses)b::smallint[], %(bodies)b::text[]) AS u(tenant_id, route, key, status, body)"
        " WHERE k.tenant_id = u.tenant_id AND k.route = u.route AND k.key = u.key",
        _identities([one for one, _, _ in answers])
        | {"statuses": [status for _, status, _ in answers], "bodies": [body for _, _, body in answers]},
    )


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give up fresh claims whose effect was refused, in the same transaction: the key is free again."""
    if not claims:
        return
    session.connection().exec_driver_sql(
        "DELETE FROM idempotency_key k USING unnest(%(tenants)b::text[], %(routes)b::text[], %(keys)b::text[])"
        " AS u(tenant_id, route, key) WHERE k.tenant_id = u.tenant_id AND k.route = u.route AND k.key = u.key",
        _identities(claims),
    )


def purge(session: Session, *, before: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` keys older than `before`; how many were forgotten."""
    found = session.connection().exec_driver_sql(
        "DELETE FROM idempotency_key WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM idempotency_key WHERE created_at < %(before)s LIMIT %(limit)s))",
        {"before": before, "limit": limit},
    )
    return found.rowcount


def _firsts(claims: Sequence[Claim]) -> dict[Identity, int]:
    """Of each key, the first claim's index."""
    found: dict[Identity, int] = {}
    for index, one in enumerate(claims):
        found.setdefault(one.identity, index)
    return found


def _won_or_seen(
    session: Session, wanted: Mapping[Identity, Claim], won: frozenset[Identity]
) -> tuple[frozenset[Identity], dict[Identity, tuple[bytes, Replay]]]:
    seen: dict[Identity, tuple[bytes, Replay]] = {}
    lost = [one for identity, one in wanted.items() if identity not in won]
    for _ in range(3):  # a row that is purged between claiming and looking makes a second round necessary
        seen |= _find(session, lost)
        gone = [one for one in lost if one.identity not in seen]
        if not gone:
            return won, seen
        found: frozenset[Identity] = ask(session, claims_query(gone))
        won |= found
        lost = [one for one in gone if one.identity not in won]
    raise IdempotencyRace("The Idempotency-Key was being cleaned up while it was used; send the request again.")


def _find(session: Session, claims: Sequence[Claim]) -> dict[Identity, tuple[bytes, Replay]]:
    if not claims:
        return {}
    rows = session.connection().exec_driver_sql(
        "SELECT k.tenant_id, k.route, k.key, k.body_sha256, k.status, k.body, k.resource_id FROM idempotency_key k"
        " JOIN unnest(%(tenants)b::text[], %(routes)b::text[], %(keys)b::text[]) AS u(tenant_id, route, key)"
        " ON k.tenant_id = u.tenant_id AND k.route = u.route AND k.key = u.key",
        _identities(claims),
    )
    return {(row[0], row[1], row[2]): (bytes(row[3]), Replay(row[4], row[5], row[6])) for row in rows}


def _identities(claims: Sequence[Claim]) -> dict[str, list[object]]:
    return {
        "tenants": [one.tenant_id for one in claims],
        "routes": [one.route for one in claims],
        "keys": [one.key for one in claims],
    }
