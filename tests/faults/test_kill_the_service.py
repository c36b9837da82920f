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
from chainwallet.market.rates import MidMarket

KILLS_BEFORE, KILLS_AMONG = 5, 15  # while customers are opened and funded, and while payments settle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Progress:
    """How far the run is: kills are set to moments of it, whatever the speed of the machine."""

    def __init__(self) -> None:
        self._settled = -1
        self._moved = threading.Condition()
        self.last = "nothing done"

    def tell(self, what: str, done: int, total: int) -> None:
        with self._moved:
            self.last = f"{what} {done}/{total}"
            if what == "payments settled":
                self._settled = done
            self._moved.notify_all()

    def await_settled(self, count: int) -> None:
        with self._moved:
            assert self._moved.wait_for(lambda: self._settled >= count, timeout=120), self.last


class Killer(threading.Thread):
    """Kills the service at random moments and starts it again: first while the stage is set, then among payments."""

    def __init__(self, service: ServiceProcess, progress: Progress, *, seed: int, payments: int) -> None:
        super().__init__(name="killer", daemon=True)
        self.moments: list[str] = []
        self.error: BaseException | None = None
        self._service = service
        self._progress = progress
        self._random = random.Random(seed)
        self._payments = payments

    def run(self) -> None:
        try:
            for _ in range(KILLS_BEFORE):
                self._kill_after(2.0)
            for settled in sorted(self._random.sample(range(self._payments - 100), KILLS_AMONG)):
                self._progress.await_settled(settled)
                self._kill_after(0.3)
        except BaseException as error:
            self.error = error

    def _kill_after(self, longest_s: float) -> None:
        time.sleep(self._random.uniform(0, longest_s))  # the moment is the experiment, nothing is awaited
        self.moments.append(self._progress.last)
        self._service.kill()
        self._service.start()


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
    progress = Progress()
    killer = Killer(service, progress, seed=seed, payments=len(instructions))
    with Client(service.url, service.operator_key, retries=600) as client:
        codes = [one["code"] for one in client.get("/v1/chain")["currencies"]]
        killer.start()
        set_stage(client, instructions, mids.mid, codes, progress.tell)
        counts = await_file(client, hand_in(client, xml), progress.tell)
        killer.join(timeout=300)
        print("killed at:", "; ".join(killer.moments))
        assert killer.error is None, killer.error
        assert len(killer.moments) == KILLS_BEFORE + KILLS_AMONG, "every kill happened"
        assert counts == {"settled": len(instructions)}, "nothing is lost"
        transfers = list(client.items("/v1/transfers", limit=200))
        chain = client.get("/v1/chain")
        on_chain = _settled_on_chain(chain["rpc_url"], chain["hub"])
        assert len(transfers) == len(on_chain) == len(set(on_chain)) == len(instructions), "nothing is doubled"
        end = time.monotonic() + 120
        while (found := client.get("/v1/reconciliation"))["status"] != "balanced":
            assert time.monotonic() < end, found  # what a fork undid is back, and looked at again every two seconds
            time.sleep(0.1)
        assert (found["breaks"], found["frozen"]) == ([], [])


def _settled_on_chain(rpc_url: str, hub: str) -> list[str]:
    """Order hashes of every payment that the chain itself says was settled."""
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": hub}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}
    logs = httpx.post(rpc_url, json=request, timeout=30).json()["result"]
    return [
        log["data"] for log in logs if log["topics"][0].startswith("0x" + "00" * 12)
    ]  # anonymous: a payer's address
