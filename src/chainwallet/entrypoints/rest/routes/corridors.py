"""Corridors: the rules and terms in force, and their revisions. For operators."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.corridors.document import CorridorData, CorridorsData, RiskData
from chainwallet.controls.corridors.store import (
    CorridorRevisionUnknown,
    CorridorsChanged,
    Stored,
    read_corridors,
    store_corridors,
)
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import demand_operator, require
from chainwallet.entrypoints.rest.models import Text, timestamp
from chainwallet.entrypoints.rest.problems import problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router

router = new_router(tag="corridors")

Operator = Annotated[Principal, Depends(require(Scope.ADMIN))]


class CorridorsIn(CorridorsData):
    """All corridors as they shall be from now on; what is not in it is not there any more."""

    based_on: Annotated[int, Field(strict=True, ge=0, le=2**62, description="The revision that these replace.")]
    note: Text = Field(description="Why: kept with the revision and in the audit log.")

    def data(self) -> CorridorsData:
        return CorridorsData(corridors=self.corridors, risk=self.risk)


class CorridorsOut(BaseModel):
    """One revision. Number 0 is what ships, and in force until another is stored."""

    model_config = ConfigDict(title="Corridors")

    revision: int
    corridors: list[CorridorData]
    risk: RiskData
    note: str | None
    created_by: str | None
    created_at: str | None


@router.get(
    "/v1/corridors",
    response_model=CorridorsOut,
    summary="The corridors in force, or those of an earlier revision",
    responses=problem_responses(CorridorRevisionUnknown),
)
def get_corridors(
    request: Request, principal: Operator, revision: Annotated[int | None, Query(ge=0, le=2**62)] = None
) -> Response:
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        return json_response(_show(read_corridors(session, revision)))


@router.put(
    "/v1/corridors",
    response_model=CorridorsOut,
    summary="Store corridors as the next revision",
    responses=problem_responses(CorridorsChanged),
)
def put_corridors(body: CorridorsIn, request: Request, principal: Operator) -> Response:
    """In force at once in this process and within a second in every other; quotes given before keep their price.

    Sent twice it is stored once.
    """
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        stored = store_corridors(session, body.data(), based_on=body.based_on, note=body.note, actor=principal.key_id)
    services.market_changed()
    return json_response(_show(stored))


def _show(stored: Stored) -> dict[str, Any]:
    return {
        "revision": stored.revision,
        **stored.data.model_dump(mode="json"),
        "note": stored.note,
        "created_by": stored.created_by,
        "created_at": timestamp(stored.created_at) if stored.created_at is not None else None,
    }
