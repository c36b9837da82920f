"""Customers: opening accounts, looking them up, freezing them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session
from starlette.responses import Response

from chainwallet.controls.identity.access import visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import AuthScopeMissing, Principal
from chainwallet.controls.identity.customers import (
    ALIAS_PATTERN,
    NAME_MAX,
    Custody,
    Customer,
    CustomerAddressTaken,
    CustomerAliasTaken,
    CustomerClosed,
    CustomerDraft,
    CustomerIbanTaken,
    CustomerInvalid,
    CustomerKeyUnproven,
    CustomerStatus,
    CustomerType,
    CustomerUnknown,
    ExternalKey,
    create_customer,
    freeze_customer,
    list_customers,
    unfreeze_customer,
)
from chainwallet.entrypoints.rest.auth import MaybeIdempotent, require
from chainwallet.entrypoints.rest.models import Id, Signature, StrictModel, Text, signature_bytes, timestamp
from chainwallet.entrypoints.rest.once import answer_once
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.services import Services, services_of
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.records.idempotency import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
from chainwallet.settlement.ladders import withdraw_everything

router: APIRouter = new_router(tag="customers")

_OWN_TYPES = (CustomerType.INDIVIDUAL, CustomerType.BUSINESS)


class ExternalKeyIn(StrictModel):
    """The maker signs by itself: the EIP-712 `AccountClaim(address account,uint64 deadline)` shows that it can."""

    address: Annotated[str, Field(max_length=42, description="The address whose key the maker keeps.")]
    deadline: Annotated[int, Field(ge=0, le=2**53 - 1, description="Unix seconds, as signed; within an hour from now.")]
    signature: Signature

    def claim(self) -> ExternalKey:
        return ExternalKey(self.address, self.deadline, signature_bytes(self.signature))


class CustomerIn(StrictModel):
    """Who is to have accounts here."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "business", "full_name": "Customer DE-014", "country": "DE"}]}
    )

    type: Annotated[CustomerType, Field(strict=False)]
    full_name: Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
    country: Annotated[str, Field(description="ISO 3166-1 alpha-2.", json_schema_extra={"pattern": "^[A-Z]{2}$"})]
    email: Annotated[str | None, Field(max_length=254)] = None
    alias: Annotated[
        str | None,
        Field(description=f"A handle that payers may use; upper case is lowered, then {ALIAS_PATTERN}.", max_length=64),
    ] = None
    iban: Annotated[str | None, Field(description="An IBAN that payers may use.", max_length=42)] = None
    bank_id: Annotated[Id | None, Field(description="The bank whose customer this is.")] = None
    external_key: Annotated[
        ExternalKeyIn | None, Field(description="For a maker that signs its quotes itself; without it we keep a key.")
    ] = None

    def draft(self) -> CustomerDraft:
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "external_key"}
        claim = None if self.external_key is None else self.external_key.claim()
        return CustomerDraft(**values, external_key=claim)


class CustomerOut(BaseModel):
    """A customer. `address` owns its positions in the settlement contract."""

    model_config = ConfigDict(title="Customer")

    id: str
    type: CustomerType
    full_name: str
    country: str
    email: str | None
    address: str
    custody: Custody = Field(description="Who keeps the key of `address`: this service, or the customer.")
    alias: str | None
    iban: str | None
    bank_id: str | None
    status: CustomerStatus
    created_at: datetime


class CustomerList(BaseModel):
    items: list[CustomerOut]
    next_cursor: str | None


class Reason(StrictModel):
    """Why; kept in the audit log."""

    reason: Text


def show(customer: Customer) -> dict[str, Any]:
    """The customer as every route shows it."""
    return {
        "id": customer.id,
        "type": customer.type,
        "full_name": customer.full_name,
        "country": customer.country,
        "email": customer.email,
        "address": customer.address,
        "custody": customer.custody,
        "alias": customer.alias,
        "iban": customer.iban,
        "bank_id": customer.bank_id,
        "status": customer.status,
        "created_at": timestamp(customer.created_at),
    }


@router.post(
    "/v1/customers",
    status_code=201,
    response_model=CustomerOut,
    summary="Open a customer with a wallet of its own",
    responses=problem_responses(
        CustomerInvalid,
        CustomerUnknown,
        CustomerAliasTaken,
        CustomerIbanTaken,
        CustomerAddressTaken,
        CustomerKeyUnproven,
        IdempotencyKeyReused,
        IdempotencyKeyInvalid,
    ),
)
def post_customer(
    request: Request,
    draft: CustomerIn,
    principal: Annotated[Principal, Depends(require(Scope.CUSTOMERS))],
    key: MaybeIdempotent,
) -> Response:
    """A bank's key opens customers of that bank; the operator's key opens any. The key header is optional here."""
    services = services_of(request)
    wanted = _within_rights(principal, draft.draft())
    with services.database.transaction() as session:
        if key is None:
            return json_response(_open(session, services, wanted, principal), 201)
        return answer_once(session, principal, key, lambda: _open(session, services, wanted, principal))


@router.get(
    "/v1/customers",
    response_model=CustomerList,
    summary="List the customers that this key may see",
    responses=problem_responses(CursorInvalid),
)
def get_customers(
    request: Request, principal: Annotated[Principal, Depends(require(Scope.READ))], page: Paged
) -> Response:
    with services_of(request).database.transaction() as session:
        rows = list_customers(session, within=principal.customer_id, after=page.after, limit=page.fetch)
    return json_response(page.render(rows, show, lambda row: row.id))


@router.get(
    "/v1/customers/{customer_id}",
    response_model=CustomerOut,
    summary="One customer",
    responses=problem_responses(CustomerUnknown),
)
def get_customer(
    request: Request, customer_id: str, principal: Annotated[Principal, Depends(require(Scope.READ))]
) -> Response:
    with services_of(request).database.transaction() as session:
        return json_response(show(visible_customer(session, principal, customer_id)))


@router.post(
    "/v1/customers/{customer_id}/freeze",
    response_model=CustomerOut,
    summary="Stop a customer's payments",
    responses=problem_responses(CustomerUnknown, CustomerClosed),
)
def post_freeze(
    request: Request,
    customer_id: str,
    why: Reason,
    principal: Annotated[Principal, Depends(require(Scope.ADMIN))],
) -> Response:
    """New payments from and to the customer are declined from now on; what was accepted before still settles.

    What a maker offers is withdrawn."""
    with services_of(request).database.transaction() as session:
        frozen = freeze_customer(session, customer_id, actor=principal.key_id, reason=why.reason)
        if frozen.type == CustomerType.MAKER:
            withdraw_everything(session, customer_id)
        return json_response(show(frozen))


@router.post(
    "/v1/customers/{customer_id}/unfreeze",
    response_model=CustomerOut,
    summary="Let a frozen customer pay again",
    responses=problem_responses(CustomerUnknown, CustomerClosed),
)
def post_unfreeze(
    request: Request,
    customer_id: str,
    why: Reason,
    principal: Annotated[Principal, Depends(require(Scope.ADMIN))],
) -> Response:
    with services_of(request).database.transaction() as session:
        active = unfreeze_customer(session, customer_id, actor=principal.key_id, reason=why.reason)
        return json_response(show(active))


def _within_rights(principal: Principal, draft: CustomerDraft) -> CustomerDraft:
    """A bound key opens people and businesses of its own bank, and nothing else."""
    if principal.customer_id is None:
        return draft
    if draft.type not in _OWN_TYPES:
        raise AuthScopeMissing("Only the operator opens banks and makers; open an individual or a business.")
    if draft.bank_id not in (None, principal.customer_id):
        raise CustomerUnknown("There is no bank with this bank_id; leave it out to open a customer of your own.")
    values = {name: getattr(draft, name) for name in draft.__dataclass_fields__}
    return CustomerDraft(**(values | {"bank_id": principal.customer_id}))


def _open(session: Session, services: Services, draft: CustomerDraft, principal: Principal) -> dict[str, Any]:
    domain = services.domain if draft.external_key is not None else None
    return show(
        create_customer(session, draft, new_address=services.new_address, actor=principal.key_id, domain=domain)
    )
