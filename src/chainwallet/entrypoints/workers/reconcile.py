"""The reconcile worker: final events are booked, and the books compared with the chain at the block they reach."""

from __future__ import annotations

import time
from contextlib import suppress

import structlog

from chainwallet.bootstrap import Services
from chainwallet.chain.indexer import final_block
from chainwallet.entrypoints.workers.metrics import OPEN_BREAKS
from chainwallet.ledger import AccountKey, InsufficientFunds
from chainwallet.reconciliation.breaks import BreakKind, close_restored_finality, open_breaks
from chainwallet.reconciliation.comparison import SEEN_WHOLE, BooksKeepMoving, compare, differing_accounts, record
from chainwallet.reconciliation.matching import Booked, book_events

_log = structlog.get_logger(__name__)

ATTEMPTS = 8
AGAIN_EVERY_S, ALL_AGAIN_EVERY_S = 2.0, 60.0  # how often what differed is looked at again
COMPARED_AT_MOST = 500  # positions that may wait to be compared while payments keep settling


class Reconciler:
    """Books what is final; when there is nothing to book, compares the positions that it touched since."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._touched: set[AccountKey] = set()
        self._again_at = self._all_again_at = time.monotonic()

    def step(self) -> bool:
        """One pass. Whether it booked anything."""
        services = self._services
        booked = self._book()
        if booked is None:
            self._look_again()
            self._compare()
            return False
        self._touched |= booked.touched
        services.wake("deliver")
        if len(self._touched) > COMPARED_AT_MOST:
            self._compare()
        return True

    def _book(self) -> Booked | None:
        """Book a pass; again where money that left on chain was promised anew while room was made for it."""
        services = self._services
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with services.database.transaction() as session:
                    up_to = final_block(session, services.settings.confirmations)
                    treasury = services.deployment.treasury
                    return None if up_to is None else book_events(session, up_to_block=up_to, treasury=treasury)
            except InsufficientFunds as error:
                if attempt == ATTEMPTS:
                    raise
                _log.info("booking_makes_room_again", **error.context)
        return None

    def _look_again(self) -> None:
        """Cases that close by themselves: see from time to time whether they may. A frozen account thaws that way."""
        now = time.monotonic()
        if now - self._again_at < AGAIN_EVERY_S:
            return
        self._again_at = now
        with self._services.database.transaction() as session:
            kinds = {BreakKind(case.kind) for case in open_breaks(session)}
            self._touched |= differing_accounts(session)
            if BreakKind.FINALITY_BROKEN in kinds:
                close_restored_finality(session)
        if kinds & SEEN_WHOLE and now - self._all_again_at >= ALL_AGAIN_EVERY_S:
            self._all_again_at = now
            self._compare_all()

    def _compare_all(self) -> None:
        services = self._services
        with suppress(BooksKeepMoving):
            found = compare(services.database, services.node, services.hub, services.deployment.tokens)
            with services.database.transaction() as session:
                record(session, found)
                OPEN_BREAKS.set(len(open_breaks(session)))

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
