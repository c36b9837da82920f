"""Who asks, and whether this very request was asked before: the dependencies of every route."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import AuthKeyInvalid, AuthKeyMissing, AuthScopeMissing, Principal
from chainwallet.entrypoints.rest.limits import FailedLogins
from chainwallet.entrypoints.rest.problems import (
    IDEMPOTENCY_HEADER,
    idempotency_key_invalid,
    idempotency_key_missing,
)
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import StrictRequest
from chainwallet.records.idempotency import KEY_PATTERN, Claim

_SECRET_MAX = 512


class Bearer(SecurityBase):
    """A bearer key with one scope. One object serves as the check and as its description in OpenAPI."""

    scheme_name = "bearerKey"
    model = BearerModel(description="An API key: `Authorization: Bearer cw_...`. Its scopes say what it may do.")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        return await self.direct(request)

    async def direct(self, request: Request) -> Principal:
        principal = await authenticate(request)
        principal.demand(self.scope)
        return principal


def require(scope: Scope) -> Bearer:
    """A dependency: the principal of a live key that has `scope`; AUTH_* problems otherwise.

    Use as `principal: Annotated[Principal, Depends(require(Scope.QUOTES))]`.
    """
    return Bearer(scope)


def demand_operator(principal: Principal) -> None:
    """AuthScopeMissing for a key that is bound to a customer: what is asked for holds everybody's payments."""
    if principal.customer_id is not None:
        raise AuthScopeMissing("This holds many customers' payments; only an operator's key may read it.")


async def authenticate(request: HTTPConnection) -> Principal:
    """The principal behind the Authorization header, whatever its scopes."""
    secret = bearer_secret(request)
    authenticator = services_of(request).authenticator
    known = authenticator.cached(secret)
    if known is not None:
        return known
    failures: FailedLogins = request.app.state.failed_logins
    client = request.client.host if request.client is not None else ""
    failures.check(client)
    try:
        return await run_in_threadpool(authenticator.authenticate, secret)
    except AuthKeyInvalid:
        failures.note(client)
        raise


def bearer_secret(request: HTTPConnection) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > _SECRET_MAX:
        raise AuthKeyMissing("Send your API key in the header Authorization: Bearer cw_...")
    return secret


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The caller's key for this request: `route` is the method and the path, `body_sha256` what was asked."""

    route: str
    key: str
    body_sha256: bytes

    def claim(
        self, principal: Principal, resource_id: str, *, status: int | None = None, body: str | None = None
    ) -> Claim:
        """The claim to make in the transaction of the effect."""
        return Claim(principal.tenant_id, self.route, self.key, self.body_sha256, resource_id, status, body)


_KEY_DESCRIPTION = (
    "Makes the request safe to send again: the same key with the same body has one effect and gets the first "
    "answer again. 1 to 255 visible ASCII characters, new for each request."
)
_RequiredKey = Annotated[str, Header(alias=IDEMPOTENCY_HEADER, pattern=KEY_PATTERN, description=_KEY_DESCRIPTION)]
_OptionalKey = Annotated[
    str | None, Header(alias=IDEMPOTENCY_HEADER, pattern=KEY_PATTERN, description=_KEY_DESCRIPTION)
]


async def idempotency(request: Request, key: _RequiredKey) -> Idempotency:
    """The dependency of every route that moves money; without the header IDEMPOTENCY_KEY_MISSING."""
    return _idempotency(request, key)


async def optional_idempotency(request: Request, key: _OptionalKey = None) -> Idempotency | None:
    """As `idempotency`, for routes where the header may be left out."""
    return None if key is None else _idempotency(request, key)


def _idempotency(request: Request, key: str) -> Idempotency:
    return Idempotency(f"{request.method} {request.scope['path']}", key, cast(StrictRequest, request).body_sha256())


async def _demand_idempotency(request: StrictRequest) -> Idempotency:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        raise idempotency_key_missing()
    if _KEY.fullmatch(key) is None:
        raise idempotency_key_invalid()
    return _idempotency(request, key)


_KEY = re.compile(KEY_PATTERN, re.ASCII)
idempotency.direct = _demand_idempotency  # type: ignore[attr-defined]  # see direct.py

Idempotent = Annotated[Idempotency, Depends(idempotency)]
MaybeIdempotent = Annotated[Idempotency | None, Depends(optional_idempotency)]
