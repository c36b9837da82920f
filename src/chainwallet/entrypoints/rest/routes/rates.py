"""The reference rates that prices are measured against."""

from __future__ import annotations

from decimal import Decimal

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.entrypoints.rest.problems import problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.seats import Maker, maker_services
from chainwallet.entrypoints.rest.strict_json import new_router

router = new_router(tag="makers")


class RatesOut(BaseModel):
    date: str = Field(description="The day of the fixing.")
    base: str
    rates: dict[str, str] = Field(description="Units of each currency per unit of the base, as published.")


@router.get(
    "/v1/rates",
    response_model=RatesOut,
    summary="Mid-market rates in use",
    responses=problem_responses(),
)
def get_rates(request: Request, principal: Maker) -> Response:
    """The mid of a pair is the ratio of its two rates."""
    del principal
    fixing = maker_services(request).rates.fixing()
    rates = {
        code: f"{Decimal(rate.numerator) / Decimal(rate.denominator):f}" for code, rate in sorted(fixing.rates.items())
    }
    return json_response({"date": fixing.date.isoformat(), "base": "EUR", "rates": rates})
