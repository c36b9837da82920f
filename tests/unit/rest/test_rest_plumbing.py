"""The plumbing around a route: limits, refusals, headers, the document that describes it all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.responses import Response
from structlog.testing import capture_logs

from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Authenticator, Principal
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.rest.auth import Idempotent, require
from chainwallet.entrypoints.rest.direct import direct_handler
from chainwallet.entrypoints.rest.limits import FailedLogins, Limits
from chainwallet.entrypoints.rest.models import Amount, AmountOut, StrictModel, Text
from chainwallet.entrypoints.rest.problems import RateLimited, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.routes import api_keys, customers, events, health, webhooks
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing

OPERATOR = "the-operators-own-key"
AUTH = {"Authorization": f"Bearer {OPERATOR}"}
KEYED = AUTH | {"Idempotency-Key": "k-1"}
PAYMENT = {"amount": {"currency": "EUR", "value": "100.00"}, "note": "Invoice 1"}

router = new_router(tag="payments")


class PaymentIn(StrictModel):
    amount: Amount
    note: Text


@router.post(
    "/v1/payments",
    status_code=201,
    response_model=AmountOut,
    summary="Pay",
    responses=problem_responses(IdempotencyKeyMissing, IdempotencyKeyInvalid),
)
async def post_payment(
    body: PaymentIn, principal: Annotated[Principal, Depends(require(Scope.TRANSFERS))], key: Idempotent
) -> Response:
    claim = key.claim(principal, "pay_1")
    return json_response({"units": body.amount.money.units, "route": claim.route, "sha": claim.body_sha256.hex()}, 201)


@router.post("/v1/payments-the-usual-way", status_code=201)
async def post_payment_the_usual_way(
    body: PaymentIn,
    principal: Annotated[Principal, Depends(require(Scope.TRANSFERS))],
    key: Idempotent,
    dry: bool = False,
) -> Response:
    """As post_payment; its query parameter keeps it from being called directly."""
    return await post_payment(body, principal, key)


@router.post("/v1/payment-files")
async def post_file(request: Request) -> Response:
    return json_response({"bytes": len(await request.body())})


@router.get("/v1/broken")
async def get_broken() -> Response:
    raise RuntimeError("password=hunter2 in /srv/secret.py")


@router.get("/v1/refused")
async def get_refused() -> Response:
    raise ChainwalletError("A sentence for callers.", limit="5.00")


class NoServices:
    database: Any = None
    authenticator = Authenticator(None, operator_key=OPERATOR)  # type: ignore[arg-type]


@pytest.fixture
def app() -> FastAPI:
    return create_app(NoServices(), routers=[router], limits=Limits(in_flight_max=4, failed_logins_burst=3))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document = answer.json()
    assert (answer.status_code, document["code"], document["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:chainwallet:error:{code}"
    assert document["instance"].endswith(answer.headers["x-request-id"])
    assert document["detail"].endswith((".", "...")), document["detail"]
    return document


def send(client: TestClient, body: bytes | str, **headers: str) -> httpx.Response:
    declared = {"Content-Type": "application/json"} | KEYED | {name.replace("_", "-"): v for name, v in headers.items()}
    return client.post("/v1/payments", content=body, headers=declared)


def test_a_good_request_goes_through(client: TestClient) -> None:
    answer = client.post("/v1/payments", json=PAYMENT, headers=KEYED)
    assert (answer.status_code, answer.json()["units"]) == (201, 100_000_000)
    assert answer.json()["route"] == "POST /v1/payments"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_body_hash_is_of_the_meaning(client: TestClient) -> None:
    spaced = json.dumps(PAYMENT, indent=4, sort_keys=True)
    other = json.dumps(PAYMENT | {"note": "Invoice 2"})
    hashes = [send(client, body).json()["sha"] for body in (json.dumps(PAYMENT), spaced, other)]
    assert hashes[0] == hashes[1] != hashes[2]


SAME_EITHER_WAY = {
    "good": (json.dumps(PAYMENT), KEYED),
    "no key": (json.dumps(PAYMENT), {"Idempotency-Key": "k"}),
    "no idempotency key": (json.dumps(PAYMENT), AUTH),
    "empty idempotency key": (json.dumps(PAYMENT), AUTH | {"Idempotency-Key": ""}),
    "no idempotency key and a bad body": ("{}", AUTH),
    "neither key": ("{}", {}),
    "empty object": ("{}", KEYED),
    "empty body": ("", KEYED),
    "null": ("null", KEYED),
    "array": ("[]", KEYED),
    "text": ('"x"', KEYED),
    "bad amount": ('{"amount": {"currency": "EUR", "value": "1.001"}, "note": "x"}', KEYED),
    "several": ('{"amount": {"currency": 1, "value": 2}, "note": "\\n", "x": 1, "y": {}}', KEYED),
    "malformed": ("{", KEYED),
}


@pytest.mark.parametrize("kind", SAME_EITHER_WAY)
def test_a_route_that_is_called_directly_answers_as_the_framework_would(client: TestClient, kind: str) -> None:
    body, headers = SAME_EITHER_WAY[kind]
    answers = []
    for path in ("/v1/payments", "/v1/payments-the-usual-way"):
        declared = headers | {"Content-Type": "application/json"}
        answer = client.post(path, content=body, headers=declared)
        answers.append((answer.status_code, answer.json() | {"instance": "", "route": ""}))
    assert answers[0] == answers[1]


def test_the_busy_shape_is_called_directly_and_others_are_not() -> None:
    assert direct_handler(post_payment) is not None
    for endpoint in (post_payment_the_usual_way, post_file, get_broken):
        assert direct_handler(endpoint) is None


BAD_AMOUNTS: dict[str, tuple[str, str]] = {
    "unknown currency": ('{"currency": "EUX", "value": "1.00"}', "MONEY_UNKNOWN_CURRENCY"),
    "three decimals of EUR": ('{"currency": "EUR", "value": "1.001"}', "MONEY_INVALID_AMOUNT"),
    "negative": ('{"currency": "EUR", "value": "-1.00"}', "MONEY_INVALID_AMOUNT"),
    "float": ('{"currency": "EUR", "value": 1.5}', "MONEY_INVALID_AMOUNT"),
    "integer": ('{"currency": "EUR", "value": 1}', "MONEY_INVALID_AMOUNT"),
    "exponent": ('{"currency": "EUR", "value": "1e3"}', "MONEY_INVALID_AMOUNT"),
    "exponent as a number": ('{"currency": "EUR", "value": 1e3}', "MONEY_INVALID_AMOUNT"),
    "boolean": ('{"currency": "EUR", "value": true}', "MONEY_INVALID_AMOUNT"),
    "10^30": ('{"currency": "EUR", "value": "1000000000000000000000000000000"}', "MONEY_INVALID_AMOUNT"),
    "10^30 as a number": ('{"currency": "EUR", "value": 1000000000000000000000000000000}', "MONEY_INVALID_AMOUNT"),
    "1e500000": ('{"currency": "EUR", "value": "1e500000"}', "MONEY_INVALID_AMOUNT"),
    "foreign digits": ('{"currency": "EUR", "value": "١٠٠"}', "MONEY_INVALID_AMOUNT"),
    "zero": ('{"currency": "EUR", "value": "0.00"}', "MONEY_INVALID_AMOUNT"),
    "unknown field": ('{"currency": "EUR", "value": "1.00", "x": 1}', "REQUEST_INVALID"),
    "no value": ('{"currency": "EUR"}', "REQUEST_INVALID"),
    "text": ('"100 EUR"', "REQUEST_INVALID"),
    "null": ("null", "REQUEST_INVALID"),
}


@pytest.mark.parametrize("kind", BAD_AMOUNTS)
def test_a_bad_amount_is_refused_with_a_code_a_place_and_a_sentence(client: TestClient, kind: str) -> None:
    amount, code = BAD_AMOUNTS[kind]
    found = problem(send(client, f'{{"amount": {amount}, "note": "x"}}'), 422, code)
    assert all(part["pointer"].startswith("/amount") and part["in"] == "body" for part in found["errors"])


def test_each_wrong_thing_is_listed_and_no_input_is_echoed(client: TestClient) -> None:
    body = {"amount": {"currency": "EUR", "value": "1.001"}, "note": 5, "a/b~c": "hunter2"}
    found = problem(client.post("/v1/payments", json=body, headers=KEYED), 422, "REQUEST_INVALID")
    codes = {part["pointer"]: part["code"] for part in found["errors"]}
    assert codes == {"/amount": "MONEY_INVALID_AMOUNT", "/note": "REQUEST_INVALID", "/a~1b~0c": "REQUEST_INVALID"}
    assert "hunter2" not in json.dumps(found)


def test_bodies_that_are_not_strict_json_are_refused(client: TestClient) -> None:
    problem(send(client, '{"note": "a", "note": "b"}'), 400, "REQUEST_MALFORMED")
    problem(send(client, "{"), 400, "REQUEST_MALFORMED")
    problem(send(client, ""), 422, "REQUEST_INVALID")
    for kind in ("text/plain", "application/xml", "application/json; charset=utf-16", "application/problem+json", ""):
        problem(send(client, json.dumps(PAYMENT), Content_Type=kind), 415, "REQUEST_MEDIA_TYPE")
    problem(send(client, json.dumps(PAYMENT), Content_Encoding="gzip"), 415, "REQUEST_MEDIA_TYPE")
    assert send(client, json.dumps(PAYMENT), Content_Type="application/json; charset=UTF-8").status_code == 201


def test_the_idempotency_key_is_demanded_and_checked(client: TestClient) -> None:
    problem(client.post("/v1/payments", json=PAYMENT, headers=AUTH), 400, "IDEMPOTENCY_KEY_MISSING")
    for key in ("", "a b", "x" * 256, "é".encode()):
        headers = [*AUTH.items(), ("Idempotency-Key", key)]
        problem(client.post("/v1/payments", json=PAYMENT, headers=headers), 400, "IDEMPOTENCY_KEY_INVALID")
    headers = AUTH | {"Idempotency-Key": "!" + "~" * 254}
    assert client.post("/v1/payments", json=PAYMENT, headers=headers).status_code == 201


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", OPERATOR, "Bearer " + "x" * 600])
def test_without_a_bearer_key_nothing_is_done(client: TestClient, header: str | None) -> None:
    headers = {"Idempotency-Key": "k"} | ({} if header is None else {"Authorization": header})
    answer = client.post("/v1/payments", json=PAYMENT, headers=headers)
    problem(answer, 401, "AUTH_KEY_MISSING")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_guessing_keys_is_slowed_down_and_the_right_key_is_not(client: TestClient) -> None:
    codes = []
    for _ in range(5):
        answer = client.post("/v1/payments", json=PAYMENT, headers=KEYED | {"Authorization": "Bearer guess"})
        codes.append(answer.json()["code"])
    assert codes == ["AUTH_KEY_INVALID"] * 3 + ["RATE_LIMITED"] * 2
    assert answer.headers["retry-after"] == "1"
    assert client.post("/v1/payments", json=PAYMENT, headers=KEYED).status_code == 201


def test_failed_logins_are_forgiven_with_time_and_kept_apart() -> None:
    now = 0.0
    failed = FailedLogins(Limits(failed_logins_per_s=1, failed_logins_burst=2), monotonic=lambda: now)
    for _ in range(2):
        failed.check("a")
        failed.note("a")
    with pytest.raises(RateLimited):
        failed.check("a")
    failed.check("b")
    now = 1.0
    failed.check("a")


def test_a_body_that_is_too_large_is_refused_declared_or_not(client: TestClient) -> None:
    huge = json.dumps(PAYMENT | {"note": "x" * 65_536})
    problem(send(client, huge), 413, "REQUEST_TOO_LARGE")

    def chunks() -> Iterator[bytes]:
        yield from (b" " * 1_024 for _ in range(80))

    assert "content-length" not in client.build_request("POST", "/", content=chunks()).headers
    problem(send(client, chunks()), 413, "REQUEST_TOO_LARGE")  # type: ignore[arg-type]
    assert send(client, json.dumps(PAYMENT).ljust(65_536)).status_code == 201
    assert client.post("/v1/payment-files", content=b"x" * 2**20, headers=AUTH).json() == {"bytes": 2**20}
    problem(client.post("/v1/payment-files", content=b"x" * (2**23 + 1), headers=AUTH), 413, "REQUEST_TOO_LARGE")


def test_unknown_paths_and_methods_are_problems_too(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404, "ROUTE_UNKNOWN")
    problem(client.get("/v1/payments/"), 404, "ROUTE_UNKNOWN")
    answer = client.put("/v1/payments")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


def test_an_unforeseen_error_says_nothing_and_can_be_found_in_the_log(client: TestClient) -> None:
    with capture_logs() as logs:
        answer = client.get("/v1/broken", headers={"X-Request-Id": "trace-12345678"})
    found = problem(answer, 500, "INTERNAL")
    assert "hunter2" not in answer.text
    assert "secret.py" not in answer.text
    assert found["instance"] == "urn:chainwallet:request:trace-12345678"
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["unexpected_error"]


def test_a_rooms_refusal_keeps_its_figures(client: TestClient) -> None:
    assert problem(client.get("/v1/refused"), 500, "INTERNAL")["context"] == {"limit": "5.00"}


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "new\x1b[31mcolour", "semi;colon;semi", "é" * 8])
def test_a_strange_request_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/v1/refused", headers=[("X-Request-Id", given.encode())])
    assert re.fullmatch("req_[0-9A-Z]{26}", answer.headers["x-request-id"])


def test_nothing_a_caller_sends_makes_two_log_lines(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Attack 24: one event is one line, and no secret is in it."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        app = create_app(NoServices(), routers=[router])
        with TestClient(app, raise_server_exceptions=False) as client:
            for evil in ("\r\nevil", "\x1b[2Jevil", "\u2028evil", "%0a%0devil", "\x00evil"):
                body = {"amount": {"currency": evil, "value": evil}, "note": evil, evil: evil}
                client.post("/v1/payments", json=body, headers=KEYED)
                client.get(f"/v1/{evil.encode().hex()}%0aevil?x=%0devil", headers=AUTH)
    finally:
        structlog.reset_defaults()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    for line in lines:
        assert json.loads(line)["event"] == "request"
        assert "evil" not in line
        assert OPERATOR not in line


def test_more_requests_than_can_be_served_are_told_so_but_health_answers(app: FastAPI) -> None:
    """Attack 26: slow senders fill the places; the rest is refused at once, and health still answers."""

    async def slow(done: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"{"
        await done.wait()
        yield b"}"

    async def run() -> None:
        done = asyncio.Event()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=KEYED) as client:
            declared = {"Content-Type": "application/json"}
            held = [
                asyncio.create_task(client.post("/v1/payments", content=slow(done), headers=declared)) for _ in range(4)
            ]
            while app.state.in_flight.count < 4:
                await asyncio.sleep(0)
            problem(await client.post("/v1/payments", json=PAYMENT), 503, "OVERLOADED")
            assert (await client.get("/health/nothing")).status_code == 404
            done.set()
            assert {answer.status_code for answer in await asyncio.gather(*held)} == {422}
            assert (await client.post("/v1/payments", json=PAYMENT)).status_code == 201

    asyncio.run(run())


def test_a_body_that_never_ends_is_cut_off(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainwallet.entrypoints.rest.strict_json.BODY_TIMEOUT_S", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=KEYED) as client:
            return await client.post("/v1/payments", content=never(), headers={"Content-Type": "application/json"})

    problem(asyncio.run(run()), 408, "REQUEST_TIMEOUT")


@pytest.fixture
def document() -> dict[str, Any]:
    own = [customers.router, api_keys.router, webhooks.router, events.router, health.router]
    app = create_app(NoServices(), routers=[router, *own])
    with TestClient(app) as client:
        return dict(client.get("/openapi.json").json())


def test_the_openapi_document_says_what_is_needed_and_what_may_go_wrong(document: dict[str, Any]) -> None:
    pay = document["paths"]["/v1/payments"]["post"]
    assert pay["security"] == [{"bearerKey": ["transfers"]}]
    assert "Needs a key with the scope `transfers`." in pay["description"]
    assert document["components"]["securitySchemes"]["bearerKey"]["scheme"] == "bearer"
    key = next(found for found in pay["parameters"] if found["name"] == "Idempotency-Key")
    assert key["required"]
    assert {"201", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"} == set(pay["responses"])
    assert "IDEMPOTENCY_KEY_MISSING" in pay["responses"]["400"]["description"]
    for status, response in pay["responses"].items():
        if status != "201":
            assert list(response["content"]) == ["application/problem+json"]
    assert document["components"]["schemas"]["PaymentIn"]["additionalProperties"] is False
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_reference_in_the_document_leads_somewhere_and_every_route_is_described(document: dict[str, Any]) -> None:
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))):
        assert name in document["components"]["schemas"], name
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["tags"], (method, path)
            if path not in ("/v1/payment-files", "/v1/payments-the-usual-way", "/v1/broken", "/v1/refused"):
                assert operation["summary"], (method, path)


def test_the_documentation_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert re.findall(r"https?://", page.text) == []
    for name in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
        assert client.get(f"/{name}").status_code == 200, name
    assert client.get("/docs/../app.py").status_code == 404
    assert client.get("/docs/nothing.js").status_code == 404
