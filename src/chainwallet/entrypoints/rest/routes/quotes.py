"""Firm quotes to customers."""

from __future__ import annotations

from typing import Annotated, Self, cast

from fastapi import Depends, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import require
from chainwallet.entrypoints.rest.models import Amount, AmountOut, StrictModel, amount_json, timestamp
from chainwallet.entrypoints.rest.problems import domain_error, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import InvalidAmount, Money, UnknownCurrency, currency
from chainwallet.market.errors import MarketAmountTooSmall, MarketInsufficientLiquidity, MarketNoRoute, MarketRateStale
from chainwallet.payments.quotes import PriceRequest, Quote, QuoteTooCostly

router = new_router(tag="quotes")

Code = Annotated[str, Field(description="ISO 4217 alphabetic code.", json_schema_extra={"pattern": "^[A-Z]{3}$"})]


class PriceIn(StrictModel):
    """Fix exactly one amount: what leaves the payer, or what reaches the payee."""

    source_currency: Code
    target_currency: Code
    source_amount: Amount | None = None
    target_amount: Amount | None = None

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
        )


class QuoteIn(PriceIn):
    """Ask what a payment costs."""


class LegOut(BaseModel):
    maker: str = Field(description="The maker's customer id.")
    sell: AmountOut
    buy: AmountOut


class QuoteOut(BaseModel):
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
        MarketNoRoute,
        MarketInsufficientLiquidity,
        MarketAmountTooSmall,
        MarketRateStale,
        QuoteTooCostly,
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
