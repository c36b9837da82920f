"""The REST application: plumbing around the routes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from chainwallet.entrypoints.rest.documentation import add_documentation
from chainwallet.entrypoints.rest.event_feed import EventFeed
from chainwallet.entrypoints.rest.limits import FailedLogins, InFlight, LimitMiddleware, Limits
from chainwallet.entrypoints.rest.observation import ObservationMiddleware
from chainwallet.entrypoints.rest.problems import on_domain_error, on_http_error, on_validation_error
from chainwallet.entrypoints.rest.routes import all_routers
from chainwallet.kit.errors import ChainwalletError


def create_app(
    services: Any,
    *,
    routers: Sequence[APIRouter] | None = None,
    limits: Limits | None = None,
    lifespan: Any = None,
) -> FastAPI:
    """The application over `services`, which routes find at `request.app.state.services`.

    `services` has at least what services.Services names. Without `routers` all of them are served.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="chainwallet",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.in_flight = InFlight()
    app.state.failed_logins = FailedLogins(limits)
    app.state.event_feed = EventFeed(services.database)
    app.add_exception_handler(ChainwalletError, on_domain_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    for router in routers if routers is not None else all_routers():
        app.router.routes.extend(router.routes)  # include_router would match every request twice
    add_documentation(app)
    app.add_middleware(LimitMiddleware, limits=limits, in_flight=app.state.in_flight)
    app.add_middleware(ObservationMiddleware)  # added last, so it is outermost
    return app


def _version() -> str:
    try:
        return version("chainwallet")
    except PackageNotFoundError:
        return "0"
