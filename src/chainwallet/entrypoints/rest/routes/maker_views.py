"""What a maker sees of itself: what was refused, what was filled, what it has out, what it earned."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chainwallet.controls.identity.customers import CustomerUnknown
from chainwallet.entrypoints.rest.models import timestamp
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.seats import Maker, MakerId, maker_services, visible_maker
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.settlement.makers import MakerNotAMaker
from chainwallet.settlement.rejections import MakerRejection, list_rejections

router = new_router(tag="makers")


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
