"""Attack 24: thirty secrets and more go through the whole service; none shows in logs, answers or database."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import text

from chainwallet.bootstrap import open_services
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.workers.anchor import state_reserves
from chainwallet.entrypoints.workers.crew import Crew
from chainwallet.kit.settings import Settings
from chainwallet.kit.telemetry import configure_logging

from .conftest import World

OPERATOR, KEK, DEPLOYER = "cw_" + "CaNaRy" * 7 + "x", "c0ffee" * 10 + "c0ff", "0x" + "feedc0de" * 8
WRONG_KEYS = ["cw_" + f"wrongcanary{n}" * 3 + "abcdefghij" for n in range(3)]


@dataclass
class Watched:
    """The service at its most talkative, and everything it said."""

    world: World
    log: io.StringIO
    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)

    def keep(self, response: Any) -> Any:
        self.answers.append(response.text + repr(response.headers))
        return response


@contextmanager
def _watching(log: io.StringIO, tmp_path: Path) -> Iterator[Watched]:
    """To be entered within the test: pytest puts its own standard error in place between a fixture and a test."""
    before = structlog.get_config()
    configure_logging("debug")
    handler = logging.StreamHandler(log)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    settings = Settings(
        chain_url="embedded",
        data_dir=tmp_path,
        operator_key=OPERATOR,
        key_encryption_key=KEK,
        deployer_key=DEPLOYER,
        batch_linger_ms=20,
        webhooks_to_loopback=True,
        log_level="debug",
    )
    services = open_services(settings)
    crew = Crew(services)
    crew.start()
    with TestClient(create_app(services), raise_server_exceptions=False) as http:
        yield Watched(World(services, http), log)
    crew.stop()
    services.close()
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.configure(**before)


def _journey(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that handles a secret, the ways in which it fails included."""
    world, keep = watched.world, watched.keep
    monkeypatch.setattr("tests.journeys.conftest.OPERATOR_KEY", OPERATOR)
    payers = [world.funded("EUR", "50.00") for _ in range(8)]
    payees = [world.customer() for _ in range(8)]
    maker = world.maker(("USD", "500.00", "EUR", "450.00"))
    for number, (payer, payee) in enumerate(zip(payers, payees, strict=True)):
        watched.secrets[f"API key {number}"] = world.key("read", "transfers", customer_id=payer["id"])
        quote = world.quote("EUR", "USD" if number % 2 else "EUR", source="10.00")
        world.settled(world.transfer(quote, payer, payee)["id"])
    for number in range(4):
        hook = world.post("/v1/webhooks", {"url": "http://127.0.0.1:9/hook", "events": ["transfer.settled"]})
        watched.secrets[f"webhook {number}"] = hook["secret"]
    for wrong in WRONG_KEYS:
        assert keep(world.send("GET", "/v1/chain", auth=wrong)).status_code == 401
    for secret in list(watched.secrets.values()):
        body = {"name": secret, "scopes": ["read"], "unknown": secret}
        assert keep(world.send("POST", "/v1/api-keys", json=[body], auth=OPERATOR)).status_code == 422
        keep(world.send("GET", f"/v1/customers/{maker['id']}", auth=secret))
    with monkeypatch.context() as broken:
        broken.setattr(world.services.database, "ping", lambda: 1 / 0)
        keep(world.send("GET", "/health/ready", auth=None))
        broken.setattr("chainwallet.entrypoints.rest.routes.customers.list_customers", lambda *_, **__: 1 / 0)
        assert keep(world.send("GET", "/v1/customers", auth=OPERATOR)).status_code == 500
    assert state_reserves(world.services) is not None
    world.until(
        lambda: world.send("GET", f"/v1/customers/{payers[0]['id']}/proof", auth=OPERATOR).status_code == 200,
        "reserves are anchored",
    )
    for path in ("/v1/customers", "/v1/transfers", "/v1/chain", "/v1/api-keys", "/v1/webhooks", "/metrics"):
        keep(world.send("GET", path, auth=OPERATOR))
    keep(world.send("GET", f"/v1/customers/{payers[0]['id']}/proof", auth=OPERATOR))
    keep(world.send("GET", "/v1/reconciliation", auth=OPERATOR))


def _managed_keys(watched: Watched) -> dict[str, str]:
    """Each customer's private key, and the phrase's entropy that it derives from, in hex."""
    vault, found = watched.world.services.vault, {}
    with watched.world.services.database.transaction() as session:
        for row in session.execute(text("SELECT * FROM keys_wallet")).all():
            found[f"key of {row.address}"] = vault._unlock(row).reveal().hex()
    return found


def _spellings(secret: str) -> list[str]:
    """The secret as it is and as bytes would be printed; hex without its prefix."""
    plain = secret.removeprefix("0x")
    try:
        raw = bytes.fromhex(plain)
    except ValueError:
        return [plain]
    return [plain, repr(raw)[2:-1], str(int.from_bytes(raw, "big"))]


def _database_text(watched: Watched) -> str:
    """Every row of every table as text; bytes appear as hex."""
    with watched.world.services.database.transaction() as session:
        tables = session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        return "\n".join(
            str(row) for table in tables for row in session.execute(text(f'SELECT t::text FROM "{table}" t')).scalars()
        )


def _shown(watched: Watched) -> list[tuple[str, str]]:
    """Which secrets show, and where."""
    places = {
        "log": watched.log.getvalue(),
        "answers": "\n".join(watched.answers),
        "database": _database_text(watched),
    }
    return [
        (name, place)
        for name, secret in watched.secrets.items()
        for place, said in places.items()
        if any(spelling.lower() in said.lower() for spelling in _spellings(secret))
    ]


@pytest.mark.slow
def test_canary_secrets__through_the_whole_service__none_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    with redirect_stderr(log), _watching(log, tmp_path) as watched:
        _journey(watched, monkeypatch)
        _look(watched)


def _look(watched: Watched) -> None:
    watched.secrets |= {"operator's key": OPERATOR, "key-encryption key": KEK, "deployer's key": DEPLOYER}
    watched.secrets |= {f"wrong key {n}": key for n, key in enumerate(WRONG_KEYS)}
    watched.secrets |= _managed_keys(watched)
    assert len(watched.secrets) >= 30
    assert len(watched.log.getvalue()) > 1_000, "it did talk"
    for event in ("unexpected_error", "batch_committed", "reserves_stated"):
        assert event in watched.log.getvalue()
    assert _shown(watched) == []
    print(f"{len(watched.secrets)} secrets, none shown")
    structlog.get_logger().warning("a careless line", detail={"key": watched.secrets["webhook 0"]})
    assert _shown(watched) == [("webhook 0", "log")], "the control: what is said is found"
