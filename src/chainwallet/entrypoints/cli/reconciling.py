"""Comparing books and chain from the command line, beside a running service or without one."""

from __future__ import annotations

from collections.abc import Callable

from chainwallet.bootstrap import open_services
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.reconcile import reconcile_step
from chainwallet.kit.settings import Settings
from chainwallet.reconciliation.comparison import Comparison, compare, record


def reconcile_now(settings: Settings, *, say: Callable[[str], None]) -> Comparison:
    """Catch up with the chain, then compare everything. Raises what `compare` raises."""
    services = open_services(settings, say=say)
    try:
        say("catching up with the chain")
        while index_step(services) or reconcile_step(services):
            pass
        comparison = compare(services.database, services.node, services.hub, services.deployment.tokens)
        with services.database.transaction() as session:
            record(session, comparison)
        return comparison
    finally:
        services.close()
