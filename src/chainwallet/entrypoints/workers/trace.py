"""The trace worker: what became of each traced payment, told to the collector once it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.trace import SpanKind

from chainwallet.bootstrap import Services
from chainwallet.kit.tracing import PaymentTraces
from chainwallet.records.webhooks import Letter, Sent

AT_ONCE = 500
_ENDED = """
SELECT e.position, t.uetr, t.id, t.status, t.created_at, t.accepted_at, t.submitted_at, t.settled_at, t.ended_at,
       o.batch_id, x.tx_hash, x.block_number, b.timestamp
FROM outbox_event e JOIN transfer t ON t.id = e.subject_id
LEFT JOIN payment_order o ON o.id = t.id
LEFT JOIN chain_tx x ON x.kind = 'settle' AND x.reference = o.batch_id::text AND x.status = 'confirmed'
LEFT JOIN chain_block b ON b.number = x.block_number AND NOT b.orphaned
WHERE e.position > %(after)s AND e.type IN ('transfer.settled', 'transfer.failed', 'transfer.cancelled')
ORDER BY e.position LIMIT %(limit)s
"""


class Tracer:
    """Follows the outbox from where it stood when the process began: what ended before is not told again."""

    def __init__(self, services: Services, traces: PaymentTraces) -> None:
        self._database = services.database
        self._traces = traces
        self._after: int | None = None

    def step(self) -> bool:
        """One pass. Whether there may be more."""
        with self._database.transaction() as session:
            ask = session.connection().exec_driver_sql
            if self._after is None:
                self._after = int(ask("SELECT coalesce(max(position), 0) FROM outbox_event").scalar_one())
            rows = ask(_ENDED, {"after": self._after, "limit": AT_ONCE}).mappings().all()
        for row in rows:
            self._after = int(row["position"])
            if self._traces.has(row["uetr"]):
                self._tell(dict(row))
        return len(rows) == AT_ONCE

    def _tell(self, row: Mapping[str, Any]) -> None:
        uetr, ended = row["uetr"], row["settled_at"] or row["ended_at"]
        named = {"transfer.id": row["id"], "transfer.status": row["status"]}
        self._traces.root(uetr, "payment", start=row["created_at"], end=ended, attributes=named)
        mined = None if row["timestamp"] is None else datetime.fromtimestamp(row["timestamp"], UTC)
        batch = {"batch.id": row["batch_id"] or 0}
        chain = batch | {"tx.hash": row["tx_hash"] or "", "block.number": row["block_number"] or 0}
        parts: list[tuple[str, datetime | None, datetime | None, Mapping[str, str | int]]] = [
            ("wait for a batch", row["accepted_at"], row["submitted_at"], batch),
            ("wait to be final and booked", row["submitted_at"], row["settled_at"], chain),
        ]
        for name, start, end, attributes in parts:
            if start is not None and end is not None:
                self._traces.part(uetr, name, start=start, end=end, attributes=attributes)
        if mined is not None and row["submitted_at"] is not None:
            until = max(row["submitted_at"], mined)  # blocks are dated in whole seconds
            self._traces.part(uetr, "mined", start=row["submitted_at"], end=until, attributes=chain)


def trace_letters(
    services: Services, letters: Sequence[Letter], sent: Sequence[Sent], started_at: datetime, took_s: float
) -> None:
    """Tell of webhooks that were sent about traced payments."""
    traces = services.traces
    if traces is None or not letters:
        return
    with services.database.transaction() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT e.id, t.uetr FROM outbox_event e JOIN transfer t ON t.id = e.subject_id WHERE e.id = ANY(%(ids)s)",
            {"ids": [letter.event_id for letter in letters]},
        )
        uetrs = {event_id: uetr for event_id, uetr in rows if traces.has(uetr)}
    for letter, one in zip(letters, sent, strict=True):
        if letter.event_id in uetrs:
            traces.part(
                uetrs[letter.event_id],
                "webhook",
                start=started_at,
                end=started_at + timedelta(seconds=took_s),
                attributes={"webhook.id": letter.webhook_id, "attempt": letter.attempt, "outcome": str(one.outcome)},
                kind=SpanKind.CLIENT,
            )
