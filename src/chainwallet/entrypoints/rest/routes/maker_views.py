"""What a maker sees of itself: what was refused, what was filled, what it has out, what it earned."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.entrypoints.rest.models import AmountOut, Timestamp, amount_json, timestamp
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.seats import Maker, MakerId, maker_services, visible_maker
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import Money, UnknownCurrency
from chainwallet.kit.money import currency as known_currency
from chainwallet.market.errors import MarketNoMid
from chainwallet.reconciliation.announcements import describe_fill
from chainwallet.settlement.batches import BatchStatus
from chainwallet.settlement.fills import Exposure, daily_flows, exposures, list_fills
from chainwallet.settlement.makers import MakerNotAMaker
from chainwallet.settlement.profit import Profit, profit_of
from chainwallet.settlement.rejections import MakerRejection, list_rejections

router = new_router(tag="makers")


class FillOut(BaseModel):
    """What one batch took of one quote."""

    quote_id: str
    maker_id: str
    sold: AmountOut
    bought: AmountOut
    status: BatchStatus = Field(description="`settled` once it is on chain for good.")
    batch_id: int
    tx_hash: str | None
    created_at: str
    settled_at: str | None


class FillPage(BaseModel):
    items: list[FillOut]
    next_cursor: str | None


class ExposureOut(BaseModel):
    currency: str
    inventory: str = Field(description="What the maker has in the hub.")
    reserved: str = Field(description="Of that, what is promised to accepted payments, batches and exits.")
    offered: str = Field(description="What its live quotes sell beyond what is reserved of them.")
    limit: str = Field(description="What may be filled now: what is offered, within what is free of the inventory.")


class ExposureList(BaseModel):
    items: list[ExposureOut]


class CurrencyResultOut(BaseModel):
    currency: str
    bought: str
    sold: str
    net: str = Field(description="Bought less sold.")
    marked: AmountOut = Field(description="What the net is worth at mid now.")


class ProfitOut(BaseModel):
    """Of fills that settled. Values are at the mid of reference rates, rounded down."""

    realised: AmountOut = Field(description="Bought less sold at mid of the day it settled: the spread earned.")
    marked: AmountOut = Field(description="The same at mid now: what it has come to be worth.")
    fills: int
    unpriced_fills: int = Field(description="Fills that sold a currency without a mid on their day.")
    items: list[CurrencyResultOut]


class RejectionOut(BaseModel):
    """The newest refusal of its kind for a pair, and how many there were."""

    sell: str
    buy: str
    code: str = Field(description="Stable: docs/errors.md says why it happens and how to solve it.")
    reason: str
    version: int | None = Field(description="The ladder's version, where the last one had one.")
    quote_id: str | None
    count: int
    first_at: str
    last_at: str


class RejectionPage(BaseModel):
    items: list[RejectionOut]
    next_cursor: str | None


@router.get(
    "/v1/makers/{maker_id}/fills",
    response_model=FillPage,
    summary="What batches took of a maker's quotes, the newest first",
    responses=problem_responses(CursorInvalid, CustomerUnknown, MakerNotAMaker),
)
def get_fills(request: Request, principal: Maker, page: Paged, maker_id: MakerId) -> Response:
    with maker_services(request).database.transaction() as session:
        visible_maker(session, principal, maker_id)
        rows = list_fills(session, maker_id, before=page.after_numbered(), limit=page.fetch)
    return json_response(page.render(rows, describe_fill, lambda fill: f"{fill.batch_id}:{fill.quote_id}"))


@router.get(
    "/v1/makers/{maker_id}/exposure",
    response_model=ExposureList,
    summary="What a maker has, has promised and offers, by currency",
    responses=problem_responses(CustomerUnknown, MakerNotAMaker),
)
def get_exposure(request: Request, principal: Maker, maker_id: MakerId) -> Response:
    with maker_services(request).database.transaction() as session:
        visible_maker(session, principal, maker_id)
        found = exposures(session, maker_id)
    return json_response({"items": [_show_exposure(one) for one in found]})


def _show_exposure(one: Exposure) -> dict[str, str]:
    def value(units: int) -> str:
        return Money(one.currency, units).value

    return {
        "currency": one.currency,
        "inventory": value(one.inventory_units),
        "reserved": value(one.reserved_units),
        "offered": value(one.offered_units),
        "limit": value(one.limit_units),
    }


@router.get(
    "/v1/makers/{maker_id}/profit",
    response_model=ProfitOut,
    summary="What a maker earned",
    responses=problem_responses(CustomerUnknown, MakerNotAMaker, UnknownCurrency, MarketNoMid),
)
def get_profit(
    request: Request,
    principal: Maker,
    maker_id: MakerId,
    currency: Annotated[str, Query(pattern="^[A-Z]{3}$", description="What values are stated in.")] = "EUR",
    since: Annotated[Timestamp | None, Query(description="Only fills that settled from then on.")] = None,
) -> Response:
    services = maker_services(request)
    known_currency(currency)
    with services.database.transaction() as session:
        visible_maker(session, principal, maker_id)
        flows = daily_flows(session, maker_id, since=since)
    found = profit_of(flows, currency=currency, mid_on=services.mids_on, now=services.mids)
    return json_response(_show_profit(found))


def _show_profit(found: Profit) -> dict[str, Any]:
    return {
        "realised": amount_json(Money(found.currency, found.realised_units)),
        "marked": amount_json(Money(found.currency, found.marked_units)),
        "fills": found.fills,
        "unpriced_fills": found.unpriced_fills,
        "items": [
            {
                "currency": one.currency,
                "bought": Money(one.currency, one.bought_units).value,
                "sold": Money(one.currency, one.sold_units).value,
                "net": Money(one.currency, one.net_units).value,
                "marked": amount_json(Money(found.currency, one.marked_units)),
            }
            for one in found.results
        ],
    }


@router.get(
    "/v1/makers/{maker_id}/rejections",
    response_model=RejectionPage,
    summary="What a maker offered and was refused, by pair and reason",
    responses=problem_responses(CursorInvalid, CustomerUnknown, MakerNotAMaker),
)
def get_rejections(request: Request, principal: Maker, page: Paged, maker_id: MakerId) -> Response:
    with maker_services(request).database.transaction() as session:
        visible_maker(session, principal, maker_id)
        rows = list_rejections(session, maker_id, after=page.after_parts(3), limit=page.fetch)
    return json_response(page.render(rows, _show_rejection, lambda row: f"{row.sell}:{row.buy}:{row.code}"))


def _show_rejection(row: MakerRejection) -> dict[str, Any]:
    return {
        "sell": row.sell,
        "buy": row.buy,
        "code": row.code,
        "reason": row.reason,
        "version": row.version,
        "quote_id": row.quote_id,
        "count": row.count,
        "first_at": timestamp(row.first_at),
        "last_at": timestamp(row.last_at),
    }
