"""Is it alive, is it ready, how is it doing: for machines, without a key."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import new_router

router: APIRouter = new_router(tag="health", is_open=True)


class Alive(BaseModel):
    status: str


class Readiness(BaseModel):
    """`checks` names each thing the service depends on: "ok", or what is wrong with it."""

    status: str
    checks: dict[str, str]


@router.get("/health/live", response_model=Alive, summary="Is the process alive?")
async def get_live() -> Response:
    return json_response({"status": "alive"})


@router.get(
    "/health/ready",
    response_model=Readiness,
    summary="Can it take work?",
    responses={503: {"description": "Not ready: see checks.", "model": Readiness}},
)
def get_ready(request: Request) -> Response:
    checks = dict(services_of(request).readiness())
    ready = all(found == "ok" for found in checks.values())
    return json_response({"status": "ready" if ready else "not_ready", "checks": checks}, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    summary="Prometheus metrics",
    responses={
        200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
def get_metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
