"""The crew: every worker of a process, started together, woken by each other, stopped together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from chainwallet.bootstrap import Services
from chainwallet.entrypoints.workers.anchor import Anchorer
from chainwallet.entrypoints.workers.deliver import deliver_step
from chainwallet.entrypoints.workers.give_back import ReturnPayer
from chainwallet.entrypoints.workers.housekeep import purge_step, rates_step, replaced_step
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.ingest import ingest_step, market_step
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.entrypoints.workers.loop import Worker
from chainwallet.entrypoints.workers.reconcile import Reconciler
from chainwallet.entrypoints.workers.settle import settle_step
from chainwallet.entrypoints.workers.submit import submit_step
from chainwallet.entrypoints.workers.trace import Tracer

_log = structlog.get_logger(__name__)

LEADER_CHECK_S = 1.0
RATES_EVERY_S = 900.0
PURGE_EVERY_S = 3_600.0


class Crew:
    """Starts what one process runs. Prices and rates are refreshed everywhere; the chain's workers run in one only.

    That process is the one whose database session holds the leader's lock. When it dies the session ends with it,
    and another process takes over within a second; when only the session dies, the process stops its chain workers
    and stands again.
    """

    def __init__(self, services: Services, *, with_chain: bool = True) -> None:
        self._services = services
        self._with_chain = with_chain
        self._stopping = threading.Event()
        self._everywhere = [
            Worker("market", lambda: market_step(services), idle_s=1.0),
            Worker("rates", lambda: rates_step(services), idle_s=RATES_EVERY_S),
        ]
        for worker in self._everywhere:
            services.wakers[worker.name] = worker.wake
        self._chain_workers: list[Worker] = []
        self._lock = LeaderLock(services.database)
        self._guard = threading.Thread(target=self._stand, name="worker-leader", daemon=True)

    def start(self) -> None:
        for worker in self._everywhere:
            worker.start()
        if self._with_chain:
            self._guard.start()

    def stop(self) -> None:
        """Let every worker finish its step."""
        self._stopping.set()
        for worker in self._everywhere:
            worker.stop()
        for worker in self._everywhere:
            worker.join()
        if self._guard.is_alive():
            self._guard.join(timeout=60)

    def unhealthy(self) -> list[str]:
        """Names of the workers that should run and do not, or that fail again and again."""
        return [worker.name for worker in (*self._everywhere, *self._chain_workers) if not worker.healthy]

    @property
    def leads(self) -> bool:
        """Whether the chain's workers run in this process."""
        return bool(self._chain_workers)

    def _stand(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._lock.take():
                    self._lead()
            except SQLAlchemyError as error:
                _log.warning("leader_lock_failed", error=repr(error))
            self._stopping.wait(LEADER_CHECK_S)

    def _lead(self) -> None:
        workers = self._new_workers()
        for worker in workers:
            self._services.wakers[worker.name] = worker.wake
            worker.start()
        self._chain_workers = workers
        try:
            while not self._stopping.wait(LEADER_CHECK_S):
                if not self._lock.is_held():
                    _log.error("leadership_lost")
                    break
        finally:
            self._chain_workers = []
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join()
            self._lock.release()

    def _new_workers(self) -> list[Worker]:
        services = self._services
        linger_s = max(services.settings.batch_linger_ms / 1000, 0.02)
        steps: list[tuple[str, Callable[[], bool], float]] = [
            ("settle", lambda: settle_step(services), linger_s),
            ("submit", lambda: submit_step(services), 0.25),
            ("index", lambda: index_step(services), 0.1),
            ("reconcile", Reconciler(services).step, 0.5),
            ("deliver", lambda: deliver_step(services), 1.0),
            ("give-back", ReturnPayer(services).step, 1.0),
            ("ingest", lambda: ingest_step(services), 0.5),
            ("purge", lambda: purge_step(services), PURGE_EVERY_S),
            ("replaced", lambda: replaced_step(services), 5.0),
            ("anchor", Anchorer(services).step, 1.0),
        ]
        if services.traces is not None:
            steps.append(("trace", Tracer(services, services.traces).step, 1.0))
        return [Worker(name, step, idle_s=idle_s) for name, step, idle_s in steps]
