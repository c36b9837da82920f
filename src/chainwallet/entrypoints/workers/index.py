"""The index worker: follows the chain's blocks by hash and keeps their events."""

from __future__ import annotations

import structlog
from sqlmodel import Session

from chainwallet.bootstrap import Services
from chainwallet.chain.indexer import follow
from chainwallet.entrypoints.workers.metrics import FOLLOWED_BLOCK, REORGANISATIONS
from chainwallet.reconciliation.breaks import note_lost_finality
from chainwallet.settlement.lanes import reopen_from

_log = structlog.get_logger(__name__)


def index_step(services: Services) -> bool:
    """One pass: new blocks in, orphaned ones marked, and the transactions that a fork undid open again."""
    progress = follow(
        services.database, services.node, services.hub, from_block=services.deployment.block, on_fork=_reopen
    )
    FOLLOWED_BLOCK.set(progress.head)
    if progress.orphaned_blocks:
        REORGANISATIONS.inc()
        _log.warning("chain_reorganised", orphaned_blocks=progress.orphaned_blocks, fork_block=progress.fork_block)
    if progress.new_blocks or progress.orphaned_blocks:
        services.wake("submit")
        services.wake("reconcile")
    return bool(progress.new_blocks)


def _reopen(session: Session, fork_block: int) -> None:
    reopen_from(session, fork_block + 1)
    if lost := note_lost_finality(session, fork_block):
        _log.error("finality_broken", fork_block=fork_block, booked_events_lost=lost)
