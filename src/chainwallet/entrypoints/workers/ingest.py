"""The ingest worker: files of payments are worked through; and the market worker: fresh quotes for pricing."""

from __future__ import annotations

from chainwallet.bootstrap import Services
from chainwallet.entrypoints.workers.metrics import OFF_MID_QUOTES
from chainwallet.payments.files import work_through


def ingest_step(services: Services) -> bool:
    """One pass: the next instructions of the oldest file, priced and accepted or refused."""
    with services.database.transaction() as session:
        count = work_through(session, services.acceptance, services.pricer)
    if count:
        services.wake("settle")
    return bool(count)


def market_step(services: Services) -> bool:
    """Take a fresh snapshot of the makers' quotes for this process's prices."""
    services.pricer.refresh()
    OFF_MID_QUOTES.set(services.pricer.view.off_mid)
    return False
