"""The whole service in this process, on an in-process chain and a real PostgreSQL, with its workers running."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from chainwallet.bootstrap import Services, open_services
from chainwallet.client import Client
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.workers.crew import Crew
from chainwallet.kit.settings import Settings

OPERATOR_KEY = "cw_" + "k" * 43
PROBLEM = "application/problem+json"
COUNTED = {
    "transfers": "SELECT count(*) FROM transfer",
    "orders": "SELECT count(*) FROM payment_order",
    "open holds": "SELECT count(*) FROM hold WHERE status = 'open'",
    "journal entries": "SELECT count(*) FROM journal_entry",
    "deposits": "SELECT count(*) FROM deposit",
    "maker quotes": "SELECT count(*) FROM maker_quote",
    "reserved and filled": "SELECT coalesce(sum(reserved_units + filled_units), 0) FROM maker_quote",
    "used quotes": "SELECT count(*) FROM quote q JOIN transfer t ON t.quote_id = q.id",
    "idempotency keys": "SELECT count(*) FROM idempotency_key",
    "transactions": "SELECT count(*) FROM chain_tx",
}


@dataclass
class World:
    """The service seen through REST, and what tests need to speak about it."""

    services: Services
    http: TestClient
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def post(self, path: str, body: Any, *, key: str | None = None, status: int = 201, auth: str | None = None) -> Any:
        headers = {"Idempotency-Key": key or f"key-{next(self.numbers)}-{time.monotonic_ns()}"}
        headers["Authorization"] = f"Bearer {auth or OPERATOR_KEY}"
        response = self.http.post(path, json=body, headers=headers)
        assert response.status_code == status, response.text
        return response.json()

    def get(self, path: str, *, status: int = 200, auth: str | None = None, **query: Any) -> Any:
        response = self.http.get(path, params=query, headers={"Authorization": f"Bearer {auth or OPERATOR_KEY}"})
        assert response.status_code == status, response.text
        return response.json()

    def send(self, method: str, path: str, *, auth: str | None = OPERATOR_KEY, **options: Any) -> httpx.Response:
        """A request as it is; `auth` None sends no key at all."""
        headers = dict(options.pop("headers", {}))
        if auth is not None:
            headers.setdefault("Authorization", f"Bearer {auth}")
        return self.http.request(method, path, headers=headers, **options)

    def refused(self, method: str, path: str, status: int, code: str, **options: Any) -> Any:
        """Send what must be refused just so; the problem document."""
        headers = {"Idempotency-Key": f"key-{next(self.numbers)}-{time.monotonic_ns()}"} | options.pop("headers", {})
        if headers["Idempotency-Key"] is None:
            del headers["Idempotency-Key"]
        return refusal(self.send(method, path, headers=headers, **options), status, code)

    def key(self, *scopes: str, customer_id: str | None = None) -> str:
        """The secret of a new key."""
        body: dict[str, Any] = {"name": "journey", "scopes": list(scopes)}
        return str(self.post("/v1/api-keys", body | ({"customer_id": customer_id} if customer_id else {}))["secret"])

    def scalar(self, sql: str, **values: Any) -> Any:
        with self.services.database.transaction() as session:
            return session.connection().exec_driver_sql(sql, values or None).scalar()

    def run(self, sql: str, **values: Any) -> None:
        """Change the database behind the service's back: how a test moves time."""
        with self.services.database.transaction() as session:
            session.connection().exec_driver_sql(sql, values)

    def books(self) -> dict[str, Any]:
        """What must be equal before and after something that moves nothing."""
        with self.services.database.transaction() as session:
            rows = session.connection().exec_driver_sql(
                "SELECT owner_id, currency, kind, posted_units, held_units FROM account"
                " WHERE posted_units <> 0 OR held_units <> 0"
            )
            accounts = {tuple(row[:3]): (int(row[3]), int(row[4])) for row in rows}
        return {what: self.scalar(sql) for what, sql in COUNTED.items()} | {"accounts": accounts}

    def quiet(self) -> None:
        """Wait until nothing is on its way any more."""
        on_its_way = """SELECT (SELECT count(*) FROM transfer WHERE status IN ('accepted', 'submitted'))
            + (SELECT count(*) FROM deposit WHERE status <> 'settled')
            + (SELECT count(*) FROM payment_instruction WHERE status = 'pending')"""
        self.until(lambda: self.scalar(on_its_way) == 0, "nothing is on its way")

    @contextmanager
    def batches_wait(self) -> Iterator[None]:
        """Until the block ends, no batch takes what is accepted in it."""
        usual = self.services.settings
        self.services.settings = usual.model_copy(update={"batch_linger_ms": 600_000})
        try:
            yield
        finally:
            self.services.settings = usual
            self.services.wake("settle")

    def customer(self, kind: str = "individual", **fields: Any) -> Any:
        number = next(self.numbers)
        return self.post("/v1/customers", {"type": kind, "full_name": f"Customer {number}", "country": "DE", **fields})

    def funded(self, code: str, value: str, kind: str = "individual", **fields: Any) -> Any:
        customer = self.customer(kind, **fields)
        self.fund(customer["id"], code, value)
        return customer

    def fund(self, customer_id: str, code: str, value: str) -> None:
        deposit = self.post("/v1/deposits", {"customer_id": customer_id, "amount": {"currency": code, "value": value}})
        self.until(lambda: self.get(f"/v1/deposits/{deposit['id']}")["status"] == "settled", "deposit settles")

    def maker(self, *offers: tuple[str, str, str, str]) -> Any:
        """A maker with the inventory for, and the quotes of, (sell, value, buy, value)."""
        maker = self.customer("maker")
        for sell, sell_value, buy, buy_value in offers:
            self.fund(maker["id"], sell, sell_value)
            self.maker_quote(maker["id"], sell, sell_value, buy, buy_value)
        return maker

    def maker_quote(self, maker_id: str, sell: str, sell_value: str, buy: str, buy_value: str) -> Any:
        body = {
            "maker_id": maker_id,
            "sell": {"currency": sell, "value": sell_value},
            "buy": {"currency": buy, "value": buy_value},
            "expires_at": (datetime.now(UTC) + timedelta(hours=6)).isoformat(),
        }
        return self.post("/v1/maker-quotes", body)

    def quote(self, source: str, target: str, /, *, status: int = 201, **amounts: str) -> Any:
        body: dict[str, Any] = {"source_currency": source, "target_currency": target}
        for side, value in amounts.items():
            body[f"{side}_amount"] = {"currency": source if side == "source" else target, "value": value}
        return self.post("/v1/quotes", body, status=status)

    def transfer(self, quote: Any, payer: Any, payee: Any, *, status: int = 201, **options: Any) -> Any:
        body = {"quote_id": quote["id"], "payer_id": payer["id"], "payee": {"customer_id": payee["id"]}}
        return self.post("/v1/transfers", body, status=status, **options)

    def settled(self, transfer_id: str) -> Any:
        self.until(
            lambda: self.get(f"/v1/transfers/{transfer_id}")["status"] not in ("accepted", "submitted"), "it ends"
        )
        return self.get(f"/v1/transfers/{transfer_id}")

    def available(self, customer_id: str, code: str) -> str:
        return self.balance(customer_id, code)["available"]

    def balance(self, customer_id: str, code: str) -> dict[str, str]:
        """{available, held, settled} in one currency, as decimal strings."""
        parts = ("available", "held", "settled")
        for one in self.get(f"/v1/customers/{customer_id}/balances")["items"]:
            if one["currency"] == code:
                return {part: one[part]["value"] for part in parts}
        return dict.fromkeys(parts, "0.00")

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end, f"waited in vain until {what}"
            time.sleep(0.02)  # another thread's commit is what is waited for


def refusal(response: httpx.Response, status: int, code: str) -> Any:
    """The problem document of a response that must be this refusal, whole and with a sentence to act on."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text}"
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["code"] == code, problem
    assert problem["type"] == f"urn:chainwallet:error:{code}"
    assert problem["status"] == status
    detail = problem["detail"]
    assert detail.endswith("."), f"no sentence: {detail!r}"
    assert len(detail.split()) >= 4, f"no sentence: {detail!r}"
    return problem


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    # A PostgreSQL of its own: other tests empty theirs, and this one's workers never rest.
    settings = Settings(
        chain_url="embedded",
        operator_key=OPERATOR_KEY,
        batch_linger_ms=20,
        webhooks_to_loopback=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chainwallet.chain.steps.EXIT_DELAY_S", 1)  # a day would be long
        services = open_services(settings)
    crew = Crew(services)
    services.unhealthy_workers = crew.unhealthy
    crew.start()
    with TestClient(create_app(services)) as http:
        yield World(services, http)
    crew.stop()
    services.close()


@pytest.fixture(scope="session")
def url(world: World) -> Iterator[str]:
    """The same service behind a socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(world.services)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(address, OPERATOR_KEY) as client:
            client.wait_until_ready()
        yield address
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module", autouse=True)
def nobody_quotes(world: World) -> Iterator[None]:
    """Each file finds a market without quotes: those that others left would be better or worse than its own."""
    yield
    world.quiet()
    world.run("UPDATE maker_quote SET status = 'withdrawn' WHERE status = 'open'")
    world.services.market_changed()


@pytest.fixture
def maker(world: World) -> Iterator[Any]:
    """A maker with 1,000 USD, whose ladders are withdrawn afterwards."""
    found = world.funded("USD", "1000.00", "maker")
    yield found
    world.send("DELETE", f"/v1/makers/{found['id']}/ladders")
