"""Makers' quotes: posted, listed, withdrawn."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.access import may_act_for, visible_customer
from chainwallet.controls.identity.customers import CustomerSignsItself, CustomerUnknown
from chainwallet.controls.identity.payees import parties_by_id
from chainwallet.entrypoints.rest.auth import Idempotent
from chainwallet.entrypoints.rest.models import Amount, AmountOut, Id, StrictModel, Timestamp, amount_json, timestamp
from chainwallet.entrypoints.rest.once import answer_once
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.seats import Maker, counting_rejections, maker_seat
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import Money
from chainwallet.market.errors import MarketNoMid
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing, IdempotencyKeyReused
from chainwallet.settlement.makers import (
    MakerNotActive,
    MakerNotAMaker,
    MakerQuote,
    MakerQuoteExpiryInvalid,
    MakerQuoteSameCurrency,
    MakerQuoteStatus,
    MakerQuoteUnknown,
    QuoteRequest,
    acknowledge,
    find_quote,
    list_quotes,
    post_quotes,
    withdraw_quote,
)

router = new_router(tag="makers")


class MakerQuoteIn(StrictModel):
    """The maker sells up to `sell` and gets `buy` for all of it; parts are filled at this price or better."""

    maker_id: Id
    sell: Amount
    buy: Amount
    expires_at: Timestamp


class MakerQuoteOut(BaseModel):
    id: str
    maker_id: str
    sell: AmountOut
    buy: AmountOut
    reserved: str = Field(description="Of what is sold, how much accepted payments have reserved.")
    filled: str = Field(description="Of what is sold, how much batches have taken.")
    status: str
    ladder_version: int | None = Field(description="Of the ladder that it is a level of; null for one posted alone.")
    quote_hash: str = Field(description="The quote's EIP-712 digest: its name on chain.")
    expires_at: str


class AcknowledgementOut(BaseModel):
    quote: dict[str, Any] = Field(description="The quote's EIP-712 document.")
    signature: str = Field(description="The maker's, over the quote.")
    received_at: str = Field(description="Unix seconds.")
    operator_signature: str = Field(description="Over QuoteAcknowledgement(bytes32 quoteHash,uint64 receivedAt).")


class PostedQuoteOut(MakerQuoteOut):
    acknowledgement: AcknowledgementOut


class MakerQuotePage(BaseModel):
    items: list[MakerQuoteOut]
    next_cursor: str | None


@router.post(
    "/v1/maker-quotes",
    status_code=201,
    response_model=PostedQuoteOut,
    summary="Quote as a maker, signed with the maker's managed key",
    responses=problem_responses(
        CustomerUnknown,
        MakerNotAMaker,
        MakerNotActive,
        CustomerSignsItself,
        MakerQuoteExpiryInvalid,
        MakerQuoteSameCurrency,
        MarketNoMid,
        IdempotencyKeyMissing,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
    ),
)
def create_maker_quote(body: MakerQuoteIn, request: Request, principal: Maker, key: Idempotent) -> Response:
    """A quote sells what its maker holds and no more: beyond the maker's balance it is not filled."""
    services = cast(Services, request.app.state.services)

    def effect() -> dict[str, Any]:
        seat = maker_seat(session, principal, body.maker_id)
        if seat.signs_itself:
            raise CustomerSignsItself(
                "This maker signs by itself; send its signed levels with PUT /v1/makers/.../ladders."
            )
        wanted = QuoteRequest(body.sell.money, body.buy.money, body.expires_at)
        signer = services.vault.signer(session, seat.address, owner_id=seat.maker_id)
        with counting_rejections(services, seat.maker_id, sell=wanted.sell.code, buy=wanted.buy.code):
            services.mids.mid(wanted.sell.code, wanted.buy.code)  # MARKET_NO_MID: nothing is issued or priced in it
            posted = post_quotes(session, [wanted], maker_id=seat.maker_id, signer=signer, domain=services.domain)
        return show(posted[0]) | {"acknowledgement": _acknowledgement(services, posted[0])}

    with services.database.transaction() as session:
        response = answer_once(session, principal, key, effect)
    services.market_changed()
    return response


@router.get(
    "/v1/maker-quotes",
    response_model=MakerQuotePage,
    summary="List makers' quotes, the newest first",
    responses=problem_responses(CursorInvalid, CustomerUnknown),
)
def get_maker_quotes(
    request: Request,
    principal: Maker,
    page: Paged,
    maker_id: Annotated[str | None, Query(max_length=64)] = None,
    status: MakerQuoteStatus | None = None,
) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        if maker_id is not None:
            visible_customer(session, principal, maker_id)
        mine = maker_id or principal.customer_id
        rows = list_quotes(session, maker_id=mine, status=status, before=page.after, limit=page.fetch)
    return json_response(page.render(rows, show, lambda quote: quote.id))


@router.get(
    "/v1/maker-quotes/{quote_id}/acknowledgement",
    response_model=AcknowledgementOut,
    summary="That the quote was taken in, and when, under the operator's signature",
    responses=problem_responses(MakerQuoteUnknown),
)
def get_acknowledgement(quote_id: str, request: Request, principal: Maker) -> dict[str, Any]:
    """With it a maker can show that a better quote was kept out of a payment: `chainwallet verify-execution`."""
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        quote = find_quote(session, quote_id)
        if not may_act_for(principal, parties_by_id(session, {quote.maker_id})[quote.maker_id]):
            raise MakerQuoteUnknown("No maker quote has this id.")
        return _acknowledgement(services, quote)


def _acknowledgement(services: Services, quote: MakerQuote) -> dict[str, Any]:
    return acknowledge(quote, operator=services.operator, domain=services.domain)


@router.delete(
    "/v1/maker-quotes/{quote_id}",
    response_model=MakerQuoteOut,
    summary="Withdraw a quote; what payments reserved of it stays good",
    responses=problem_responses(MakerQuoteUnknown),
)
def delete_maker_quote(quote_id: str, request: Request, principal: Maker) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        quote = withdraw_quote(session, quote_id)
        if not may_act_for(principal, parties_by_id(session, {quote.maker_id})[quote.maker_id]):
            raise MakerQuoteUnknown("No maker quote has this id.")  # rolls the withdrawal back
        answer = json_response(show(quote))
    services.market_changed()
    return answer


def show(quote: MakerQuote) -> dict[str, Any]:
    return {
        "id": quote.id,
        "maker_id": quote.maker_id,
        "sell": amount_json(Money(quote.sell, int(quote.sell_units))),
        "buy": amount_json(Money(quote.buy, int(quote.buy_units))),
        "reserved": Money(quote.sell, int(quote.reserved_units)).value,
        "filled": Money(quote.sell, int(quote.filled_units)).value,
        "status": str(quote.status),
        "ladder_version": quote.ladder_version,
        "quote_hash": quote.quote_hash,
        "expires_at": timestamp(quote.expires_at),
    }
