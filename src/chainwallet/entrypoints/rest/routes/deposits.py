"""Deposits and balances: money that comes in, and what a customer has."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.access import may_act_for, visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.controls.identity.payees import parties_by_id
from chainwallet.entrypoints.rest.auth import Idempotent, require
from chainwallet.entrypoints.rest.models import Amount, AmountOut, Id, StrictModel, amount_json, timestamp
from chainwallet.entrypoints.rest.once import answer_once
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import Money
from chainwallet.ledger import AccountKind, Balance, balances
from chainwallet.payments.deposits import (
    Deposit,
    DepositCurrencyNotIssued,
    DepositStatus,
    DepositUnknown,
    find_deposit,
    list_deposits,
    request_deposit,
    unknown_deposit,
)
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing, IdempotencyKeyReused

router = new_router(tag="deposits")

Depositor = Annotated[Principal, Depends(require(Scope.DEPOSITS))]
Reader = Annotated[Principal, Depends(require(Scope.READ))]


class DepositIn(StrictModel):
    """Money that the issuer received for a customer and is to put on the customer's account."""

    customer_id: Id
    amount: Amount


class DepositOut(BaseModel):
    """It counts once its status is `settled`: minted, deposited in the hub, and final on chain."""

    id: str
    customer_id: str
    amount: AmountOut
    status: DepositStatus
    created_at: str
    settled_at: str | None


class DepositPage(BaseModel):
    items: list[DepositOut]
    next_cursor: str | None


class BalanceOut(BaseModel):
    """`settled` = `available` + `held`; what is held belongs to payments on their way.

    `exiting` is set aside on chain to leave the hub, and no part of the others.
    """

    currency: str
    available: AmountOut
    held: AmountOut
    settled: AmountOut
    exiting: AmountOut


class BalanceList(BaseModel):
    items: list[BalanceOut]


@router.post(
    "/v1/deposits",
    status_code=201,
    response_model=DepositOut,
    summary="Fund a customer through the issuer",
    responses=problem_responses(
        CustomerUnknown,
        DepositCurrencyNotIssued,
        IdempotencyKeyMissing,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
    ),
)
def create_deposit(body: DepositIn, request: Request, principal: Depositor, key: Idempotent) -> Response:
    services = cast(Services, request.app.state.services)
    money = body.amount.money
    if money.code not in services.deployment.tokens:
        raise DepositCurrencyNotIssued(f"No token is issued in {money.code}; GET /v1/chain lists the currencies.")

    def effect() -> dict[str, Any]:
        customer = visible_customer(session, principal, body.customer_id)
        return show(request_deposit(session, customer_id=customer.id, account=customer.address, amount=money))

    with services.database.transaction() as session:
        response = answer_once(session, principal, key, effect)
    services.wake("settle")
    return response


@router.get(
    "/v1/deposits",
    response_model=DepositPage,
    summary="List deposits, the newest first",
    responses=problem_responses(CursorInvalid, CustomerUnknown),
)
def get_deposits(
    request: Request,
    principal: Reader,
    page: Paged,
    status: DepositStatus | None = None,
    customer_id: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        if customer_id is not None:
            visible_customer(session, principal, customer_id)
        rows = list_deposits(
            session,
            customer_id=customer_id,
            bank_or_customer_id=principal.customer_id,
            status=status,
            before=page.after,
            limit=page.fetch,
        )
    return json_response(page.render(rows, show, lambda deposit: deposit.id))


@router.get(
    "/v1/deposits/{deposit_id}",
    response_model=DepositOut,
    summary="One deposit",
    responses=problem_responses(DepositUnknown),
)
def get_deposit(deposit_id: str, request: Request, principal: Reader) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        deposit = find_deposit(session, deposit_id)
        if not may_act_for(principal, parties_by_id(session, {deposit.customer_id})[deposit.customer_id]):
            raise unknown_deposit()
    return json_response(show(deposit))


@router.get(
    "/v1/customers/{customer_id}/balances",
    response_model=BalanceList,
    summary="What a customer has, by currency",
    responses=problem_responses(CustomerUnknown),
)
def get_balances(customer_id: str, request: Request, principal: Reader) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        visible_customer(session, principal, customer_id)
        found = balances(session, customer_id)
    exiting = {one.currency: one.posted_units for one in found if one.kind is AccountKind.EXIT}
    spendable = [one for one in found if one.kind is not AccountKind.EXIT]
    return json_response({"items": [_show_balance(one, exiting.get(one.currency, 0)) for one in spendable]})


def _show_balance(one: Balance, exiting_units: int) -> dict[str, Any]:
    figures = {
        "available": one.available_units,
        "held": one.held_units,
        "settled": one.posted_units,
        "exiting": exiting_units,
    }
    return {"currency": one.currency} | {
        name: amount_json(Money(one.currency, units)) for name, units in figures.items()
    }


def show(deposit: Deposit) -> dict[str, Any]:
    return {
        "id": deposit.id,
        "customer_id": deposit.customer_id,
        "amount": amount_json(Money(deposit.currency, int(deposit.units))),
        "status": str(deposit.status),
        "created_at": timestamp(deposit.created_at),
        "settled_at": None if deposit.settled_at is None else timestamp(deposit.settled_at),
    }
