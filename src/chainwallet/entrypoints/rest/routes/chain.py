"""The chain behind the accounts, and whether the books equal it."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.access import visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.entrypoints.rest.auth import demand_operator, require
from chainwallet.entrypoints.rest.models import StrictModel, Text, timestamp
from chainwallet.entrypoints.rest.problems import problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.clock import utc_now
from chainwallet.kit.money import UNIT_DIGITS, currency
from chainwallet.ledger import frozen_accounts
from chainwallet.reconciliation.breaks import (
    Break,
    BreakClosesByItself,
    BreakUnknown,
    assign_break,
    close_break,
    open_breaks,
)
from chainwallet.reconciliation.comparison import BooksKeepMoving, compare, record
from chainwallet.reconciliation.reserves import ReservesNotAnchored, proof_for
from chainwallet.records import audit
from chainwallet.settlement.lanes import count_confirmed

router = new_router(tag="chain")

Reader = Annotated[Principal, Depends(require(Scope.READ))]
Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]
BreakId = Annotated[int, Path(ge=1, le=2**63 - 1)]


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
    """A case: what differs, since when, who looks after it, and why it came to be, where that is known."""

    id: int
    kind: str
    subject: str
    detail: str
    opened_at: str
    age_s: int
    assignee: str | None
    cause: str | None
    closed_at: str | None


class AssignIn(StrictModel):
    assignee: Text = Field(description="Who looks after it: a name or a team of yours.")
    cause: Text | None = None


class CloseIn(StrictModel):
    cause: Text = Field(description="Why it came to be, and why it is none.")


class ReconciliationOut(BaseModel):
    status: str = Field(description="balanced or broken.")
    as_of_block: int
    positions: int = Field(description="How many positions were compared.")
    breaks: list[BreakOut]
    frozen: list[str] = Field(description="Accounts, as owner/currency, of which nothing new is held meanwhile.")


class SumOut(BaseModel):
    hash: str
    units: str = Field(description="Non-negative, in millionths of the currency unit.")


class CurrencyTotalOut(SumOut):
    """The tree of a currency's claims: its top, and how many leaves it has."""

    currency: str
    leaves: int


class ClaimOut(BaseModel):
    """A leaf, and the siblings on its way to the top, from below."""

    currency: str
    units: str
    salt: str
    place: int
    siblings: list[SumOut]


class ProofOut(BaseModel):
    """That an account's claims are counted in what was anchored; docs/reserves.md has the encoding."""

    version: int
    chain_id: int
    hub: str
    anchor: str
    block_number: int
    block_hash: str
    period: int = Field(description="Unix second of the block, under which the root is anchored.")
    root: str
    currencies: list[CurrencyTotalOut]
    account: str
    positions: list[ClaimOut]


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
        breaks, frozen = open_breaks(session), frozen_accounts(session)
    return json_response(
        {
            "status": "broken" if breaks else "balanced",
            "as_of_block": comparison.as_of_block,
            "positions": comparison.positions,
            "breaks": [show_break(one) for one in breaks],
            "frozen": [f"{key.owner_id}/{key.currency}" for key in frozen],
        }
    )


def show_break(case: Break) -> dict[str, Any]:
    return {
        "id": case.id,
        "kind": case.kind,
        "subject": case.subject,
        "detail": case.detail,
        "opened_at": timestamp(case.opened_at),
        "age_s": int(((case.closed_at or utc_now()) - case.opened_at).total_seconds()),
        "assignee": case.assignee,
        "cause": case.cause,
        "closed_at": None if case.closed_at is None else timestamp(case.closed_at),
    }


@router.post(
    "/v1/reconciliation/breaks/{break_id}/assign",
    response_model=BreakOut,
    summary="Say who looks after a break, and why it is",
    responses=problem_responses(BreakUnknown),
)
def assign(break_id: BreakId, body: AssignIn, request: Request, principal: Admin) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        case = assign_break(session, break_id, assignee=body.assignee, cause=body.cause)
        detail = {"assignee": body.assignee, "cause": body.cause}
        audit.record(session, actor=principal.key_id, action="break.assigned", subject=str(break_id), detail=detail)
        return json_response(show_break(case))


@router.post(
    "/v1/reconciliation/breaks/{break_id}/close",
    response_model=BreakOut,
    summary="Close a break that is explained",
    responses=problem_responses(BreakUnknown, BreakClosesByItself),
)
def close(break_id: BreakId, body: CloseIn, request: Request, principal: Admin) -> Response:
    """For what happened once and was explained. Figures that are compared close their breaks by being right."""
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        case = close_break(session, break_id, cause=body.cause, actor=principal.key_id)
        audit.record(
            session, actor=principal.key_id, action="break.closed", subject=str(break_id), detail={"cause": body.cause}
        )
        return json_response(show_break(case))


@router.get(
    "/v1/customers/{customer_id}/proof",
    response_model=ProofOut,
    summary="Proof that a customer is counted among what is owed",
    responses=problem_responses(CustomerUnknown, ReservesNotAnchored),
)
def get_proof(customer_id: str, request: Request, principal: Reader) -> Response:
    """As of the newest anchored statement. `chainwallet verify-proof` checks it with a node and nothing of ours."""
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        customer = visible_customer(session, principal, customer_id)
        return json_response(
            proof_for(
                session,
                customer.address,
                chain_id=services.node.chain_id,
                hub=services.hub.address,
                anchor=services.deployment.anchor,
            )
        )
