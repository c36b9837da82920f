"""Each request gets an id, a place in the metrics, a line in the log, and an answer even when the code is wrong."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from functools import cache
from typing import Any

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainwallet.entrypoints.rest.problems import render
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.tracing import PaymentTraces

REQUEST_ID_HEADER = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")

_DURATION = Histogram(
    "chainwallet_http_request_duration_seconds",
    "Time from a request's headers to the end of its answer.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
_FAILURES = Counter("chainwallet_http_unexpected_errors_total", "Requests that ended in an error nobody foresaw.")
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class ObservationMiddleware:
    """The outermost layer. A caller's X-Request-Id is kept if it is harmless, else a new one is made."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger(__name__).bind()  # bound once: a line that is filtered out costs nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["chainwallet.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started_at = time.perf_counter()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(request_id, message)]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:
            _FAILURES.inc()
            self._log.exception("unexpected_error", route=_route(scope))
            if status:
                raise  # half an answer is out: the server must cut the connection
            await render(request_id, _internal())(scope, receive, observed)
        finally:
            self._measure(scope, status, time.perf_counter() - started_at)
            structlog.contextvars.unbind_contextvars("request_id")

    def _measure(self, scope: Scope, status: int, duration_s: float) -> None:
        route = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _histogram(method, route, status).observe(duration_s)
        if (uetr := scope.get("chainwallet.uetr")) is not None:
            _trace(scope, uetr, f"{method} {route}", status, duration_s)
        self._log.debug("request", method=method, route=route, status=status, duration_ms=round(duration_s * 1_000, 3))


@cache  # bounded: methods, routes and statuses are few
def _histogram(method: str, route: str, status: int) -> Any:
    return _DURATION.labels(method, route, str(status))


def _trace(scope: Scope, uetr: str, name: str, status: int, duration_s: float) -> None:
    traces: PaymentTraces = scope["app"].state.services.traces
    if traces.has(uetr):
        end = utc_now()
        attributes = {"http.response.status_code": status, "request.id": scope["chainwallet.request_id"]}
        start = end - timedelta(seconds=duration_s)
        traces.part(uetr, name, start=start, end=end, attributes=attributes, kind=SpanKind.SERVER)


def _route(scope: Scope) -> str:
    """The route's template, never the path itself: paths hold ids, and anything a caller likes."""
    return str(getattr(scope.get("route"), "path", "none"))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return new_id("req")


def _headers(request_id: str, message: Message) -> list[tuple[bytes, bytes]]:
    added = [(REQUEST_ID_HEADER, request_id.encode()), (b"x-content-type-options", b"nosniff")]
    if "cache-control" not in MutableHeaders(raw=message.setdefault("headers", [])):
        added.append((b"cache-control", b"no-store"))
    return added


def _internal() -> ChainwalletError:
    return ChainwalletError("Something went wrong on our side; quote the instance of this problem to the operator.")
