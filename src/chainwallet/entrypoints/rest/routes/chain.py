"""The chain behind the accounts, and whether the books equal it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import demand_operator, require
from chainwallet.entrypoints.rest.models import timestamp
from chainwallet.entrypoints.rest.problems import problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import UNIT_DIGITS, currency
from chainwallet.reconciliation.breaks import open_breaks
from chainwallet.reconciliation.comparison import BooksKeepMoving, compare, record
from chainwallet.settlement.lanes import count_confirmed

router = new_router(tag="chain")

Reader = Annotated[Principal, Depends(require(Scope.READ))]


class ChainCurrencyOut(BaseModel):
    code: str
    id: int = Field(description="The currency's id in the hub: its ISO 4217 numeric code.")
    token: str
    decimals: int


class ChainOut(BaseModel):
    chain_id: int
    kind: str = Field(description="anvil, embedded or remote.")
    rpc_url: str | None
    hub: str
    transactions: int = Field(description="Transactions that this service has had confirmed.")
    currencies: list[ChainCurrencyOut]


class BreakOut(BaseModel):
    kind: str
    subject: str
    detail: str
    opened_at: str


class ReconciliationOut(BaseModel):
    status: str = Field(description="balanced or broken.")
    as_of_block: int
    positions: int = Field(description="How many positions were compared.")
    breaks: list[BreakOut]


@router.get("/v1/chain", response_model=ChainOut, summary="Where the money is")
def get_chain(request: Request, _: Reader) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        transactions = count_confirmed(session)
    return json_response(
        {
            "chain_id": services.node.chain_id,
            "kind": services.node.kind,
            "rpc_url": services.rpc_url,
            "hub": services.hub.address,
            "transactions": transactions,
            "currencies": [
                {"code": code, "id": currency(code).id, "token": token, "decimals": UNIT_DIGITS}
                for code, token in sorted(services.deployment.tokens.items())
            ],
        }
    )


@router.get(
    "/v1/reconciliation",
    response_model=ReconciliationOut,
    summary="Compare the books with the chain, now",
    responses=problem_responses(BooksKeepMoving),
)
def get_reconciliation(request: Request, principal: Reader) -> Response:
    """For operators: differences name everybody's accounts."""
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    comparison = compare(services.database, services.node, services.hub, services.deployment.tokens)
    with services.database.transaction() as session:
        record(session, comparison)
        breaks = open_breaks(session)
    return json_response(
        {
            "status": "broken" if breaks else "balanced",
            "as_of_block": comparison.as_of_block,
            "positions": comparison.positions,
            "breaks": [
                {"kind": b.kind, "subject": b.subject, "detail": b.detail, "opened_at": timestamp(b.opened_at)}
                for b in breaks
            ],
        }
    )
