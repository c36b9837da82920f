"""Attack 23: every operation of the whole service, asked without a key, with a wrong one, and with one scope short."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from chainwallet.controls.identity.api_keys import Scope, new_secret
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.rest.limits import Limits

OPEN = {"/health/live", "/health/ready", "/health/books", "/metrics"}


@pytest.fixture
def whole(services: Any) -> Iterator[TestClient]:
    """Every route there is; their services are not reached, because rights are asked for first."""
    app = create_app(services, limits=Limits(failed_logins_burst=10_000))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def operations(client: TestClient) -> list[tuple[str, str, list[str]]]:
    paths = client.get("/openapi.json").json()["paths"]
    found = []
    for path, methods in paths.items():
        for method, operation in methods.items():
            scopes = [scope for scheme in operation.get("security", []) for scope in scheme["bearerKey"]]
            found.append((method.upper(), re.sub(r"\{[^}]+\}", "cus_01JD3ZK8G7V5N2Q0X4Y6W8R1TA", path), scopes))
    return found


def test_every_operation_asks_for_a_key_and_for_its_scope(whole: TestClient, key_for: Callable[..., Any]) -> None:
    asked = 0
    for method, path, scopes in operations(whole):
        if path in OPEN:
            assert scopes == [], path
            continue
        assert len(scopes) == 1, f"{method} {path} asks for no scope"
        body = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
        short = key_for(*(scope for scope in Scope if scope != scopes[0]))
        wrong = {"Authorization": f"Bearer {new_secret()}"}
        for headers, status, code in (
            ({}, 401, "AUTH_KEY_MISSING"),
            (wrong, 401, "AUTH_KEY_INVALID"),
            (short, 403, "AUTH_SCOPE_MISSING"),
        ):
            answer = whole.request(method, path, headers=headers | {"Idempotency-Key": "k"}, **body)
            assert (answer.status_code, answer.json().get("code")) == (status, code), f"{method} {path}"
            asked += 1
    assert asked >= 30
