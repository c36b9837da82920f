"""Bodies, read once and strictly: what two parsers could read differently is refused.

Python's own JSON parser takes the last of two equal keys, NaN, infinities and UTF-16; pydantic
would see only the result. So the text is parsed here, before anything else looks at it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope

from chainwallet.entrypoints.rest.direct import direct_handler
from chainwallet.entrypoints.rest.problems import (
    RequestMalformed,
    RequestMediaType,
    RequestTimeout,
    problem_responses,
)
from chainwallet.kit.json_text import canonical_json

DEPTH_MAX = 16
BODY_TIMEOUT_S = 15.0


class StrictRequest(Request):
    """A request whose JSON has been parsed strictly, once; `body_sha256` identifies what it asks."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed

    def body_sha256(self) -> bytes:
        """The hash of the body's meaning: key order and white space do not count."""
        return hashlib.sha256(canonical_json(self.parsed, ascii_only=True).encode()).digest()


class StrictRoute(APIRoute):
    """A route that reads its body within BODY_TIMEOUT_S and, where it takes JSON, takes only strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        self.direct = direct_handler(self.endpoint)
        takes_json = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            check_address(strict)
            body = await _read(strict)
            if takes_json and body:
                demand_json(strict)
                strict.parsed = parse_strictly(body)
                if self.direct is not None:
                    return cast(Response, await self.direct(strict))
            return await handle(strict)

        return handle_strictly

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The answer to a request with a JSON body, made without the framework: for routes that have `direct`."""
        assert self.direct is not None
        request = StrictRequest(scope, receive)
        check_address(request)
        body = await _read(request)
        demand_json(request)
        request.parsed = parse_strictly(body)
        return cast(Response, await self.direct(request))


def new_router(*, tag: str, is_open: bool = False) -> APIRouter:
    """A router whose routes are strict; `tag` groups them in the OpenAPI document.

    Routes declare what every route may answer without saying so; `is_open` routes need no key.
    """
    return APIRouter(route_class=StrictRoute, tags=[tag], responses={} if is_open else problem_responses())


def parse_strictly(body: bytes) -> Any:
    """The JSON document in `body`; RequestMalformed for anything that RFC 8259 parsers may disagree about.

    Refused: other encodings than UTF-8, a byte order mark, equal keys in one object, NaN and numbers
    beyond a double, integers of more than 4,300 digits, NUL and unpaired surrogates in strings, and
    nesting deeper than DEPTH_MAX.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestMalformed("The body is not UTF-8; encode it as UTF-8.") from error
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX:
        _check_depth(text)
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RequestMalformed(f"The body is not JSON: {error.msg} at character {error.pos}.") from error
    except ValueError as error:  # int() refuses thousands of digits
        raise RequestMalformed("The body holds a number with too many digits.") from error
    if "\\u" in text:
        _check_strings(found)
    return found


def demand_json(request: Request) -> None:
    """RequestMediaType unless the body is declared as JSON, in UTF-8 and not compressed."""
    declared = request.headers.get("content-type", "")
    if declared != "application/json":
        kind, _, parameter = declared.partition(";")
        if kind.strip().lower() != "application/json" or parameter.strip().lower() not in _UTF8:
            raise RequestMediaType("Send the body as JSON, with the header Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestMediaType("Send the body uncompressed, without a Content-Encoding header.")


_UTF8 = ("", "charset=utf-8", 'charset="utf-8"')


def check_address(request: HTTPConnection) -> None:
    """NUL cannot be stored, so no id or filter can hold it: refused here, before a query is made of it."""
    if "\x00" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise RequestMalformed("The path or the query holds the character NUL; remove it.")


async def _read(request: StrictRequest) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError as error:
        raise RequestTimeout("The body did not arrive in time; send the request again.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestMalformed("An object in the body has the same key twice; send each key once.")
    return found


def _no_constant(name: str) -> Any:
    raise RequestMalformed(f'{name} is not JSON; amounts are strings such as "100.00".')


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise RequestMalformed('The body holds a number that is too large; amounts are strings such as "100.00".')
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)


def _check_depth(text: str) -> None:
    """Counts brackets outside strings before anything recursive sees the text."""
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise RequestMalformed(f"The body is nested deeper than {DEPTH_MAX} levels; flatten it.")
        elif char in "]}":
            depth -= 1


def _check_strings(document: Any) -> None:
    """NUL cannot be stored, and half a surrogate pair cannot be encoded: refuse both wherever they hide."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestMalformed("A string in the body holds half of a surrogate pair; send whole characters.") from error
    if "\\u0000" in json.dumps(document).replace("\\\\", ""):
        raise RequestMalformed("A string in the body holds the character NUL; remove it.")
