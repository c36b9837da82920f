"""Customers, keys and webhooks over REST: the happy ways, the rights, the words of refusal."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.customers import Customer, CustomerType
from chainwallet.kit.database import Database

Open = Callable[..., Customer]
Key = Callable[..., dict[str, str]]
DRAFT = {"type": "business", "full_name": "Customer DE-014", "country": "DE"}


def test_a_customer_is_opened_read_and_listed(client: TestClient) -> None:
    made = client.post("/v1/customers", json=DRAFT | {"alias": "Shop", "email": "pay@example.com"})
    assert made.status_code == 201
    body = made.json()
    assert (body["status"], body["alias"], body["address"][:2]) == ("active", "shop", "0x")
    assert client.get(f"/v1/customers/{body['id']}").json() == body
    assert client.get("/v1/customers").json() == {"items": [body], "next_cursor": None}


def test_pages_cover_everything_once(client: TestClient, open_customer: Open) -> None:
    wanted = [open_customer().id for _ in range(7)]
    found, cursor = [], None
    while True:
        page = client.get("/v1/customers", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        broken = ("A" if cursor[5] != "A" else "B").join((cursor[:5], cursor[6:]))
        assert client.get("/v1/customers", params={"cursor": broken}).json()["code"] == "CURSOR_INVALID"
    assert found == sorted(wanted)


def test_one_key_makes_one_customer_however_often_it_is_sent(client: TestClient, database: Database) -> None:
    headers = {"Idempotency-Key": "open-1"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/customers", json=DRAFT, headers=headers), range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    with database.transaction() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM customer").scalar_one() == 1
    reordered = '{"country": "DE", "full_name":"Customer DE-014","type":"business"}'
    same = client.post("/v1/customers", content=reordered, headers=headers | {"Content-Type": "application/json"})
    assert same.content == answers[0].content
    other = client.post("/v1/customers", json=DRAFT | {"country": "FR"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "tab\there"])
def test_a_malformed_idempotency_key_is_refused(client: TestClient, key: str) -> None:
    answer = client.post("/v1/customers", json=DRAFT, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")


def test_freezing_needs_the_scope_admin_and_a_reason(client: TestClient, key_for: Key, open_customer: Open) -> None:
    customer = open_customer()
    path = f"/v1/customers/{customer.id}"
    assert client.post(f"{path}/freeze", json={}).json()["errors"][0]["pointer"] == "/reason"
    denied = client.post(f"{path}/freeze", json={"reason": "x"}, headers=key_for(Scope.CUSTOMERS, Scope.READ))
    assert (denied.status_code, denied.json()["code"]) == (403, "AUTH_SCOPE_MISSING")
    assert client.post(f"{path}/freeze", json={"reason": "court order"}).json()["status"] == "frozen"
    assert client.post(f"{path}/unfreeze", json={"reason": "lifted"}).json()["status"] == "active"
    assert client.post("/v1/customers/cus_x/freeze", json={"reason": "x"}).json()["code"] == "CUSTOMER_UNKNOWN"


def test_a_bank_sees_and_opens_its_own_customers_only(client: TestClient, key_for: Key, open_customer: Open) -> None:
    bank, rival = open_customer(type=CustomerType.BANK), open_customer(type=CustomerType.BANK)
    foreign = open_customer(bank_id=rival.id)
    headers = key_for(Scope.CUSTOMERS, Scope.READ, customer_id=bank.id)
    mine = client.post("/v1/customers", json=DRAFT, headers=headers).json()
    assert mine["bank_id"] == bank.id
    listed = client.get("/v1/customers", headers=headers).json()["items"]
    assert {item["id"] for item in listed} == {bank.id, mine["id"]}
    hidden = client.get(f"/v1/customers/{foreign.id}", headers=headers)
    absent = client.get("/v1/customers/cus_nobody", headers=headers)
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json() | {"instance": ""} == absent.json() | {"instance": ""}
    for refused in ({"bank_id": rival.id}, {"bank_id": "cus_nobody"}):
        assert client.post("/v1/customers", json=DRAFT | refused, headers=headers).json()["code"] == "CUSTOMER_UNKNOWN"
    for kind in ("bank", "maker"):
        assert client.post("/v1/customers", json=DRAFT | {"type": kind}, headers=headers).status_code == 403


def test_an_api_key_is_shown_once_works_and_ends(client: TestClient) -> None:
    made = client.post("/v1/api-keys", json={"name": "reader", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert client.get("/v1/customers", headers=headers).status_code == 200
    assert client.post("/v1/customers", json=DRAFT, headers=headers).status_code == 403
    listed = client.get("/v1/api-keys").json()["items"]
    assert [item["id"] for item in listed] == [made["id"]]
    assert made["secret"] not in client.get("/v1/api-keys").text
    assert client.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert client.get("/v1/customers", headers=headers).json()["code"] == "AUTH_KEY_INVALID"
    assert client.delete("/v1/api-keys/key_nobody").json()["code"] == "API_KEY_UNKNOWN"


def test_a_webhook_is_made_listed_and_ended_by_its_owner(client: TestClient, key_for: Key, open_customer: Open) -> None:
    mine = key_for(Scope.WEBHOOKS, customer_id=open_customer().id)
    other = key_for(Scope.WEBHOOKS, customer_id=open_customer().id)
    made = client.post("/v1/webhooks", json={"url": "https://bank.example.com/hook"}, headers=mine).json()
    assert made["secret"].startswith("whsec_")
    assert [item["id"] for item in client.get("/v1/webhooks", headers=mine).json()["items"]] == [made["id"]]
    assert client.get("/v1/webhooks", headers=other).json()["items"] == []
    assert client.delete(f"/v1/webhooks/{made['id']}", headers=other).json()["code"] == "WEBHOOK_UNKNOWN"
    assert client.delete(f"/v1/webhooks/{made['id']}", headers=mine).status_code == 204
    refused = client.post("/v1/webhooks", json={"url": "https://10.0.0.1/"}, headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (422, "WEBHOOK_URL_REFUSED")


def test_health_and_metrics_need_no_key(client: TestClient, services: object) -> None:
    client.headers.pop("Authorization")
    assert client.get("/health/live").json() == {"status": "alive"}
    assert client.get("/health/ready").json() == {"status": "ready", "checks": {"database": "ok"}}
    services.checks = {"database": "ok", "chain": "no answer"}  # type: ignore[attr-defined]
    not_ready = client.get("/health/ready")
    assert (not_ready.status_code, not_ready.json()["status"]) == (503, "not_ready")
    client.get("/v1/customers/cus_secret_id")
    metrics = client.get("/metrics").text
    assert 'route="/v1/customers/{customer_id}",status="401"' in metrics
    assert "cus_secret_id" not in metrics
