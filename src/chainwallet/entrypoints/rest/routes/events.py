"""The event stream: what happens, as it happens, from wherever the listener left off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import authenticate, require
from chainwallet.entrypoints.rest.event_feed import EventFeed
from chainwallet.entrypoints.rest.problems import CursorInvalid, Overloaded, problem_responses
from chainwallet.entrypoints.rest.responses import json_text
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records import outbox

router: APIRouter = new_router(tag="events")

HEARTBEAT_S = 15
KEY_CHECK_S = 5.0
POSITION_MAX = 2**63 - 1

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the position to resume from, `event` the type, `data` a JSON "
        "document {id, type, subject_id, timestamp, data}. A comment every 15 s keeps the line open.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **problem_responses(CursorInvalid),
}


@router.get(
    "/v1/events",
    response_class=EventSourceResponse,
    summary="Stream events as they happen",
    responses=_RESPONSES,
)
async def get_events(
    request: Request,
    principal: Annotated[Principal, Depends(require(Scope.READ))],
    after: Annotated[
        int | None, Query(ge=0, le=POSITION_MAX, description="Start after this position; 0 is the very beginning.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="Position of the last event seen; wins over after.")
    ] = None,
) -> Response:
    """Without a position the stream starts with what happens next. It ends when the key is revoked."""
    feed: EventFeed = request.app.state.event_feed
    if feed.is_full:
        raise Overloaded("Too many event streams are open; close one or try again later.")
    database = services_of(request).database
    position = after if last_event_id is None else _position(last_event_id)
    if position is None:
        position = await run_in_threadpool(_tail, database)
    return EventSourceResponse(_stream(request, principal, feed, database, position), ping=HEARTBEAT_S)


def _position(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise CursorInvalid("Last-Event-ID must be the id of an event of this stream; leave it out to start anew.")
    return int(last_event_id)


async def _stream(
    request: Request, principal: Principal, feed: EventFeed, database: Database, position: int
) -> AsyncIterator[ServerSentEvent]:
    feed.join()
    try:
        while await _is_still(request, principal):
            events = await run_in_threadpool(_read, database, position, principal.customer_id)
            for event in events:
                position = event.position
                yield _render(event)
            if not events:
                await feed.wait_beyond(position, timeout_s=KEY_CHECK_S)
                position = max(position, await run_in_threadpool(_skip, database, position, principal.customer_id))
    finally:
        feed.leave()


async def _is_still(request: Request, principal: Principal) -> bool:
    """Whether the key is live: a revoked one must not go on listening."""
    try:
        return (await authenticate(request)).key_id == principal.key_id
    except ChainwalletError:
        return False


def _read(database: Database, position: int, audience: str | None) -> list[outbox.PublishedEvent]:
    with database.transaction() as session:
        return outbox.read_after(session, position, audience=audience)


def _skip(database: Database, position: int, audience: str | None) -> int:
    """Past others' events: a bound listener must not wake for each of them."""
    with database.transaction() as session:
        last = outbox.last_position(session)
        mine = outbox.read_after(session, position, audience=audience, limit=1)
    return mine[0].position - 1 if mine else last


def _tail(database: Database) -> int:
    with database.transaction() as session:
        return outbox.last_position(session)


def _render(event: outbox.PublishedEvent) -> ServerSentEvent:
    document = {
        "id": event.id,
        "type": event.type,
        "subject_id": event.subject_id,
        "timestamp": event.created_at.isoformat(),
        "data": event.payload,
    }
    return ServerSentEvent(data=json_text(document), event=event.type, id=str(event.position))
