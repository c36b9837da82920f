"""A short way to the busiest routes: the same checks in the same words, without the framework's resolver.

FastAPI resolves dependencies anew for each request, which costs more than all the checks together. A
route whose parameters are only the request, one strict body and dependencies that know how to be
called directly is called directly; every other route goes the usual way. The framework still reads
the signature for the OpenAPI document, so both ways are one contract, and a test compares them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin

from fastapi import params
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

Direct = Callable[[Any], Awaitable[Any]]
"""What a dependency offers as its attribute `direct`: from the strict request to its value."""


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
