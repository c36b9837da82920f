"""Exits: customers take their tokens off the hub; the same can be done on chain with nothing but a key."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.access import visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerInvalid, CustomerSignsItself, CustomerUnknown, clean_address
from chainwallet.entrypoints.rest.auth import Idempotent, require
from chainwallet.entrypoints.rest.models import Amount, AmountOut, StrictModel, amount_json, timestamp
from chainwallet.entrypoints.rest.once import answer_once
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import Money
from chainwallet.ledger import InsufficientFunds
from chainwallet.payments.deposits import DepositCurrencyNotIssued
from chainwallet.payments.exits import (
    Exit,
    ExitNotAllowed,
    ExitRecipientInvalid,
    ExitStatus,
    ExitUnderWay,
    list_exits,
    request_exit,
)
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing, IdempotencyKeyReused

router = new_router(tag="exits")


class ExitIn(StrictModel):
    """How much is to leave, and which address gets the tokens."""

    amount: Amount
    recipient: Annotated[
        str,
        Field(
            description="An address of the chain, in EIP-55 capitals or in one case.",
            json_schema_extra={"pattern": "^0x[0-9a-fA-F]{40}$", "examples": ["0x" + "99" * 20]},
        ),
    ]


class ExitFailure(BaseModel):
    code: str
    detail: str


class ExitOut(BaseModel):
    """Tokens on their way off the hub.

    `placed` and `submitted`: held, and not yet on chain. `waiting`: set aside on chain until `ready_at`, when anyone
    may have it paid out, and the service does. `paid`, `cancelled` and `failed` are ends.
    """

    model_config = ConfigDict(title="Exit")

    id: str
    customer_id: str
    amount: AmountOut
    recipient: str
    status: ExitStatus
    ready_at: str | None
    failure: ExitFailure | None
    created_at: str
    ended_at: str | None


class ExitPage(BaseModel):
    items: list[ExitOut]
    next_cursor: str | None


@router.post(
    "/v1/customers/{customer_id}/exits",
    status_code=201,
    response_model=ExitOut,
    summary="Take tokens off the hub",
    responses=problem_responses(
        CustomerUnknown,
        DepositCurrencyNotIssued,
        CustomerSignsItself,
        ExitNotAllowed,
        ExitRecipientInvalid,
        ExitUnderWay,
        InsufficientFunds,
        IdempotencyKeyMissing,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
    ),
)
def create_exit(
    customer_id: str,
    body: ExitIn,
    request: Request,
    principal: Annotated[Principal, Depends(require(Scope.EXITS))],
    key: Idempotent,
) -> Response:
    """The customer's managed key signs the request. It goes out when the customer's payments in that currency have
    settled, so that none of them is ended by it; the hub pays out after its delay."""
    services = cast(Services, request.app.state.services)
    money = body.amount.money
    if money.code not in services.deployment.tokens:
        raise DepositCurrencyNotIssued(f"No token is issued in {money.code}; GET /v1/chain lists the currencies.")
    recipient = _recipient(body.recipient)

    def effect() -> dict[str, Any]:
        customer = visible_customer(session, principal, customer_id)
        return show(request_exit(session, customer, amount=money, recipient=recipient, domain=services.domain))

    with services.database.transaction() as session:
        response = answer_once(session, principal, key, effect)
    services.wake("settle")
    return response


def _recipient(text: str) -> str:
    try:
        return clean_address(text)
    except CustomerInvalid as error:
        raise ExitRecipientInvalid("The recipient is not an address: 0x and 40 hexadecimal digits.") from error


@router.get(
    "/v1/customers/{customer_id}/exits",
    response_model=ExitPage,
    summary="A customer's exits, the newest first",
    responses=problem_responses(CursorInvalid, CustomerUnknown),
)
def get_exits(
    customer_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(require(Scope.READ))],
    page: Paged,
    status: ExitStatus | None = None,
) -> Response:
    """Those asked for here, and those that the customer asked for on chain. One at most in a currency has not ended."""
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        visible_customer(session, principal, customer_id)
        rows = list_exits(session, customer_id=customer_id, status=status, before=page.after, limit=page.fetch)
    return json_response(page.render(rows, show, lambda row: row.id))


def show(row: Exit) -> dict[str, Any]:
    failed = row.failure_code is not None
    return {
        "id": row.id,
        "customer_id": row.customer_id,
        "amount": amount_json(Money(row.currency, int(row.units))),
        "recipient": row.recipient,
        "status": str(row.status),
        "ready_at": None if row.available_at is None else timestamp(row.available_at),
        "failure": {"code": row.failure_code, "detail": row.failure_detail} if failed else None,
        "created_at": timestamp(row.created_at),
        "ended_at": None if row.ended_at is None else timestamp(row.ended_at),
    }
