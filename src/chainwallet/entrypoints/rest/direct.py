"""A short way to the busiest routes: the same checks in the same words, without the framework's layers.

Passing through the framework costs more than all the checks together. A route whose parameters are
only the request, one strict body and dependencies that know how to be called directly is answered
before the framework sees the request; every other one goes the usual way. The framework still reads
the signature for the OpenAPI document, so both ways are one contract, and a test compares them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

from fastapi import params
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chainwallet.entrypoints.rest.problems import on_domain_error, on_validation_error
from chainwallet.kit.errors import ChainwalletError

Direct = Callable[[Any], Awaitable[Any]]
"""What a dependency offers as its attribute `direct`: from the strict request to its value."""


Routes = Mapping[tuple[str, str], Any]
"""Routes by method and path; `route.answer(scope, receive)` is a route's own handling of a strict request."""


def is_direct(routes: Routes, scope: Scope) -> bool:
    """Whether a request is for one of `routes`, and has a body: what is missing one, the framework refuses."""
    return (
        scope["type"] == "http"
        and (scope["method"], scope["path"]) in routes
        and any(name == b"content-length" and value.strip(b"0") for name, value in scope["headers"])
    )


class DirectRoutes:
    """An ASGI application of the busiest routes, which answers as `owner` would."""

    def __init__(self, routes: Routes, *, owner: Any) -> None:
        self._routes = routes
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes[scope["method"], scope["path"]]
        scope.update(route=route, app=self._owner)
        try:
            response = await route.answer(scope, receive)
        except ChainwalletError as error:
            response = await on_domain_error(Request(scope), error)
        except RequestValidationError as error:
            response = await on_validation_error(Request(scope), error)
        await response(scope, receive, send)


def direct_handler(endpoint: Callable[..., Any]) -> Direct | None:
    """A handler from a strict request to a response; None where the endpoint has any other kind of parameter."""
    signature = inspect.signature(endpoint, eval_str=True)
    if not (inspect.iscoroutinefunction(endpoint) and signature.return_annotation is Response):
        return None
    requests, bodies, dependencies = [], [], []
    for name, parameter in signature.parameters.items():
        if parameter.annotation is Request:
            requests.append(name)
        elif inspect.isclass(parameter.annotation) and issubclass(parameter.annotation, BaseModel):
            bodies.append((name, TypeAdapter(parameter.annotation)))
        elif (direct := _direct_of(parameter)) is not None:
            dependencies.append((name, direct))
        else:
            return None
    if len(bodies) != 1:
        return None
    body_name, adapter = bodies[0]

    async def handle(request: Any) -> Any:
        values: dict[str, Any] = {name: await direct(request) for name, direct in dependencies}
        values[body_name] = _validate(adapter, request.parsed)
        for name in requests:
            values[name] = request
        return await endpoint(**values)

    return handle


def _direct_of(parameter: inspect.Parameter) -> Direct | None:
    if get_origin(parameter.annotation) is not Annotated:
        return None
    marks = [mark for mark in get_args(parameter.annotation)[1:] if isinstance(mark, params.Depends)]
    return getattr(marks[0].dependency, "direct", None) if len(marks) == 1 else None


def _validate(adapter: TypeAdapter[Any], document: Any) -> Any:
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        findings = [finding | {"loc": ("body", *finding["loc"])} for finding in error.errors(include_url=False)]
        raise RequestValidationError(findings) from error
