"""Makers' ladders: the whole of what a maker sells of one currency for another, replaced at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.entrypoints.rest.ladder_shapes import LadderIn, LadderOut, LadderPage, show_ladder
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.seats import (
    Maker,
    MakerId,
    maker_seat,
    maker_services,
    visible_maker,
)
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import InvalidAmount, UnknownCurrency
from chainwallet.market.errors import MarketNoMid
from chainwallet.settlement.ladders import (
    LadderApplied,
    LadderPost,
    MakerLadderStale,
    MakerLadderUnknown,
    MakerQuoteKnown,
    MakerSeat,
    MakerSignatureInvalid,
    list_ladders,
    withdraw_ladders,
)
from chainwallet.settlement.makers import (
    MakerNotActive,
    MakerNotAMaker,
    MakerQuoteExpiryInvalid,
    MakerQuoteSameCurrency,
)
from chainwallet.settlement.rejections import Rejected

router = new_router(tag="makers")

Pair = Annotated[
    str, Path(pattern="^[A-Z]{3}-[A-Z]{3}$", description="What is sold and what is bought, such as USD-EUR.")
]


class WithdrawnOut(BaseModel):
    withdrawn: int = Field(description="How many ladders were live.")


@router.put(
    "/v1/makers/{maker_id}/ladders/{pair}",
    response_model=LadderOut,
    summary="Replace a maker's ladder for one pair",
    responses=problem_responses(
        CustomerUnknown,
        MakerNotAMaker,
        MakerNotActive,
        MakerLadderStale,
        MakerQuoteKnown,
        MakerQuoteExpiryInvalid,
        MakerQuoteSameCurrency,
        MakerSignatureInvalid,
        MarketNoMid,
        InvalidAmount,
        UnknownCurrency,
    ),
)
async def put_ladder(body: LadderIn, request: Request, principal: Maker, maker_id: MakerId, pair: Pair) -> Response:
    """The newest version counts: an older or equal one is refused and changes nothing. Of the ladder before, what
    payments have reserved stays good and the rest is withdrawn. A version needs no Idempotency-Key."""
    services = maker_services(request)
    seat = await run_in_threadpool(_seat, request, principal, maker_id)
    sell, _, buy = pair.partition("-")
    try:
        ladder = body.ladder(sell, buy)
    except ChainwalletError as error:
        refused = Rejected(maker_id=maker_id, sell=sell, buy=buy, error=error, version=body.version)
        await services.ladders.submit(LadderPost(seat, (), (refused,)))
        raise
    (outcome,) = await services.ladders.submit(LadderPost(seat, (ladder,)))
    if not isinstance(outcome, LadderApplied):
        raise outcome
    await run_in_threadpool(services.market_changed)
    return json_response(show_ladder(sell, buy, ladder.version, ladder.expires_at, outcome.quotes))


def _seat(request: Request, principal: Principal, maker_id: str) -> MakerSeat:
    with maker_services(request).database.transaction() as session:
        return maker_seat(session, principal, maker_id)


@router.get(
    "/v1/makers/{maker_id}/ladders",
    response_model=LadderPage,
    summary="A maker's live ladders, by pair",
    responses=problem_responses(CursorInvalid, CustomerUnknown, MakerNotAMaker),
)
def get_ladders(request: Request, principal: Maker, page: Paged, maker_id: MakerId) -> Response:
    with maker_services(request).database.transaction() as session:
        visible_maker(session, principal, maker_id)
        rows = list_ladders(session, maker_id, after=page.after_parts(2), limit=page.fetch)
    shown = page.render(
        rows,
        lambda row: show_ladder(row[0].sell, row[0].buy, row[0].version, row[0].expires_at, row[1]),
        lambda row: f"{row[0].sell}:{row[0].buy}",
    )
    return json_response(shown)


@router.delete(
    "/v1/makers/{maker_id}/ladders/{pair}",
    response_model=WithdrawnOut,
    summary="Withdraw a maker's ladder for one pair",
    responses=problem_responses(CustomerUnknown, MakerNotAMaker, MakerLadderUnknown),
)
def delete_ladder(request: Request, principal: Maker, maker_id: MakerId, pair: Pair) -> Response:
    """What payments have reserved stays good. The next version must be higher than the withdrawn one."""
    sell, _, buy = pair.partition("-")
    return _withdraw(request, principal, maker_id, (sell, buy))


@router.delete(
    "/v1/makers/{maker_id}/ladders",
    response_model=WithdrawnOut,
    summary="Withdraw all ladders of a maker at once",
    responses=problem_responses(CustomerUnknown, MakerNotAMaker),
)
def delete_ladders(request: Request, principal: Maker, maker_id: MakerId) -> Response:
    """What payments have reserved stays good."""
    return _withdraw(request, principal, maker_id, None)


def _withdraw(request: Request, principal: Principal, maker_id: str, pair: tuple[str, str] | None) -> Response:
    services = maker_services(request)
    with services.database.transaction() as session:
        visible_maker(session, principal, maker_id)
        count = withdraw_ladders(session, maker_id, pair=pair)
        if pair is not None and not count:
            raise MakerLadderUnknown(f"There is no live ladder {pair[0]}-{pair[1]} to withdraw.")
    services.market_changed()
    return json_response({"withdrawn": count})
