"""The REST application over a real PostgreSQL, with wallets and seals that are only shapes."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from eth_utils.address import to_checksum_address
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import Session, SQLModel

from chainwallet.adapters.messaging.webhooks import WebhookSender
from chainwallet.controls.identity.api_keys import ApiKey, Scope, create_api_key
from chainwallet.controls.identity.authenticator import Authenticator
from chainwallet.controls.identity.customers import Customer, CustomerDraft, CustomerType, create_customer
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.rest.routes import api_keys, customers, events, health, webhooks
from chainwallet.kit.database import Database, open_database
from chainwallet.kit.settings import Settings
from chainwallet.records.audit import AuditEntry
from chainwallet.records.idempotency import IdempotencyKey
from chainwallet.records.outbox import OutboxEvent
from chainwallet.records.webhooks import Webhook, WebhookDelivery

OPERATOR = "the-operators-own-key"
ROUTERS = [customers.router, api_keys.router, webhooks.router, events.router, health.router]
TABLES = [
    model.__table__  # type: ignore[attr-defined]
    for model in (Customer, ApiKey, AuditEntry, IdempotencyKey, OutboxEvent, Webhook, WebhookDelivery)
]


class FakeServices:
    """What bootstrap wires, as far as these routes use it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.settings = Settings()
        self.authenticator = Authenticator(database, operator_key=OPERATOR)
        self.webhook_sender = WebhookSender(allow_loopback=True)
        self.checks = {"database": "ok"}

    def new_address(self, _: Session, owner_id: str, /) -> str:
        return to_checksum_address("0x" + hashlib.sha256(owner_id.encode()).hexdigest()[:40])

    def seal(self, plaintext: bytes, associated: str, /) -> bytes:
        return associated.encode() + bytes(byte ^ 0x5A for byte in plaintext)

    def unseal(self, sealed: bytes, associated: str, /) -> bytes:
        return bytes(byte ^ 0x5A for byte in sealed.removeprefix(associated.encode()))

    def readiness(self) -> dict[str, str]:
        return self.checks


@pytest.fixture(scope="session")
def rest_postgres() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        database = open_database(None, data_dir=Path(folder), pool_size=48)
        SQLModel.metadata.create_all(database.engine, tables=TABLES)
        yield database
        database.close()


@pytest.fixture
def database(rest_postgres: Database) -> Database:
    names = ", ".join(table.name for table in TABLES)
    with rest_postgres.transaction() as session:
        session.connection().exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    return rest_postgres


@pytest.fixture
def services(database: Database) -> FakeServices:
    return FakeServices(database)


@pytest.fixture
def app(services: FakeServices) -> FastAPI:
    return create_app(services, routers=ROUTERS)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client with the operator's key."""
    with TestClient(app, headers={"Authorization": f"Bearer {OPERATOR}"}, raise_server_exceptions=False) as found:
        yield found


@pytest.fixture
def key_for(database: Database) -> Callable[..., dict[str, str]]:
    """Headers with a new key that has `scopes`, bound to `customer_id` if given."""

    def make(*scopes: Scope, customer_id: str | None = None) -> dict[str, str]:
        with database.transaction() as session:
            _, secret = create_api_key(session, name="test", scopes=scopes, customer_id=customer_id, actor="operator")
        return {"Authorization": f"Bearer {secret}"}

    return make


@pytest.fixture
def open_customer(database: Database, services: FakeServices) -> Callable[..., Customer]:
    def open_one(**given: Any) -> Customer:
        values = {"type": CustomerType.INDIVIDUAL, "full_name": "Customer DE-001", "country": "DE"} | given
        with database.transaction() as session:
            return create_customer(session, CustomerDraft(**values), new_address=services.new_address, actor="operator")

    return open_one


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[str]:
    """The application behind a real socket on loopback; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, **options))
        started = threading.Event()

        async def run() -> None:
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started and not serving.done():  # uvicorn offers no event to await
                await asyncio.sleep(0.005)
            started.set()
            await serving

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        assert started.wait(10)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[str]]:
    return serve


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url
