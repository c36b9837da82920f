"""What is open to anyone: whether it lives, how it does, and its own manual; all of it without the internet."""

from __future__ import annotations

import re

import pytest

from .conftest import World

ELSEWHERE = re.compile(r"""(?:src|href|url)\s*=\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)


def test_health__says_that_it_lives_and_takes_work(world: World) -> None:
    assert world.http.get("/health/live").json() == {"status": "alive"}
    ready = world.http.get("/health/ready")
    assert ready.status_code == 200, ready.text
    assert ready.json() == {"status": "ready", "checks": {"database": "ok", "chain": "ok", "workers": "ok"}}


def test_health__a_worker_that_fails__is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.services, "unhealthy_workers", lambda: ["settle"])
    ready = world.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"]["workers"] == "failing: settle"
    assert world.http.get("/health/live").status_code == 200, "alive all the same"


def test_metrics__count_requests_by_route_and_tell_no_ids(world: World) -> None:
    customer = world.customer()
    world.get(f"/v1/customers/{customer['id']}")
    page = world.http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'route="/v1/customers/{customer_id}"' in page.text
    assert customer["id"] not in page.text
    assert "chainwallet_http_unexpected_errors_total" in page.text


def test_docs__need_nothing_from_elsewhere(world: World) -> None:
    page = world.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not ELSEWHERE.search(page.text), "the page loads something from another host"
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) >= 3
    for part in parts:
        answer = world.http.get(f"/{part}")
        assert answer.status_code == 200, part
        assert answer.content, part


def test_openapi__is_whole_and_names_no_other_host(world: World) -> None:
    document = world.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "servers" not in document, "the document is true wherever the service runs"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {path}"
            assert len(operation["responses"]) >= 2 or not path.startswith("/v1"), f"{method} {path}"


def test_unknown_path__is_a_problem_and_needs_no_key(world: World) -> None:
    world.refused("GET", "/v1/nothing", 404, "ROUTE_UNKNOWN", auth=None)
    problem = world.refused("PUT", "/v1/transfers", 405, "METHOD_NOT_ALLOWED", auth=None)
    assert "Allow" in problem["detail"]
