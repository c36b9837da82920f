"""Limits: how large a body, how many requests at once, how many wrong keys. Plain ASGI, no copies."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainwallet.entrypoints.rest.problems import Overloaded, RateLimited, RequestTooLarge, render
from chainwallet.kit.errors import ChainwalletError

KIB = 1_024
MIB = 1_024 * KIB
CLIENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on. Paths under `reserved` are served even when `in_flight_max` is reached."""

    body_bytes_max: int = 64 * KIB
    large_bodies: Mapping[str, int] = field(default_factory=lambda: {"/v1/payment-files": 8 * MIB})
    in_flight_max: int = 1_000
    reserved: tuple[str, ...] = ("/health/", "/metrics")
    failed_logins_per_s: float = 5.0
    failed_logins_burst: int = 50

    def body_bytes_for(self, path: str) -> int:
        for prefix, bytes_max in self.large_bodies.items():
            if path == prefix or path.startswith(prefix + "/"):
                return bytes_max
        return self.body_bytes_max


@dataclass(slots=True)
class InFlight:
    """How many requests are being served now."""

    count: int = 0


class LimitMiddleware:
    """Refuses bodies that are too large, before or while they arrive, and requests beyond what can be served."""

    def __init__(self, app: ASGIApp, limits: Limits, in_flight: InFlight) -> None:
        self._app = app
        self._limits = limits
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        limits = self._limits
        if self._in_flight.count >= limits.in_flight_max and not path.startswith(limits.reserved):
            await _refuse(Overloaded("The service is busy; try again in a moment."), scope, receive, send)
            return
        bytes_max = limits.body_bytes_for(path)
        declared = _content_length(scope)
        if declared is not None and declared > bytes_max:
            await _refuse(_too_large(bytes_max), scope, receive, send)
            return
        self._in_flight.count += 1
        try:
            # With a declared length the server cuts the body there; without one it is counted as it comes.
            await self._app(scope, receive if declared is not None else _counted(receive, bytes_max), send)
        finally:
            self._in_flight.count -= 1


class FailedLogins:
    """Token buckets by client address: each wrong key costs one, and an empty bucket is RATE_LIMITED.

    Right keys cost nothing, so that a busy bank is never slowed down by this.
    """

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate_per_s = limits.failed_logins_per_s
        self._burst = float(limits.failed_logins_burst)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str) -> None:
        if self._tokens(client) < 1.0:
            raise RateLimited("Too many wrong keys from this address; wait a little, then send the right one.")

    def note(self, client: str) -> None:
        self._buckets[client] = (self._tokens(client) - 1.0, self._monotonic())
        self._buckets.move_to_end(client)
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)

    def _tokens(self, client: str) -> float:
        found = self._buckets.get(client)
        if found is None:
            return self._burst
        tokens, since = found
        return min(self._burst, tokens + (self._monotonic() - since) * self._rate_per_s)


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 19 else None
    return None


def _counted(receive: Receive, bytes_max: int) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > bytes_max:
            raise _too_large(bytes_max)
        return message

    return counted


def _too_large(bytes_max: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body may have at most {bytes_max} bytes on this path; send less at once.")


async def _refuse(error: ChainwalletError, scope: Scope, receive: Receive, send: Send) -> None:
    response = render(str(scope.get("chainwallet.request_id", "unknown")), error)
    response.headers["Connection"] = "close"
    await response(scope, receive, send)
