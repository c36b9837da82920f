"""The deliver worker: events that were committed go out to those who subscribed."""

from __future__ import annotations

from functools import partial

from chainwallet.bootstrap import Services
from chainwallet.entrypoints.workers.trace import trace_letters
from chainwallet.records.webhooks import database_time, deliver_due, publish


def deliver_step(services: Services) -> bool:
    """One pass: positions for new events, letters to their subscribers, and what became of them."""
    with services.database.transaction() as session:
        published, now = publish(session), database_time(session)
    progress = deliver_due(
        services.database,
        sender=services.webhook_sender,
        unseal=services.box.unseal,
        now=now,
        on_sent=partial(trace_letters, services),
    )
    return bool(published.count or progress.total)
