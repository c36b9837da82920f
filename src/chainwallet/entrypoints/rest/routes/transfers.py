"""Transfers: accepted, followed, cancelled, proven."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Self, cast

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.corridors.decisions import CorridorRefused
from chainwallet.controls.decisions import PaymentDenied
from chainwallet.controls.identity.access import may_act_for, visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import AuthScopeMissing, Principal
from chainwallet.controls.identity.customers import CustomerInvalid, CustomerSignsItself, CustomerUnknown
from chainwallet.controls.identity.payees import PayeeAmbiguous, PayeeRef, PayeeUnknown, parties_by_id
from chainwallet.entrypoints.rest.auth import Idempotent, require
from chainwallet.entrypoints.rest.models import Amount, AmountOut, Id, StrictModel, Text, amount_json
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, domain_error, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.routes.quotes import PriceIn, TermsOut
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import InvalidAmount, UnknownCurrency
from chainwallet.ledger import InsufficientFunds
from chainwallet.market.errors import PRICE_REFUSALS, MarketExposureLimit
from chainwallet.payments.candidates import PayerUnknown, TransferRequest, stated_by_parties
from chainwallet.payments.endings import cancel_transfer, end_transfers
from chainwallet.payments.executions import ExecutionNotReady, ExecutionWithoutMarket, execution
from chainwallet.payments.pricing import PriceRequest
from chainwallet.payments.quotes import (
    Quote,
    QuoteAmbiguous,
    QuoteExpired,
    QuoteLimitNotMet,
    QuoteLiquidityGone,
    QuoteTooCostly,
    QuoteUnknown,
    QuoteUsed,
    quote_of,
)
from chainwallet.payments.receipts import ReceiptNotReady, receipt
from chainwallet.payments.returns import returns_of
from chainwallet.payments.terms import Stated
from chainwallet.payments.transfers import (
    Transfer,
    TransferNotCancellable,
    TransferNotInReview,
    TransferStatus,
    TransferUnknown,
    describe,
    find_transfer,
    list_transfers,
    settlement_of,
)
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing, IdempotencyKeyReused
from chainwallet.settlement.batches import share_of

router = new_router(tag="transfers")

Spender = Annotated[Principal, Depends(require(Scope.TRANSFERS))]
Reader = Annotated[Principal, Depends(require(Scope.READ))]
Reviewer = Annotated[Principal, Depends(require(Scope.ADMIN))]


class PayeeIn(StrictModel):
    """Exactly one name of the payee."""

    customer_id: Id | None = None
    address: Text | None = None
    alias: Text | None = None
    iban: Text | None = None

    def ref(self) -> PayeeRef:
        return PayeeRef(customer_id=self.customer_id, address=self.address, alias=self.alias, iban=self.iban)


class PriceWithLimitIn(PriceIn):
    """Price the payment and execute it in one request."""

    limit_amount: Amount | None = Field(
        default=None,
        description="The most that may leave where target_amount is fixed, the least that must arrive where "
        "source_amount is. Beyond it nothing happens and QUOTE_LIMIT_NOT_MET is the answer.",
    )

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        free = self.source_currency if self.source_amount is None else self.target_currency
        if self.limit_amount is not None and self.limit_amount.currency != free:
            raise domain_error(InvalidAmount(f"limit_amount bounds the amount that is not fixed: give it in {free}."))
        return self

    def request(self) -> PriceRequest:
        return replace(super().request(), limit=self.limit_amount.money if self.limit_amount else None)


class TransferIn(StrictModel):
    """Execute a quote that was given, by `quote_id`, or price and execute at once: exactly one of the two."""

    quote_id: Id | None = None
    quote: PriceWithLimitIn | None = None
    payer_id: Id
    payee: PayeeIn
    purpose: Text | None = Field(default=None, description="ISO 20022 purpose code or words.")
    reference: Text | None = Field(default=None, description="What the payee is told.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.quote_id is None) == (self.quote is None):
            detail = "Give either quote_id, of a quote that you asked for, or quote, to price and execute at once."
            raise domain_error(QuoteAmbiguous(detail))
        return self


class PayeeOut(BaseModel):
    customer_id: str | None = Field(description="None for an address that is no customer's here.")
    address: str


class StepOut(BaseModel):
    status: str
    at: str


class SettlementOut(BaseModel):
    chain_id: int
    hub: str
    batch_id: int
    tx_hash: str | None
    block_number: int | None


class FailureOut(BaseModel):
    code: str
    detail: str | None


class TransferOut(TermsOut):
    """A transfer; `settlement` appears when a batch has taken it, `failure` when it did not go through."""

    id: str
    uetr: str = Field(description="Unique end-to-end transaction reference (UUID version 4).")
    status: TransferStatus
    payer_id: str
    payee: PayeeOut
    quote_id: str
    source_amount: AmountOut
    target_amount: AmountOut
    fee: AmountOut
    cost_bps: str
    improvement: AmountOut | None = Field(
        default=None, description="What netting gave back to the payer of the spread, settled in the same batch."
    )
    purpose: str | None
    reference: str | None
    end_to_end_id: str | None
    return_of: str | None = Field(description="The transfer whose money this one sends back.")
    return_reason: str | None = Field(description="ISO 20022 ExternalReturnReason1Code.")
    returned_by: list[str] = Field(
        default=[], description="The transfers that bring this one's money back; two where another account pays it out."
    )
    timeline: list[StepOut]
    settlement: SettlementOut | None = None
    failure: FailureOut | None = None


class TransferPage(BaseModel):
    items: list[TransferOut]
    next_cursor: str | None


@router.post(
    "/v1/transfers",
    status_code=201,
    response_model=TransferOut,
    summary="Execute a quote, or price and execute at once",
    responses=problem_responses(
        QuoteAmbiguous,
        QuoteLimitNotMet,
        QuoteTooCostly,
        CorridorRefused,
        *PRICE_REFUSALS,
        UnknownCurrency,
        InvalidAmount,
        QuoteUnknown,
        QuoteExpired,
        QuoteUsed,
        QuoteLiquidityGone,
        PayerUnknown,
        CustomerSignsItself,
        PayeeUnknown,
        PayeeAmbiguous,
        CustomerInvalid,
        InsufficientFunds,
        IdempotencyKeyMissing,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
    ),
)
async def create_transfer(body: TransferIn, request: Request, principal: Spender, idempotency: Idempotent) -> Response:
    """Answers once the payment is durable: held, signed by its payer's key and placed for the next batch."""
    services = cast(Services, request.app.state.services)
    payee = body.payee.ref()
    accepted = await services.transfers.submit(
        TransferRequest(
            quote=cast(str, body.quote_id) if body.quote is None else await _price(services, body, principal, payee),
            payer_id=body.payer_id,
            payee=payee,
            principal=principal,
            idempotency_key=idempotency.key,
            body_sha256=idempotency.body_sha256,
            purpose=body.purpose,
            reference=body.reference,
        )
    )
    if services.traces is not None:
        request.scope["chainwallet.uetr"] = json.loads(accepted.body)["uetr"]
    return json_response(accepted.body, 201)


async def _price(services: Services, body: TransferIn, principal: Principal, payee: PayeeRef) -> Quote:
    """Price a payment at once; its parties are only looked up where a corridor asks about them."""
    assert body.quote is not None
    wanted, stated = body.quote.request(), Stated(purpose=body.purpose)
    if services.corridors.map.asks_who(wanted.source, wanted.target):
        stated = await run_in_threadpool(_stated, services, body, principal, payee)
    return services.pricer.price(replace(wanted, stated=stated), owner_id=principal.customer_id)


def _stated(services: Services, body: TransferIn, principal: Principal, payee: PayeeRef) -> Stated:
    with services.database.transaction() as session:
        return stated_by_parties(session, principal, body.payer_id, payee, purpose=body.purpose)


@router.get(
    "/v1/transfers",
    response_model=TransferPage,
    summary="List transfers, the newest first",
    responses=problem_responses(CursorInvalid, CustomerUnknown),
)
def get_transfers(
    request: Request,
    principal: Reader,
    page: Paged,
    payer_id: Annotated[str | None, Query(max_length=64)] = None,
    status: TransferStatus | None = None,
) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        if payer_id is not None:
            visible_customer(session, principal, payer_id)
        rows = list_transfers(
            session,
            payer_id=payer_id,
            bank_or_customer_id=principal.customer_id,
            status=status,
            before=page.after,
            limit=page.fetch,
        )
    return json_response(page.render(rows, describe, lambda transfer: transfer.id))


@router.get(
    "/v1/transfers/{transfer_id}",
    response_model=TransferOut,
    summary="A transfer, how far it is and where it settled",
    responses=problem_responses(TransferUnknown),
)
def get_transfer(transfer_id: str, request: Request, principal: Reader) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        transfer = visible_transfer(session, principal, transfer_id)
        return json_response(_whole(services, session, transfer))


@router.post(
    "/v1/transfers/{transfer_id}/cancel",
    response_model=TransferOut,
    summary="Cancel a transfer that no batch has taken yet",
    responses=problem_responses(TransferUnknown, TransferNotCancellable),
)
def post_cancel(transfer_id: str, request: Request, principal: Spender) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        transfer = visible_transfer(session, principal, transfer_id)
        if not may_act_for(principal, parties_by_id(session, {transfer.payer_id})[transfer.payer_id]):
            raise AuthScopeMissing("Only the payer, its bank or the operator may cancel a transfer; ask them.")
        cancel_transfer(session, transfer_id)
        session.refresh(transfer)
        return json_response(describe(transfer))


@router.post(
    "/v1/transfers/{transfer_id}/approve",
    response_model=TransferOut,
    summary="Let a transfer in review go on",
    responses=problem_responses(
        TransferUnknown,
        TransferNotInReview,
        QuoteLiquidityGone,
        MarketExposureLimit,
        InsufficientFunds,
        PaymentDenied,
    ),
)
def post_approve(transfer_id: str, request: Request, principal: Reviewer) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        visible_transfer(session, principal, transfer_id)
        transfer = services.acceptance.approve(session, transfer_id)
    services.wake("settle")
    return json_response(describe(transfer))


@router.post(
    "/v1/transfers/{transfer_id}/decline",
    response_model=TransferOut,
    summary="Decline a transfer in review",
    responses=problem_responses(TransferUnknown, TransferNotInReview),
)
def post_decline(transfer_id: str, request: Request, principal: Reviewer) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        transfer = visible_transfer(session, principal, transfer_id)
        detail = "The payment was reviewed and declined; contact the bank."
        if not end_transfers(session, [transfer_id], TransferStatus.DECLINED, code="REVIEW_DECLINED", detail=detail):
            raise TransferNotInReview(f"The transfer is {transfer.status}; only one in review can be declined.")
        session.refresh(transfer)
        return json_response(describe(transfer))


@router.get(
    "/v1/transfers/{transfer_id}/receipt",
    summary="Everything needed to verify a settled transfer from the chain alone",
    responses=problem_responses(TransferUnknown, ReceiptNotReady),
)
def get_receipt(transfer_id: str, request: Request, principal: Reader) -> dict[str, Any]:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        visible_transfer(session, principal, transfer_id)
        return receipt(session, transfer_id, services.domain, operator=services.operator.address)


@router.get(
    "/v1/transfers/{transfer_id}/execution",
    summary="Everything needed to verify how a transfer was priced, from this record alone",
    responses=problem_responses(TransferUnknown, ExecutionWithoutMarket, ExecutionNotReady),
)
def get_execution(transfer_id: str, request: Request, principal: Reader) -> dict[str, Any]:
    """The quotes that were live, the operator's commitment to them, the route, and prices that bound all others."""
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        transfer = visible_transfer(session, principal, transfer_id)
        quote = quote_of(session, transfer.quote_id)
        return execution(session, transfer, quote, services.domain, operator=services.operator.address)


def visible_transfer(session: Any, principal: Principal, transfer_id: str) -> Transfer:
    """The transfer if it concerns the principal; otherwise as if there were none."""
    transfer = find_transfer(session, transfer_id)
    parties = parties_by_id(session, {transfer.payer_id, transfer.payee_id or transfer.payer_id}).values()
    if principal.customer_id is None or any(principal.customer_id in party.audience for party in parties):
        return transfer
    raise TransferUnknown("No transfer has this id; check it, or list the payer's transfers.")


def _whole(services: Services, session: Any, transfer: Transfer) -> dict[str, Any]:
    document = describe(transfer)
    if transfer.status in (TransferStatus.SETTLED, TransferStatus.RETURNED):
        document["returned_by"] = [one.id for one in returns_of(session, transfer.id)]
    settlement = settlement_of(session, transfer.id)
    if settlement is not None:
        if (improvement := share_of(session, transfer.id)) is not None:
            document["improvement"] = amount_json(improvement)
        document["settlement"] = {"chain_id": services.domain.chain_id, "hub": services.domain.hub, **settlement}
    return document
