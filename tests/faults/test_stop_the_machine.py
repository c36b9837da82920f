"""Service, chain and database killed at once, as when the machine loses its power: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound
from chainwallet.client import ApiError, Client
from chainwallet.entrypoints.demo.process import ServiceProcess

STOPS = 5
PAYMENTS = 120

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    try:
        find_anvil()
    except AnvilNotFound:
        pytest.skip("anvil is not installed (npm install)")
    running = ServiceProcess(tmp_path / "data", environment={"CHAINWALLET_BATCH_MAX": "3"})
    running.start()
    yield running
    running.stop()


def _stop_the_machine(service: ServiceProcess) -> None:
    """Everything at once, in no order; what the node wrote less than a second ago may be lost."""
    anvil = json.loads((service.data_dir / "chain" / "anvil.run").read_text())["pid"]
    postmaster = int((service.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    for pid in (anvil, service.pid, postmaster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    service.kill()


class Payer(threading.Thread):
    """Pays again and again, each payment under a key of its own, until all are accepted."""

    def __init__(self, client: Client, payer_id: str, payee_id: str) -> None:
        super().__init__(name="payer", daemon=True)
        self.accepted: list[str] = []
        self.error: Exception | None = None
        self._client, self._payer_id, self._payee_id = client, payer_id, payee_id

    def run(self) -> None:
        try:
            for number in range(PAYMENTS):
                self.accepted.append(self._pay(f"payment-{number:04}-of-the-test"))
        except Exception as error:
            self.error = error

    def _pay(self, key: str) -> str:
        amount = {"currency": "EUR", "value": "1.00"}
        payee = {"customer_id": self._payee_id}
        while True:
            quote = self._client.quote(source_currency="EUR", target_currency="EUR", source_amount=amount)
            try:
                made = self._client.transfer(
                    quote_id=quote["id"], payer_id=self._payer_id, payee=payee, idempotency_key=key
                )
            except ApiError as error:
                # Only quotes are stored without waiting for the disk; and the chain has to be given back what it lost.
                if error.code not in ("QUOTE_UNKNOWN", "LEDGER_ACCOUNT_FROZEN"):
                    raise
                time.sleep(0.05)  # as its `retryable` says
            else:
                return str(made["id"])


def test_machine_stopped_among_payments__all_settle_exactly_once(service: ServiceProcess) -> None:
    seed = int(os.environ.get("CHAINWALLET_SEED", "20260102"))
    print(f"seed {seed}")
    draw = random.Random(seed)
    with Client(service.url, service.operator_key, retries=600) as client:
        people = [client.create_customer(type="individual", full_name=f"Customer {n}", country="DE") for n in (1, 2)]
        deposit = client.deposit(people[0]["id"], {"currency": "EUR", "value": "500.00"})
        _until(lambda: client.get(f"/v1/deposits/{deposit['id']}")["status"] == "settled", "the deposit settles")
        payer = Payer(client, people[0]["id"], people[1]["id"])
        payer.start()
        for stop in range(STOPS):
            _until(lambda stop=stop: payer.error or len(payer.accepted) >= PAYMENTS * stop // STOPS, "payments flow")  # type: ignore[misc]
            assert payer.error is None, payer.error
            time.sleep(draw.uniform(0, 0.5))  # the moment is the experiment, nothing is awaited
            _stop_the_machine(service)
            service.start()
        payer.join(timeout=120)
        assert payer.error is None, payer.error
        _until(lambda: _settled(client) == PAYMENTS, "every payment settles")
        events = _settled_on_chain(client)
        assert len(events) == len(set(events)) == len(set(payer.accepted)) == PAYMENTS
        _until(lambda: client.get("/v1/reconciliation")["status"] == "balanced", "the books equal the chain")
        held = next(one for one in client.balances(people[0]["id"]) if one["currency"] == "EUR")
        assert (held["available"]["value"], held["held"]["value"]) == (f"{500 - PAYMENTS}.00", "0.00")


def _settled(client: Client) -> int:
    return len(list(client.items("/v1/transfers", status="settled", limit=200)))


def _settled_on_chain(client: Client) -> list[str]:
    import httpx

    chain: dict[str, Any] = client.get("/v1/chain")
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": chain["hub"]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}
    logs = httpx.post(chain["rpc_url"], json=request, timeout=30).json()["result"]
    return [
        log["data"] for log in logs if log["topics"][0].startswith("0x" + "00" * 12)
    ]  # anonymous: a payer's address


def _until(holds: Any, what: str) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)  # another process is waited for
