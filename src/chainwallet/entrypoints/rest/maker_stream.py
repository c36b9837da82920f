"""A maker's stream: ladders in, at any rate; acknowledgements, fills and reserved amounts out.

Three tasks: one reads and conflates, one applies a tick at a time and acknowledges it, one tells what happens. Nothing
queues up: what is read is bounded by pairs, what is told is read from the database when there is room to send it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import WebSocket
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.authenticator import AuthKeyInvalid, Principal
from chainwallet.entrypoints.rest.auth import authenticate
from chainwallet.entrypoints.rest.conflation import Conflation, Pair, Tick
from chainwallet.entrypoints.rest.event_feed import EventFeed
from chainwallet.entrypoints.rest.ladder_shapes import LadderIn
from chainwallet.entrypoints.rest.problems import RequestInvalid
from chainwallet.entrypoints.rest.responses import json_text
from chainwallet.entrypoints.rest.seats import maker_seat
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.ledger import AccountKind, balances
from chainwallet.records import outbox
from chainwallet.settlement.ladders import Ladder, LadderApplied, LadderPost, MakerSeat, withdraw_ladders
from chainwallet.settlement.ladders import Outcome as LadderOutcome
from chainwallet.settlement.rejections import Rejected

TICK_S = 0.1
TICK_MESSAGES_MAX = 1_000  # then reading waits for the tick, and the sender for TCP
TICK_LADDERS_MAX = 100
CHECK_S = 5.0
CLOSED_BY_POLICY = 1008  # RFC 6455, 7.4.1
_PAGE = 200

_LADDER = TypeAdapter(LadderIn)


class _Gone(Exception):
    """The maker hung up."""


class MakerStream:
    """One open stream; `run` returns when it is over."""

    def __init__(
        self, socket: WebSocket, services: Services, feed: EventFeed, *, principal: Principal, seat: MakerSeat
    ) -> None:
        self._socket = socket
        self._services = services
        self._feed = feed
        self._principal = principal
        self._seat = seat
        self._conflation = Conflation(ladders_max=TICK_LADDERS_MAX)
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._applying: asyncio.Future[tuple[LadderOutcome, ...]] | None = None
        self._sending = asyncio.Lock()
        self._position = 0
        self._reserved: dict[str, int] = {}

    async def run(self, *, after: int | None, withdraw_at_end: bool) -> None:
        """Serve until either side ends it. `after` is the position of the last event that the maker has seen."""
        self._feed.join()
        try:
            await self._greet(after)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self._apply())
                tasks.create_task(self._tell())
        except* (_Gone, WebSocketDisconnect):
            pass
        except* ChainwalletError as refusals:
            await self._hang_up(refusals.exceptions[0])
        finally:
            self._feed.leave()
            if withdraw_at_end:
                await asyncio.shield(self._withdraw())

    async def _greet(self, after: int | None) -> None:
        last, self._reserved = await run_in_threadpool(self._now)
        self._position = last if after is None else after
        limits = {"tick_ms": int(TICK_S * 1_000), "messages": TICK_MESSAGES_MAX, "ladders": TICK_LADDERS_MAX}
        await self._send({"type": "hello", "position": self._position, "limits": limits, "reserved": self._shown()})

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] != "websocket.receive":
                raise _Gone
            self._conflation.offer(message.get("text") or "")
            self._arrived.set()
            if self._conflation.received >= TICK_MESSAGES_MAX:
                self._room.clear()
                await self._room.wait()

    async def _apply(self) -> None:
        """One transaction a tick, whatever arrived in it; ticks begin TICK_S apart or more."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._arrived.wait()
            next_tick_at = clock() + TICK_S
            await self._check_key()
            tick = self._conflation.take()
            if self._conflation.is_empty:
                self._arrived.clear()
            self._room.set()
            await self._send(await self._acknowledge(tick))
            await asyncio.sleep(max(0, next_tick_at - clock()))

    async def _acknowledge(self, tick: Tick) -> dict[str, Any]:
        """Apply a tick; its acknowledgement."""
        ladders, refused = [], dict(tick.refused)
        for pair, document in tick.newest.items():
            try:
                ladders.append(_ladder(pair, document))
            except ChainwalletError as error:
                refused[pair] = (document["version"], error)
        noted = tuple(self._rejected(pair, *why) for pair, why in refused.items() if pair is not None)
        outcomes: tuple[LadderOutcome, ...] = ()
        if ladders or noted:
            post = LadderPost(self._seat, tuple(ladders), noted)
            self._applying = asyncio.ensure_future(self._services.ladders.submit(post))
            outcomes = await asyncio.shield(self._applying)
        applied = {}
        for ladder, outcome in zip(ladders, outcomes, strict=True):
            if isinstance(outcome, LadderApplied):
                applied["-".join(ladder.pair)] = ladder.version
            else:
                refused[ladder.pair] = (ladder.version, outcome)
        if applied:
            self._services.wake("market")
        rejected = [_shown_refusal(pair, *why) for pair, why in refused.items()]
        return {"type": "ack", "received": tick.received, "applied": applied, "rejected": rejected}

    def _rejected(self, pair: Pair, version: int | None, error: ChainwalletError) -> Rejected:
        return Rejected(maker_id=self._seat.maker_id, sell=pair[0], buy=pair[1], error=error, version=version)

    async def _tell(self) -> None:
        while True:
            await self._check_key()
            more = True
            while more:
                more = await self._tell_news()
            await self._feed.wait_beyond(self._position, timeout_s=CHECK_S)

    async def _tell_news(self) -> bool:
        """Send what has happened since; True if there may be more."""
        last, events, reserved = await run_in_threadpool(self._news)
        for event in events:
            if event.type == "maker_quote.filled":
                await self._send({"type": "fill", "position": event.position, "id": event.id, **event.payload})
        changed = {code: units for code, units in reserved.items() if units != self._reserved.get(code, 0)}
        self._reserved |= changed
        if changed:
            await self._send({"type": "reserved", "reserved": self._shown(changed)})
        self._position = max(self._position, events[-1].position if len(events) == _PAGE else last)
        return len(events) == _PAGE

    def _now(self) -> tuple[int, dict[str, int]]:
        with self._services.database.transaction() as session:
            last = outbox.last_position(session)  # first: what changes after it comes with an event beyond it
            held = balances(session, self._seat.maker_id)
        return last, {one.currency: one.held_units for one in held if one.kind == AccountKind.CUSTOMER}

    def _news(self) -> tuple[int, list[outbox.PublishedEvent], dict[str, int]]:
        """MAKER_NOT_ACTIVE where the maker was frozen meanwhile: its stream ends."""
        last, reserved = self._now()  # first: an event that is published from here on is told next time
        with self._services.database.transaction() as session:
            maker_seat(session, self._principal, self._seat.maker_id)
            events = outbox.read_after(session, self._position, audience=self._seat.maker_id, limit=_PAGE)
        return last, events, reserved

    def _shown(self, reserved: Mapping[str, int] | None = None) -> dict[str, str]:
        units = self._reserved if reserved is None else reserved
        return {code: Money(code, found).value for code, found in sorted(units.items())}

    async def _check_key(self) -> None:
        """A revoked key must not go on quoting or listening."""
        if (await authenticate(self._socket)).key_id != self._principal.key_id:
            raise AuthKeyInvalid("This API key was revoked; ask the operator for a new one.")

    async def _send(self, document: Mapping[str, Any]) -> None:
        async with self._sending:
            await self._socket.send_text(json_text(document))

    async def _hang_up(self, error: BaseException) -> None:
        if isinstance(error, ChainwalletError) and self._socket.application_state == WebSocketState.CONNECTED:
            await self._socket.close(CLOSED_BY_POLICY, error.code)

    async def _withdraw(self) -> None:
        if self._applying is not None:
            await asyncio.wait([self._applying])  # what is on its way would be live again
        await run_in_threadpool(self._withdraw_all)
        self._services.wake("market")

    def _withdraw_all(self) -> None:
        with self._services.database.transaction() as session:
            withdraw_ladders(session, self._seat.maker_id)


def _ladder(pair: Pair, document: Mapping[str, Any]) -> Ladder:
    """The ladder in a message; REQUEST_INVALID names the first thing that is wrong with it, and where."""
    body = {key: value for key, value in document.items() if key not in ("type", "sell", "buy")}
    try:
        return _LADDER.validate_python(body).ladder(*pair)
    except ValidationError as error:
        finding = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(str(step) for step in finding["loc"])[:80] or "the message"
        raise RequestInvalid(f"{where}: {finding['msg']}.") from error


def _shown_refusal(pair: Pair | None, version: int | None, error: ChainwalletError) -> dict[str, Any]:
    named = {"sell": None, "buy": None} if pair is None else {"sell": pair[0], "buy": pair[1]}
    return {**named, "version": version, "code": error.code, "reason": error.detail, **_context(error)}


def _context(error: ChainwalletError) -> dict[str, Any]:
    return {"context": error.context} if error.context else {}
