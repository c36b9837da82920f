"""The whole service in this process, on an in-process chain and a real PostgreSQL, with its workers running."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from chainwallet.bootstrap import Services, open_services
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.workers.crew import Crew
from chainwallet.kit.database import Database
from chainwallet.kit.settings import Settings

OPERATOR_KEY = "cw_" + "k" * 43


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
        items = self.get(f"/v1/customers/{customer_id}/balances")["items"]
        return next((one["available"]["value"] for one in items if one["currency"] == code), "0.00")

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end, f"waited in vain until {what}"
            time.sleep(0.02)  # another thread's commit is what is waited for


@pytest.fixture(scope="session")
def world(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("world"),
        database_url=postgres.url,
        chain_url="embedded",
        operator_key=OPERATOR_KEY,
        batch_linger_ms=20,
        webhooks_to_loopback=True,
    )
    services = open_services(settings)
    crew = Crew(services)
    services.unhealthy_workers = crew.unhealthy
    crew.start()
    with TestClient(create_app(services)) as http:
        yield World(services, http)
    crew.stop()
    services.close()
