"""API keys: making them, listing them, revoking them. For administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from chainwallet.controls.identity.api_keys import (
    ApiKey,
    ApiKeyScopeNotAllowed,
    ApiKeyUnknown,
    Scope,
    create_api_key,
    list_api_keys,
    revoke_api_key,
)
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.entrypoints.rest.auth import require
from chainwallet.entrypoints.rest.models import Id, StrictModel, Text, timestamp
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import new_router

router: APIRouter = new_router(tag="api keys")

_Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]


class ApiKeyIn(StrictModel):
    """What the key is for and what it may do. With `customer_id` it acts for that customer (or that bank's) only."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "payments service", "scopes": ["quotes", "transfers", "read"]}]}
    )

    name: Text
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    customer_id: Id | None = None


class ApiKeyOut(BaseModel):
    """A key without its secret; `prefix` is how the secret starts."""

    model_config = ConfigDict(title="ApiKey")

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    customer_id: str | None
    created_at: datetime
    revoked_at: datetime | None


class NewApiKeyOut(ApiKeyOut):
    """A new key. `secret` is shown this once."""

    model_config = ConfigDict(title="NewApiKey")

    secret: str


class ApiKeyList(BaseModel):
    items: list[ApiKeyOut]
    next_cursor: str | None


def show(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "customer_id": key.customer_id,
        "created_at": timestamp(key.created_at),
        "revoked_at": None if key.revoked_at is None else timestamp(key.revoked_at),
    }


@router.post(
    "/v1/api-keys",
    status_code=201,
    response_model=NewApiKeyOut,
    summary="Make an API key",
    responses=problem_responses(ApiKeyScopeNotAllowed, CustomerUnknown),
)
def post_api_key(request: Request, wanted: ApiKeyIn, principal: _Admin) -> Response:
    """The secret is in this answer and nowhere else: keep it."""
    with services_of(request).database.transaction() as session:
        key, secret = create_api_key(
            session,
            name=wanted.name,
            scopes=wanted.scopes,
            customer_id=wanted.customer_id,
            actor=principal.key_id,
        )
        return json_response(show(key) | {"secret": secret}, 201)


@router.get(
    "/v1/api-keys",
    response_model=ApiKeyList,
    summary="List API keys",
    dependencies=[Depends(require(Scope.ADMIN))],
    responses=problem_responses(CursorInvalid),
)
def get_api_keys(request: Request, page: Paged) -> Response:
    """All keys, the revoked ones too. The operator's own key, which comes from the settings, is not among them."""
    with services_of(request).database.transaction() as session:
        rows = list_api_keys(session, after=page.after, limit=page.fetch)
    return json_response(page.render(rows, show, lambda row: row.id))


@router.delete(
    "/v1/api-keys/{key_id}",
    status_code=204,
    summary="Revoke an API key",
    responses=problem_responses(ApiKeyUnknown),
)
def delete_api_key(request: Request, key_id: str, principal: _Admin) -> Response:
    """The key stops working at once in this process, and within five seconds in every other one."""
    services = services_of(request)
    with services.database.transaction() as session:
        revoke_api_key(session, key_id, actor=principal.key_id)
    services.authenticator.forget(key_id)
    return Response(status_code=204)
