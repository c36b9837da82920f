"""The housekeeping workers: newer rates in, in every process; what nobody asks for any more out, in one."""

from __future__ import annotations

from datetime import timedelta

import structlog

from chainwallet.adapters.rates.ecb import EcbDailyRates, RatesRefused, RatesUnavailable
from chainwallet.bootstrap import Services
from chainwallet.kit.clock import utc_now
from chainwallet.payments.quotes import purge_quotes
from chainwallet.records.idempotency import purge
from chainwallet.settlement.ladders import purge_replaced
from chainwallet.settlement.snapshots import purge_snapshots, purge_unquoted

_log = structlog.get_logger(__name__)

PURGED_AT_ONCE = 10_000
UNQUOTED_KEPT_MIN = 3  # a quote is stored long before
REPLACED_KEPT_S = 15  # a batch that was drafted over a level that is replaced meanwhile still fills it


def rates_step(services: Services) -> bool:
    """Fetch the day's rates. Where that fails the last good ones stay in use, until quoting stops on their age."""
    if isinstance(services.rates, EcbDailyRates):
        try:
            fixing = services.rates.refresh()
        except (RatesUnavailable, RatesRefused) as failure:
            _log.warning("rates_not_refreshed", code=failure.code, detail=failure.detail)
        else:
            _log.info("rates_refreshed", date=fixing.date.isoformat())
    return False


def purge_step(services: Services) -> bool:
    """Forget old idempotency keys and unused quotes, a part at a time; True while there may be more."""
    before = utc_now() - timedelta(days=services.settings.retention_days)
    with services.database.transaction() as session:
        keys = purge(session, before=before, limit=PURGED_AT_ONCE)
    with services.database.transaction() as session:
        quotes = purge_quotes(session, before=before, limit=PURGED_AT_ONCE)
    with services.database.transaction() as session:
        recently = utc_now() - timedelta(hours=1)  # long after a quote can still make a transfer
        snapshots = purge_snapshots(session, before=recently, limit=PURGED_AT_ONCE)
    return PURGED_AT_ONCE in (keys, quotes, snapshots)


def replaced_step(services: Services) -> bool:
    """Forget levels of replaced ladders that nobody took any of, and markets that nobody was quoted on.

    True while there may be more.
    """
    now = utc_now()
    with services.database.transaction() as session:
        purge_unquoted(session, since=now - timedelta(minutes=15), before=now - timedelta(minutes=UNQUOTED_KEPT_MIN))
    with services.database.transaction() as session:
        before = now - timedelta(seconds=REPLACED_KEPT_S)
        return purge_replaced(session, before=before, limit=PURGED_AT_ONCE) == PURGED_AT_ONCE
