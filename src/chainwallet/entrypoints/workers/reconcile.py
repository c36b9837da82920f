"""The reconcile worker: final events are booked, and the books compared with the chain at the block they reach."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from chainwallet.bootstrap import Services
from chainwallet.chain.indexer import final_block
from chainwallet.ledger import AccountKey
from chainwallet.reconciliation.comparison import BooksKeepMoving, compare, record
from chainwallet.reconciliation.matching import book_events

_log = structlog.get_logger(__name__)


def reconcile_step(services: Services) -> bool:
    """One pass: book what is final, compare the positions it touched."""
    with services.database.transaction() as session:
        up_to = final_block(session, services.settings.confirmations)
        booked = book_events(session, up_to_block=up_to) if up_to is not None else None
    if booked is None:
        return False
    services.wake("deliver")
    _compare(services, booked.touched)
    return True


def _compare(services: Services, touched: Collection[AccountKey]) -> None:
    try:
        comparison = compare(
            services.database, services.node, services.hub, services.deployment.tokens, only=touched, attempts=1
        )
    except BooksKeepMoving:
        return  # the next pass compares them as they are then
    if not comparison.balanced:
        _log.error("books_differ_from_chain", differences=[str(found) for found in comparison.differences[:5]])
        with services.database.transaction() as session:
            record(session, comparison)
