"""The crew: every worker of a process, started together, woken by each other, stopped together."""

from __future__ import annotations

import threading

import structlog
from sqlalchemy import Connection

from chainwallet.bootstrap import Services
from chainwallet.entrypoints.workers.deliver import deliver_step
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.ingest import ingest_step, market_step
from chainwallet.entrypoints.workers.loop import Worker
from chainwallet.entrypoints.workers.reconcile import reconcile_step
from chainwallet.entrypoints.workers.settle import settle_step
from chainwallet.entrypoints.workers.submit import submit_step

_log = structlog.get_logger(__name__)

_LEADER_LOCK = 0x6C656164  # "lead": whoever holds it runs the workers that talk to the chain
_RETRY_S = 1.0


class Crew:
    """Starts what one process runs. Prices are refreshed everywhere; the chain's workers run in one process only.

    That process is the one whose database session holds the leader's lock. When it dies the session ends
    with it, and another process takes over within a second.
    """

    def __init__(self, services: Services, *, with_chain: bool = True) -> None:
        self._services = services
        self._with_chain = with_chain
        self._leading = threading.Event()
        self._stopping = threading.Event()
        linger_s = max(services.settings.batch_linger_ms / 1000, 0.02)
        steps = [
            ("settle", settle_step, linger_s),
            ("submit", submit_step, 0.25),
            ("index", index_step, 0.1),
            ("reconcile", reconcile_step, 0.5),
            ("deliver", deliver_step, 1.0),
            ("ingest", ingest_step, 0.5),
        ]
        self._chain_workers = [Worker(n, lambda step=step: step(services), idle_s=idle) for n, step, idle in steps]  # type: ignore[misc]
        self._market = Worker("market", lambda: market_step(services), idle_s=1.0)
        self._guard = threading.Thread(target=self._lead, name="worker-leader", daemon=True)
        for worker in (*self._chain_workers, self._market):
            services.wakers[worker.name] = worker.wake

    def start(self) -> None:
        self._market.start()
        if self._with_chain:
            self._guard.start()

    def stop(self) -> None:
        """Let every worker finish its step."""
        self._stopping.set()
        workers = [self._market, *self._chain_workers]
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()
        if self._guard.is_alive():
            self._guard.join(timeout=10)

    def unhealthy(self) -> list[str]:
        """Names of the workers that should run and do not, or that fail again and again."""
        expected = [self._market, *(self._chain_workers if self._leading.is_set() else [])]
        return [worker.name for worker in expected if not worker.healthy]

    def _lead(self) -> None:
        with self._services.database.engine.connect() as connection:
            while not self._stopping.is_set():
                if self._take_lead(connection):
                    break
                self._stopping.wait(_RETRY_S)
            else:
                return
            for worker in self._chain_workers:
                worker.start()
            self._leading.set()
            self._stopping.wait()
            for worker in self._chain_workers:
                worker.join()

    def _take_lead(self, connection: Connection) -> bool:
        taken = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LEADER_LOCK})").scalar())
        connection.commit()  # the lock belongs to the session, not to this transaction
        return taken
