"""Is it alive, is it ready, how is it doing: for machines, without a key."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.reconciliation.breaks import oldest_break_s

router: APIRouter = new_router(tag="health", is_open=True)


class Alive(BaseModel):
    status: str


class Readiness(BaseModel):
    """`checks` names each thing the service depends on: "ok", or what is wrong with it."""

    status: str
    checks: dict[str, str]


class BooksHealth(BaseModel):
    """Which differences there are is for operators: GET /v1/reconciliation."""

    status: str
    open_breaks: int
    oldest_break_age_s: int


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
    "/health/books",
    response_model=BooksHealth,
    summary="Do the books equal the chain?",
    responses={503: {"description": "A break is open.", "model": BooksHealth}},
)
def get_books(request: Request) -> Response:
    """Red while a break is open. The service goes on: only the accounts that differ are held back."""
    with services_of(request).database.transaction() as session:
        count, oldest_s = oldest_break_s(session)
    found = {"status": "broken" if count else "balanced", "open_breaks": count, "oldest_break_age_s": int(oldest_s)}
    return json_response(found, 503 if count else 200)


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
