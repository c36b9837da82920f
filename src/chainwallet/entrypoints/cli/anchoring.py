"""Stating and anchoring what is owed from the command line, beside a running service or without one."""

from __future__ import annotations

import time
from collections.abc import Callable

from chainwallet.bootstrap import Services, open_services
from chainwallet.entrypoints.cli.reconciling import catch_up
from chainwallet.entrypoints.workers.anchor import state_reserves
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.entrypoints.workers.submit import submit_step
from chainwallet.kit.settings import Settings
from chainwallet.reconciliation.reserves import LiabilitiesStatement, ReservesNotAnchored, anchored_statement

ANCHORED_WITHIN_S = 120.0
_LOOK_AGAIN_S = 0.25


def anchor_reserves_now(settings: Settings, *, say: Callable[[str], None]) -> LiabilitiesStatement:
    """State what is owed and return once its root is final on chain. RESERVES_*, CHAIN_CALL_REVERTED."""
    services = open_services(settings, say=say)
    try:
        return anchor_reserves(services, say=say)
    finally:
        services.close()


def anchor_reserves(services: Services, *, say: Callable[[str], None]) -> LiabilitiesStatement:
    """As `anchor_reserves_now`, with services that are open."""
    lock = LeaderLock(services.database)
    leads = lock.take()
    try:
        if leads:
            say("catching up with the chain")
            catch_up(services)
        stated = state_reserves(services)
        say("nothing is newer than the last statement" if stated is None else f"as of block {stated.block_number}")
        return _await_anchored(services, stated, sends=leads)
    finally:
        if leads:
            lock.release()


def _await_anchored(services: Services, stated: LiabilitiesStatement | None, *, sends: bool) -> LiabilitiesStatement:
    """The newest anchored statement, at least as new as `stated`; a running service sends unless this process does."""
    end = time.monotonic() + ANCHORED_WITHIN_S
    while True:
        if sends:
            submit_step(services)
            index_step(services)
        with services.database.transaction() as session:
            try:
                found = anchored_statement(session)
            except ReservesNotAnchored:
                if time.monotonic() > end:
                    raise
            else:
                if stated is None or found.period >= stated.period:
                    return found
        if time.monotonic() > end:
            raise ReservesNotAnchored("The statement is stored and on its way; it is anchored once the chain mines it.")
        time.sleep(_LOOK_AGAIN_S)
