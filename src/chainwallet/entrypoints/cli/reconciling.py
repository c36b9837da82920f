"""Comparing books and chain from the command line, beside a running service or without one."""

from __future__ import annotations

from collections.abc import Callable

from chainwallet.bootstrap import Services, open_services
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.entrypoints.workers.reconcile import Reconciler
from chainwallet.kit.settings import Settings
from chainwallet.reconciliation.comparison import Comparison, compare, record


def reconcile_now(settings: Settings, *, say: Callable[[str], None]) -> Comparison:
    """Catch up with the chain, unless a running service does, then compare everything. Raises what `compare` raises."""
    services = open_services(settings, say=say)
    try:
        return reconcile(services, say=say)
    finally:
        services.close()


def reconcile(services: Services, *, say: Callable[[str], None]) -> Comparison:
    """As `reconcile_now`, with services that are open."""
    lock = LeaderLock(services.database)
    if lock.take():
        say("catching up with the chain")
        try:
            catch_up(services)
        finally:
            lock.release()
    else:
        say("a running service keeps up with the chain; only comparing")
    comparison = compare(services.database, services.node, services.hub, services.deployment.tokens)
    with services.database.transaction() as session:
        record(session, comparison)
    return comparison


def catch_up(services: Services) -> None:
    """Index and book until nothing is left; only for whoever holds the leader's lock."""
    reconciler = Reconciler(services)
    while index_step(services) or reconciler.step():
        pass
