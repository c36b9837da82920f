"""The demo's run, killed again and again: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chainwallet.adapters.iso20022 import read_pain001
from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound
from chainwallet.client import Client
from chainwallet.entrypoints.demo.process import ServiceProcess
from chainwallet.entrypoints.demo.run import await_file, committed_payments, hand_in
from chainwallet.entrypoints.demo.stage import set_stage
from chainwallet.keys.keccak import keccak
from chainwallet.market.rates import MidMarket

KILLS = 20
PAYMENT_SETTLED = "0x" + keccak(b"PaymentSettled(address,address,bytes32)").hex()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Killer(threading.Thread):
    """Kills the service at random moments and starts it again, `kills` times."""

    def __init__(self, service: ServiceProcess, *, seed: int, kills: int) -> None:
        super().__init__(name="killer", daemon=True)
        self.kills = 0
        self.error: Exception | None = None
        self._service = service
        self._random = random.Random(seed)
        self._todo = kills

    def run(self) -> None:
        try:
            for _ in range(self._todo):
                time.sleep(self._random.uniform(0.05, 2.0))  # the moment is the experiment, nothing is awaited
                self._service.kill()
                self._service.start()
                self.kills += 1
        except Exception as error:
            self.error = error


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    try:
        find_anvil()
    except AnvilNotFound:
        pytest.skip("anvil is not installed (npm install)")
    # Small batches, so that the run is long enough to be killed in the middle of every step.
    running = ServiceProcess(tmp_path / "data", environment={"CHAINWALLET_BATCH_MAX": "20"})
    running.start()
    yield running
    running.stop()


def test_demo__killed_at_random_moments__every_payment_settles_exactly_once(service: ServiceProcess) -> None:
    seed = int(os.environ.get("CHAINWALLET_SEED", "20260101"))
    print(f"seed {seed}")
    xml = committed_payments().read_bytes()
    instructions = read_pain001(xml).instructions
    mids = MidMarket(EcbRates().fixing())
    killer = Killer(service, seed=seed, kills=KILLS)
    with Client(service.url, service.operator_key, retries=120) as client:
        codes = [one["code"] for one in client.get("/v1/chain")["currencies"]]
        killer.start()
        set_stage(client, instructions, mids.mid, codes, _tell)
        counts = await_file(client, hand_in(client, xml), _tell)
        killer.join(timeout=300)
        assert killer.error is None
        assert killer.kills == KILLS, "every kill happened"
        assert counts == {"settled": len(instructions)}, "nothing is lost"
        transfers = list(client.items("/v1/transfers", limit=200))
        chain = client.get("/v1/chain")
        on_chain = _settled_on_chain(chain["rpc_url"], chain["hub"])
        assert len(transfers) == len(on_chain) == len(set(on_chain)) == len(instructions), "nothing is doubled"
        assert client.get("/v1/reconciliation") | {"as_of_block": 0, "positions": 0} == {
            "status": "balanced",
            "as_of_block": 0,
            "positions": 0,
            "breaks": [],
        }


def _tell(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def _settled_on_chain(rpc_url: str, hub: str) -> list[str]:
    """Order hashes of every payment that the chain itself says was settled."""
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": hub, "topics": [PAYMENT_SETTLED]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}
    return [log["data"] for log in httpx.post(rpc_url, json=request, timeout=30).json()["result"]]
