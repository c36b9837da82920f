"""The door to a maker's stream: authenticated like any request, refused like any request, then a WebSocket."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Query, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import authenticate
from chainwallet.entrypoints.rest.event_feed import EventFeed
from chainwallet.entrypoints.rest.maker_stream import MakerStream
from chainwallet.entrypoints.rest.problems import Overloaded, problem_responses, render, request_id_of
from chainwallet.entrypoints.rest.seats import Maker, MakerId, maker_seat
from chainwallet.entrypoints.rest.strict_json import check_address, new_router
from chainwallet.kit.errors import ChainwalletError
from chainwallet.settlement.ladders import MakerSeat

router = new_router(tag="makers")

_POSITION_MAX = 2**63 - 1
_PATH = "/v1/makers/{maker_id}/stream"


class StreamUpgradeRequired(ChainwalletError):
    """A stream is a WebSocket: the request must ask for the upgrade."""

    code = "STREAM_UPGRADE_REQUIRED"
    status = 426


@router.get(
    _PATH,
    status_code=101,
    summary="Stream ladders in, and fills out, over a WebSocket",
    responses={
        101: {"description": "A WebSocket of JSON text messages: docs/makers.md has them all."},
        **problem_responses(StreamUpgradeRequired),
    },
)
async def get_stream(
    principal: Maker,
    maker_id: MakerId,
    after: Annotated[
        int | None,
        Query(ge=0, le=_POSITION_MAX, description="Position of the last fill seen; without it, from now on."),
    ] = None,
    cancel_on_disconnect: Annotated[bool, Query(description="Withdraw all ladders when the stream ends.")] = False,
) -> Response:
    """Refuses as any request does; asked for with `Upgrade: websocket`, it opens."""
    del principal, maker_id, after, cancel_on_disconnect
    raise StreamUpgradeRequired("This path is a WebSocket; connect with a WebSocket client (wss://).")


@router.websocket(_PATH)
async def open_stream(
    socket: WebSocket, maker_id: str, after: int | None = None, cancel_on_disconnect: bool = False
) -> None:
    services, feed = cast(Services, socket.app.state.services), cast(EventFeed, socket.app.state.event_feed)
    try:
        check_address(socket)
        principal = await authenticate(socket)
        principal.demand(Scope.MAKER)
        if feed.is_full:
            raise Overloaded("Too many streams are open; close one or try again later.")
        seat = await run_in_threadpool(_seat, services, principal, maker_id)
    except ChainwalletError as refused:
        await socket.send_denial_response(render(request_id_of(socket), refused))
        return
    await socket.accept()
    stream = MakerStream(socket, services, feed, principal=principal, seat=seat)
    await stream.run(after=after, withdraw_at_end=cancel_on_disconnect)


def _seat(services: Services, principal: Principal, maker_id: str) -> MakerSeat:
    with services.database.transaction() as session:
        return maker_seat(session, principal, maker_id)
