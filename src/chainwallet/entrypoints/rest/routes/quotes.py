"""Firm quotes to customers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self, cast

from fastapi import Depends, Request
from pydantic import BaseModel, Field, model_validator
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.corridors.decisions import CorridorRefused
from chainwallet.controls.corridors.document import Bearer, RefundChoice
from chainwallet.controls.corridors.fees import FeeKind
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerType, clean_country
from chainwallet.entrypoints.rest.auth import require
from chainwallet.entrypoints.rest.models import Amount, AmountOut, StrictModel, Text, amount_json, timestamp
from chainwallet.entrypoints.rest.problems import domain_error, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import InvalidAmount, Money, UnknownCurrency, currency
from chainwallet.market.errors import PRICE_REFUSALS
from chainwallet.payments.pricing import PriceRequest
from chainwallet.payments.quotes import Quote, QuoteTooCostly
from chainwallet.payments.terms import Stated, show_terms

router = new_router(tag="quotes")

LIFETIME_MAX_S = 3_600


def _country(code: str) -> str:
    try:
        return clean_country(code)
    except ChainwalletError as error:
        raise PydanticCustomError("country", "must be an ISO 3166-1 alpha-2 code in capitals, such as DE") from error


Country = Annotated[
    str,
    Field(
        description="ISO 3166-1 alpha-2; asked for where a corridor depends on it.",
        json_schema_extra={"pattern": "^[A-Z]{2}$"},
    ),
    AfterValidator(_country),
]
Code = Annotated[str, Field(description="ISO 4217 alphabetic code.", json_schema_extra={"pattern": "^[A-Z]{3}$"})]


class PriceIn(StrictModel):
    """Fix exactly one amount: what leaves the payer, or what reaches the payee."""

    source_currency: Code
    target_currency: Code
    source_amount: Amount | None = None
    target_amount: Amount | None = None
    lifetime_s: Annotated[
        int | None,
        Field(
            ge=1,
            le=LIFETIME_MAX_S,
            description="How long the quote is to be firm, in seconds, where less than the longest is enough.",
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            currency(self.source_currency)
            currency(self.target_currency)
            self._check_amounts()
        except ChainwalletError as error:
            raise domain_error(error) from error
        return self

    def _check_amounts(self) -> None:
        if (self.source_amount is None) == (self.target_amount is None):
            raise InvalidAmount("Give either source_amount or target_amount, and not both.")
        for amount, code, side in (
            (self.source_amount, self.source_currency, "source"),
            (self.target_amount, self.target_currency, "target"),
        ):
            if amount is not None and amount.currency != code:
                raise InvalidAmount(
                    f"{side}_amount is in {amount.currency} but {side}_currency is {code}; make them equal."
                )

    def request(self) -> PriceRequest:
        return PriceRequest(
            self.source_currency,
            self.target_currency,
            fixed_source=self.source_amount.money if self.source_amount else None,
            fixed_target=self.target_amount.money if self.target_amount else None,
            lifetime_s=self.lifetime_s,
        )


class QuoteIn(PriceIn):
    """Ask what a payment costs. What its corridor depends on has to be said: a refusal lists all that is missing."""

    payer_country: Country | None = None
    payee_country: Country | None = None
    payer_type: Annotated[CustomerType | None, Field(strict=False)] = None
    purpose: Text | None = Field(default=None, description="ISO 20022 purpose code or words.")

    def request(self) -> PriceRequest:
        stated = Stated(
            payer_country=self.payer_country,
            payee_country=self.payee_country,
            payer_type=self.payer_type,
            purpose=self.purpose,
        )
        return replace(super().request(), stated=stated)


class LegOut(BaseModel):
    maker: str = Field(description="The maker's customer id.")
    sell: AmountOut
    buy: AmountOut


class FeeItemOut(BaseModel):
    """One part of the fee; what a maximum takes off is negative."""

    kind: FeeKind
    amount: AmountOut
    rate_bps: str | None = Field(default=None, description="Where the part is a rate: basis points.")
    on: AmountOut | None = Field(default=None, description="Where the part is a rate: of how much.")


class CorridorRef(BaseModel):
    id: str
    revision: int = Field(description="The revision of the corridors that was in force.")


class DeliveryOut(BaseModel):
    estimated_by: str = Field(description="When the payee is estimated to have the money.")


class RefundOut(BaseModel):
    """What comes back if the payment is returned, and whose loss it is if the rate has moved."""

    policy: RefundChoice
    until: str = Field(description="Until when the policy is promised.")
    borne_by: Bearer


class TermsOut(BaseModel):
    """A payment's terms; those from before there were corridors have none."""

    corridor: CorridorRef | None
    fee_items: list[FeeItemOut] = Field(description="They add up to the fee, exactly.")
    delivery: DeliveryOut | None
    refund: RefundOut | None


class QuoteOut(TermsOut):
    """Both amounts are exact and firm until `expires_at`; the fee is contained in `source_amount`."""

    id: str
    source_amount: AmountOut
    target_amount: AmountOut
    rate: str = Field(description="Target per source after the fee.")
    mid_rate: str = Field(description="Target per source at mid-market.")
    fee: AmountOut
    cost_bps: str = Field(description="Fee and spread together, in basis points of mid.")
    legs: list[LegOut]
    expires_at: str


@router.post(
    "/v1/quotes",
    status_code=201,
    response_model=QuoteOut,
    summary="Ask for a firm quote",
    responses=problem_responses(
        UnknownCurrency,
        InvalidAmount,
        *PRICE_REFUSALS,
        QuoteTooCostly,
        CorridorRefused,
    ),
)
async def create_quote(
    body: QuoteIn, request: Request, principal: Annotated[Principal, Depends(require(Scope.QUOTES))]
) -> Response:
    services = cast(Services, request.app.state.services)
    quote = services.pricer.price(body.request(), owner_id=principal.customer_id)
    await services.quotes.submit(quote)
    return json_response(show_quote(quote), 201)


def show_quote(quote: Quote) -> dict[str, object]:
    return {
        "id": quote.id,
        "source_amount": amount_json(Money(quote.source_currency, quote.source_units)),
        "target_amount": amount_json(Money(quote.target_currency, quote.target_units)),
        "rate": quote.rate,
        "mid_rate": quote.mid_rate,
        "fee": amount_json(Money(quote.source_currency, quote.fee_units)),
        "cost_bps": str(quote.cost_bps),
        **show_terms(quote.terms, quote.source_currency),
        "legs": [
            {
                "maker": leg["maker_id"],
                "sell": amount_json(Money(leg["sell"], int(leg["sold_units"]))),
                "buy": amount_json(Money(leg["buy"], int(leg["bought_units"]))),
            }
            for leg in quote.legs
        ],
        "expires_at": timestamp(quote.expires_at),
    }
