"""The OpenAPI document and a page to read it, served from here: no script comes from anywhere else."""

from __future__ import annotations

import html
from functools import cache
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

from chainwallet.entrypoints.rest.auth import Bearer
from chainwallet.entrypoints.rest.problems import Problem

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """window.addEventListener("load", function () {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
  });
});
"""
_DESCRIPTION = """Accounts in many currencies whose payments are signed by their owners, netted, and settled on chain.

Send your API key as `Authorization: Bearer cw_...`. Amounts are `{"currency": "EUR", "value": "100.00"}` with the
value as a string. A POST that moves money takes an `Idempotency-Key`; sent again with the same key and body it has
no second effect and gets the first answer. Every refusal is a problem document (RFC 9457) with a stable `code`.
"""


def add_documentation(app: FastAPI) -> None:
    """Serve /docs with its assets, and complete the OpenAPI document."""
    page = _PAGE.format(title=html.escape(app.title)).encode()

    async def docs(_: Request) -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "start.js":
            return Response(_START, media_type="text/javascript", headers=_CACHED)
        if name not in _ASSETS:
            return Response(status_code=404)
        return Response(_asset(name), media_type=_ASSETS[name], headers=_CACHED)

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/{name}", asset, include_in_schema=False)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]


_CACHED = {"Cache-Control": "public, max-age=86400"}


@cache
def _asset(name: str) -> bytes:
    return (resources.files("fastapi_swagger.resources") / name).read_bytes()


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes, tags=app.openapi_tags
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        _name_scopes(app, document)
        app.openapi_schema = document
    return app.openapi_schema


def _name_scopes(app: FastAPI, document: dict[str, Any]) -> None:
    """Say at each operation which scope its key needs (OpenAPI 3.1 lets any scheme list the roles it requires)."""
    for route in app.routes:
        if not (isinstance(route, APIRoute) and route.include_in_schema):
            continue
        scopes = [str(found.call.scope) for found in route.dependant.dependencies if isinstance(found.call, Bearer)]
        for method in (route.methods or ()) if scopes else ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["security"] = [{Bearer.scheme_name: scopes}]
            needed = f"Needs a key with the scope `{'`, `'.join(scopes)}`."
            operation["description"] = "\n\n".join(filter(None, (operation.get("description"), needed)))
