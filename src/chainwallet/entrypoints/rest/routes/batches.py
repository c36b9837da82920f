"""Batches: what one transaction settled, over which makers' quotes, at which cost."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import demand_operator, require
from chainwallet.entrypoints.rest.models import AmountOut, amount_json, timestamp
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.money import Money, format_units
from chainwallet.market.picture import batch_svg
from chainwallet.settlement.batches import (
    Batch,
    BatchFill,
    BatchShare,
    BatchUnknown,
    batch_flows,
    batch_shares,
    find_batch,
    list_batches,
)
from chainwallet.settlement.lanes import ChainTx

router = new_router(tag="batches")

Operator = Annotated[Principal, Depends(require(Scope.READ))]
BatchId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class BatchUsdOut(BaseModel):
    """Values in USD at mid when the batch was closed."""

    source: str = Field(description="What the payers sent.")
    target: str = Field(description="What the payees got.")
    fee: str = Field(description="The service's fees, contained in the surplus.")
    surplus: str = Field(description="What the batch left over: fees, what netting saved of the spread, rounding.")
    gain: str = Field(description="What netting saved: the spread charged, less what makers earned.")
    gain_payers: str = Field(description="What of the surplus went back to the payers.")
    gain_makers: str = Field(description="What of the surplus went to the makers.")
    treasury: str = Field(description="What of the surplus was left for the treasury.")
    maker_volume: str = Field(description="What the makers sold.")
    maker_volume_alone: str = Field(description="What the makers would have sold had each payment gone alone.")


class BatchOut(BaseModel):
    id: int
    status: str
    payments: int
    tx_hash: str | None
    block_number: int | None
    gas_used: int | None
    usd: BatchUsdOut
    created_at: str
    settled_at: str | None


class FillOut(BaseModel):
    maker_quote_id: str
    maker_id: str
    sold: AmountOut
    bought: AmountOut


class ShareOut(BaseModel):
    """A part of the surplus: for the payer of a transfer, or for the maker of a quote."""

    transfer_id: str | None
    maker_quote_id: str | None
    amount: AmountOut


class BatchWholeOut(BatchOut):
    transfers: list[str]
    fills: list[FillOut]
    shares: list[ShareOut]


class BatchPage(BaseModel):
    items: list[BatchOut]
    next_cursor: str | None


@router.get(
    "/v1/batches",
    response_model=BatchPage,
    summary="List batches, the newest first",
    responses=problem_responses(CursorInvalid),
)
def get_batches(request: Request, principal: Operator, page: Paged) -> Response:
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        rows = list_batches(session, before=page.after_number, limit=page.fetch)
    return json_response(page.render(rows, lambda row: show(*row), lambda row: str(row[0].id)))


@router.get(
    "/v1/batches/{batch_id}",
    response_model=BatchWholeOut,
    summary="One batch with its transfers and its fills",
    responses=problem_responses(BatchUnknown),
)
def get_batch(batch_id: BatchId, request: Request, principal: Operator) -> Response:
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        batch, fills, transfers, tx = find_batch(session, batch_id)
        shares = batch_shares(session, batch_id)
    parts = {"fills": [_fill(fill) for fill in fills], "shares": [_share(share) for share in shares]}
    return json_response({**show(batch, tx), "transfers": transfers, **parts})


@router.get(
    "/v1/batches/{batch_id}/picture.svg",
    response_class=Response,
    summary="A batch as a picture: what customers sent past each other, and what makers were asked",
    responses=problem_responses(BatchUnknown) | {200: {"content": {"image/svg+xml": {}}}},
)
def get_picture(batch_id: BatchId, request: Request, principal: Operator) -> Response:
    demand_operator(principal)
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        flows, legs = batch_flows(session, batch_id)
    title = f"Batch {batch_id}: {len(flows)} payments"
    drawn = batch_svg(flows, legs, services.mids.weights("USD"), title=title, unit="USD")
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(drawn, media_type="image/svg+xml", headers=headers)


def show(batch: Batch, tx: ChainTx | None) -> dict[str, Any]:
    figures = {
        "source": batch.source_usd_units,
        "target": batch.target_usd_units,
        "fee": batch.fee_usd_units,
        "surplus": batch.surplus_usd_units,
        "gain": batch.gain_usd_units,
        "gain_payers": batch.gain_payers_usd_units,
        "gain_makers": batch.gain_makers_usd_units,
        "treasury": batch.surplus_usd_units - batch.gain_payers_usd_units - batch.gain_makers_usd_units,
        "maker_volume": batch.maker_usd_units,
        "maker_volume_alone": batch.maker_alone_usd_units,
    }
    return {
        "id": batch.id,
        "status": str(batch.status),
        "payments": batch.payments,
        "tx_hash": None if tx is None else tx.tx_hash,
        "block_number": None if tx is None else tx.block_number,
        "gas_used": None if tx is None else tx.gas_used,
        "usd": {name: format_units(int(units), minor_digits=2) for name, units in figures.items()},
        "created_at": timestamp(batch.created_at),
        "settled_at": None if batch.settled_at is None else timestamp(batch.settled_at),
    }


def _share(share: BatchShare) -> dict[str, Any]:
    return {
        "transfer_id": None if share.is_makers else share.party,
        "maker_quote_id": share.party if share.is_makers else None,
        "amount": amount_json(Money(share.currency, int(share.units))),
    }


def _fill(fill: BatchFill) -> dict[str, Any]:
    return {
        "maker_quote_id": fill.quote_id,
        "maker_id": fill.maker_id,
        "sold": amount_json(Money(fill.sell, int(fill.sold_units))),
        "bought": amount_json(Money(fill.buy, int(fill.bought_units))),
    }
