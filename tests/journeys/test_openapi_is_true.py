"""What the OpenAPI document says is what the service does: each operation is tried with what it allows and forbids."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.rest.limits import Limits
from chainwallet.entrypoints.workers.anchor import state_reserves

from .conftest import OPERATOR_KEY, World

EXAMPLES = 25
ANYWHERE = {"id": "any"}
ENDLESS = "/v1/events"  # a stream without an end; tests/integration/rest listens to it
SOCKET = "/v1/makers/{maker_id}/stream"  # succeeds as a WebSocket only: test_maker_stream.py

CHECKS = {
    "not_a_server_error": {"enabled": True},
    "status_code_conformance": {"enabled": True},
    "content_type_conformance": {"enabled": True},
    "response_schema_conformance": {"enabled": True},
    "response_headers_conformance": {"enabled": True},
    "negative_data_rejection": {"enabled": True},
    # A schema cannot say that a currency exists, that a name is nobody's or that a time is near: 422 is an answer; nor
    # that a path is a WebSocket: 426 is one too.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "404", "409", "422", "426"]},
    "missing_required_header": {"enabled": True},
    "unsupported_method": {"enabled": True},
    "ignored_auth": {"enabled": True},
}


def _operations() -> list[tuple[str, str]]:
    document = create_app(SimpleNamespace(database=None)).openapi()
    return [(path, method) for path, methods in document["paths"].items() for method in methods if path != ENDLESS]


@pytest.fixture(scope="module")
def described(world: World) -> Any:
    """The document as the service hands it out. Wrong keys are part of the trials, so they may be many."""
    app = create_app(world.services, limits=Limits(failed_logins_burst=1_000_000))
    config = SchemathesisConfig.from_dict({"checks": CHECKS, "generation": {"allow-extra-parameters": False}})
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


def test_document__describes_every_route(world: World) -> None:
    paths = world.http.get("/openapi.json").json()["paths"]
    assert len(_operations()) >= 36
    assert {(path, method) for path in paths for method in paths[path] if path != ENDLESS} == set(_operations())


def _quote(target: str) -> dict[str, Any]:
    amount = {"currency": "EUR", "value": "10.00"}
    return {"source_currency": "EUR", "target_currency": target, "source_amount": amount}


def test_answers__that_succeed__are_as_described(world: World, described: Any) -> None:
    """Invented ids mostly lead nowhere; here each operation is asked for things that exist."""
    maker = world.maker(("USD", "5000.00", "EUR", "4600.00"))
    payer, payee = world.funded("EUR", "100.00"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "USD", source="10.00"), payer, payee)["id"])
    deposit = world.get("/v1/deposits", customer_id=payer["id"])["items"][0]
    world.quiet()
    assert state_reserves(world.services) is not None
    proof = f"/v1/customers/{payer['id']}/proof"
    world.until(lambda: world.send("GET", proof).status_code == 200, "what is owed is anchored")
    ids = {
        "customer_id": payer["id"],
        "transfer_id": transfer["id"],
        "deposit_id": deposit["id"],
        "batch_id": transfer["settlement"]["batch_id"],
        "maker_id": maker["id"],
        "pair": "USD-EUR",
    }
    amount = {"currency": "USD", "value": "10.00"}
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    bodies = {
        "/v1/customers": {"type": "business", "full_name": "Customer DE-014", "country": "DE", "email": "a@b.de"},
        "/v1/quotes": _quote("USD"),
        "/v1/deposits": {"customer_id": payer["id"], "amount": amount},
        "/v1/maker-quotes": {
            "maker_id": maker["id"],
            "sell": amount,
            "buy": {"currency": "EUR", "value": "9.00"},
            "expires_at": expires_at,
        },
        "/v1/makers/{maker_id}/ladders/{pair}": {
            "version": 1,
            "expires_at": expires_at,
            "levels": [{"sell": "10.00", "buy": "9.50"}],
        },
        "/v1/customers/{customer_id}/exits": {
            "amount": {"currency": "EUR", "value": "1.00"},
            "recipient": "0x" + "99" * 20,
        },
        "/v1/transfers": {
            "quote_id": world.post("/v1/quotes", _quote("USD"))["id"],
            "payer_id": payer["id"],
            "payee": {"address": payee["address"]},
            "purpose": "SALA",
            "reference": "Invoice 7",
        },
        "/v1/customers/{customer_id}/freeze": {"reason": "a trial"},
        "/v1/customers/{customer_id}/unfreeze": {"reason": "it is over"},
        "/v1/api-keys": {"name": "payments service", "scopes": ["read"]},
        "/v1/corridors": {"based_on": world.get("/v1/corridors")["revision"], "note": "none", "corridors": [ANYWHERE]},
        "/v1/webhooks": {"url": "http://127.0.0.1:9/described", "events": ["transfer.settled"]},
    }
    asked = 0
    for path, method in _operations():
        names = re.findall(r"{(\w+)}", path)
        has_body = method in ("post", "put")
        if not set(names) <= ids.keys() or (has_body and path not in bodies) or path == SOCKET:
            continue
        given = {"body": bodies[path], "media_type": "application/json"} if has_body else {}
        case = described[path][method].Case(path_parameters={name: ids[name] for name in names}, **given)
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}", "Idempotency-Key": f"described-{asked}"}
        answer = case.call_and_validate(headers=headers)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.text}"
        asked += 1
    assert asked >= 32


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), _operations())
def test_operation__does_what_the_document_says(world: World, described: Any, path: str, method: str) -> None:
    operation = described[path][method]
    strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE) | operation.as_strategy(
        generation_mode=GenerationMode.NEGATIVE
    )
    seed = int(hashlib.sha256(f"{method} {path}".encode()).hexdigest()[:8], 16)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {OPERATOR_KEY}"})

    holds()
    if path == "/v1/corridors" and method == "put":  # a trial may have closed corridors that others need
        newest = world.get("/v1/corridors")["revision"]
        body = {"based_on": newest, "note": "as it ships", "corridors": [ANYWHERE]}
        assert world.send("PUT", path, json=body).status_code == 200
