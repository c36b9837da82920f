"""Refusals over HTTP: problem details (RFC 9457), one document per stable code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import compile_path

from chainwallet.controls.identity.authenticator import AuthKeyInvalid, AuthKeyMissing, AuthScopeMissing
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing

MEDIA_TYPE = "application/problem+json"
IDEMPOTENCY_HEADER = "Idempotency-Key"

_log = structlog.get_logger(__name__)


class RequestMalformed(ChainwalletError):
    code = "REQUEST_MALFORMED"
    status = 400


class RequestTimeout(ChainwalletError):
    code = "REQUEST_TIMEOUT"
    status = 408
    retryable = True


class RequestTooLarge(ChainwalletError):
    code = "REQUEST_TOO_LARGE"
    status = 413


class RequestMediaType(ChainwalletError):
    code = "REQUEST_MEDIA_TYPE"
    status = 415


class RequestInvalid(ChainwalletError):
    code = "REQUEST_INVALID"
    status = 422


class CursorInvalid(ChainwalletError):
    code = "CURSOR_INVALID"
    status = 400


class RouteUnknown(ChainwalletError):
    code = "ROUTE_UNKNOWN"
    status = 404


class MethodNotAllowed(ChainwalletError):
    code = "METHOD_NOT_ALLOWED"
    status = 405


class RateLimited(ChainwalletError):
    code = "RATE_LIMITED"
    status = 429
    retryable = True


class Overloaded(ChainwalletError):
    code = "OVERLOADED"
    status = 503
    retryable = True


class ProblemPart(BaseModel):
    """One thing that is wrong with a request, and where."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or the name of the parameter.")
    in_: str = Field(serialization_alias="in", description="body, query, path or header.")
    detail: str
    code: str = Field(description="The stable code of this part.")


class ViolationOut(BaseModel):
    """One of the things that stand in the way of a payment."""

    code: str = Field(description="Stable; docs/corridors.md explains each.")
    field: str = Field(description="The field of the request to add or change.")
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457). `code` is stable; docs/errors.md says why each happens and how to solve it."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:chainwallet:error:REQUEST_INVALID"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int
    detail: str = Field(description="What is wrong and what to do about it, for people.")
    code: str = Field(examples=["REQUEST_INVALID"])
    retryable: bool = Field(description="Whether the same request may succeed later.")
    instance: str = Field(description="This occurrence: quote it when asking for help.")
    errors: list[ProblemPart] | None = Field(default=None, description="Each thing that is wrong with the request.")
    violations: list[ViolationOut] | None = Field(
        default=None, description="Everything that stands in the way of the payment, at once."
    )
    context: dict[str, Any] | None = Field(default=None, description="Figures that belong to the refusal.")


def idempotency_key_missing() -> IdempotencyKeyMissing:
    return IdempotencyKeyMissing(
        "This request moves money: send an Idempotency-Key header, new for each payment, the same on a retry."
    )


def idempotency_key_invalid() -> IdempotencyKeyInvalid:
    return IdempotencyKeyInvalid(
        "Idempotency-Key must have 1 to 255 visible ASCII characters without spaces; a UUID will do."
    )


_IDEMPOTENCY_REFUSALS: dict[str, Callable[[], ChainwalletError]] = {
    IdempotencyKeyMissing.code: idempotency_key_missing,
    IdempotencyKeyInvalid.code: idempotency_key_invalid,
}


def domain_error(error: ChainwalletError) -> PydanticCustomError:
    """A room's refusal as a finding of pydantic's, so that a field's problem keeps its code and its pointer."""
    return PydanticCustomError("chainwallet", "{detail}", {"detail": error.detail, "code": error.code})


def problem_responses(*errors: type[ChainwalletError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: what every route may answer, and these errors of its own."""
    by_status: dict[int, list[type[ChainwalletError]]] = {}
    for error in dict.fromkeys((*_EVERYWHERE, *errors)):
        by_status.setdefault(error.status, []).append(error)
    return {status: _response_of(status, kinds) for status, kinds in sorted(by_status.items())}


def render(
    request_id: str,
    error: ChainwalletError,
    *,
    code: str | None = None,
    parts: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem document of one refusal."""
    code = code or error.code
    document: dict[str, Any] = {
        "type": f"urn:chainwallet:error:{code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": code,
        "retryable": error.retryable,
        "instance": f"urn:chainwallet:request:{request_id}",
    }
    if parts is not None:
        document["errors"] = list(parts)
    if error.violations:
        document["violations"] = list(error.violations)
    if error.context:
        document["context"] = error.context
    content = json.dumps(document, default=str).encode()
    return Response(content, error.status, dict(headers or {}) | _headers_for(error), MEDIA_TYPE)


def request_id_of(request: HTTPConnection) -> str:
    return str(request.scope.get("chainwallet.request_id", "unknown"))


async def on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChainwalletError)
    if error.status >= 500:
        _log.error("request_failed", code=error.code, detail=error.detail)
    return render(request_id_of(request), error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our words."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        ours: ChainwalletError = RouteUnknown("There is nothing at this path; GET /openapi.json lists every path.")
    elif error.status_code == 405:
        ours = MethodNotAllowed("This path does not have that method; the Allow header lists those it has.")
        return render(request_id_of(request), ours, headers={"Allow": ", ".join(allowed_methods(request))})
    elif error.status_code == 413:
        ours = RequestTooLarge("The body is too large; send less at once.")
    else:
        ours = RequestMalformed("The request could not be read; check its encoding.")
    return render(request_id_of(request), ours, headers=error.headers)


def allowed_methods(request: Request) -> list[str]:
    """Every method of the request's path. The framework names only those of the first route that it tried."""
    path, methods = request.scope["path"], set[str]()
    for context in iter_route_contexts(request.app.routes):
        if context.path and context.methods and compile_path(context.path)[0].match(path):
            methods |= context.methods
    return sorted(methods)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """What pydantic found. One code of a room's own is the document's code; several kinds are REQUEST_INVALID."""
    assert isinstance(error, RequestValidationError)
    parts = [_part(finding) for finding in error.errors()]
    for part in parts:
        if part["code"] in _IDEMPOTENCY_REFUSALS:
            return render(request_id_of(request), _IDEMPOTENCY_REFUSALS[part["code"]]())
    codes = {part["code"] for part in parts}
    first = parts[0]
    detail = first["detail"] if len(parts) == 1 else f"{len(parts)} things are wrong with this request: see errors."
    code = codes.pop() if len(codes) == 1 else RequestInvalid.code
    return render(request_id_of(request), RequestInvalid(detail), code=code, parts=parts)


_SENTENCES = {
    "missing": "{name} is required; add it.",
    "extra_forbidden": "{name} is not a field of this request; remove it or correct its name.",
    "string_type": "{name} must be a JSON string.",
    "int_type": "{name} must be a JSON integer.",
    "bool_type": "{name} must be true or false.",
    "list_type": "{name} must be a JSON array.",
    "model_type": "{name} must be a JSON object.",
    "model_attributes_type": "{name} must be a JSON object.",
    "dict_type": "{name} must be a JSON object.",
}


def _part(finding: Mapping[str, Any]) -> dict[str, str]:
    location = [str(step) for step in finding["loc"]]
    where, path = (location[0], location[1:]) if location else ("body", [])
    if where == "header" and path[:1] == [IDEMPOTENCY_HEADER]:
        return _idempotency_part(finding)
    context = finding.get("ctx", {})
    own = finding["type"] == "chainwallet"
    return {
        "pointer": "".join(f"/{_escape(step)}" for step in path) if where == "body" else ".".join(path),
        "in": where,
        "detail": context["detail"] if own else _sentence(finding, ".".join(path) or "the body"),
        "code": context["code"] if own else RequestInvalid.code,
    }


def _sentence(finding: Mapping[str, Any], name: str) -> str:
    """Ours where there is one; pydantic's otherwise. Never the input itself: it may be a secret."""
    template = _SENTENCES.get(finding["type"])
    name = name[:80]
    told = finding["msg"].removeprefix("Value error, ")
    return template.format(name=name) if template else f"{name}: {told}."


def _idempotency_part(finding: Mapping[str, Any]) -> dict[str, str]:
    refusal = idempotency_key_missing() if finding["type"] == "missing" else idempotency_key_invalid()
    return {"pointer": IDEMPOTENCY_HEADER, "in": "header", "detail": refusal.detail, "code": refusal.code}


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")[:80]


def _headers_for(error: ChainwalletError) -> dict[str, str]:
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="chainwallet"'}
    return {"Retry-After": "1"} if error.status in (429, 503) else {}


def _response_of(status: int, kinds: Iterable[type[ChainwalletError]]) -> dict[str, Any]:
    codes = ", ".join(kind.code for kind in kinds)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": f"{HTTPStatus(status).phrase}: {codes}", "content": {MEDIA_TYPE: {"schema": schema}}}


_EVERYWHERE: tuple[type[ChainwalletError], ...] = (
    RequestMalformed,
    AuthKeyMissing,
    AuthKeyInvalid,
    AuthScopeMissing,
    RequestTimeout,
    RequestTooLarge,
    RequestMediaType,
    RequestInvalid,
    RateLimited,
    ChainwalletError,
    Overloaded,
)
