"""The reconcile worker: final events are booked, and the books compared with the chain at the block they reach."""

from __future__ import annotations

import structlog

from chainwallet.bootstrap import Services
from chainwallet.chain.indexer import final_block
from chainwallet.entrypoints.workers.metrics import OPEN_BREAKS
from chainwallet.ledger import AccountKey
from chainwallet.reconciliation.breaks import open_breaks
from chainwallet.reconciliation.comparison import BooksKeepMoving, compare, record
from chainwallet.reconciliation.matching import book_events

_log = structlog.get_logger(__name__)

COMPARED_AT_MOST = 500  # positions that may wait to be compared while payments keep settling


class Reconciler:
    """Books what is final; when there is nothing to book, compares the positions that it touched since."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._touched: set[AccountKey] = set()

    def step(self) -> bool:
        """One pass. Whether it booked anything."""
        services = self._services
        with services.database.transaction() as session:
            up_to = final_block(session, services.settings.confirmations)
            booked = book_events(session, up_to_block=up_to) if up_to is not None else None
        if booked is None:
            self._compare()
            return False
        self._touched |= booked.touched
        services.wake("deliver")
        if len(self._touched) > COMPARED_AT_MOST:
            self._compare()
        return True

    def _compare(self) -> None:
        """Compare what was touched; if the books will not rest, the next pass does it, as they are then."""
        if not self._touched:
            return
        services = self._services
        try:
            comparison = compare(
                services.database,
                services.node,
                services.hub,
                services.deployment.tokens,
                only=self._touched,
                attempts=2,
            )
        except BooksKeepMoving:
            return
        if not comparison.balanced:
            _log.error("books_differ_from_chain", differences=[str(found) for found in comparison.differences[:5]])
        with services.database.transaction() as session:
            record(session, comparison)
            OPEN_BREAKS.set(len(open_breaks(session)))
        self._touched.clear()
