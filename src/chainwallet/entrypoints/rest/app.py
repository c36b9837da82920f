"""The REST application: the framework and its routes, with our own layers around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chainwallet.entrypoints.rest.direct import DirectRoutes, is_direct
from chainwallet.entrypoints.rest.documentation import add_documentation
from chainwallet.entrypoints.rest.event_feed import EventFeed
from chainwallet.entrypoints.rest.limits import FailedLogins, InFlight, LimitMiddleware, Limits
from chainwallet.entrypoints.rest.observation import ObservationMiddleware
from chainwallet.entrypoints.rest.problems import on_domain_error, on_http_error, on_validation_error
from chainwallet.entrypoints.rest.routes import all_routers
from chainwallet.entrypoints.rest.strict_json import StrictRoute
from chainwallet.kit.errors import ChainwalletError


class Application(FastAPI):
    """FastAPI, with a short way past it to the busiest routes: see direct.py."""

    def open_short_way(self, limits: Limits) -> None:
        """Answer the routes that can be called directly in front of the framework, behind the same layers of ours."""
        routes = {
            (method, route.path): route
            for route in self.router.routes
            if isinstance(route, StrictRoute) and route.direct is not None and "{" not in route.path
            for method in route.methods or ()
        }
        direct = LimitMiddleware(DirectRoutes(routes, owner=self), limits, self.state.in_flight)
        self._is_direct = partial(is_direct, routes)
        self._direct = ObservationMiddleware(direct)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._direct if self._is_direct(scope) else super().__call__)(scope, receive, send)


def create_app(
    services: Any,
    *,
    routers: Sequence[APIRouter] | None = None,
    limits: Limits | None = None,
    lifespan: Any = None,
) -> Application:
    """The application over `services`, which routes find at `request.app.state.services`.

    `services` has at least what services.Services names. Without `routers` all of them are served.
    """
    limits = limits or Limits()
    app = Application(
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
    app.open_short_way(limits)
    return app


def _version() -> str:
    try:
        return version("chainwallet")
    except PackageNotFoundError:
        return "0"
