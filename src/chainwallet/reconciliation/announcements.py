"""Makers are told of their fills once these are on chain for good."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, select

from chainwallet.controls.identity.payees import parties_by_id
from chainwallet.kit.clock import rfc3339
from chainwallet.records.outbox import Event, append
from chainwallet.settlement.batches import Batch, BatchStatus
from chainwallet.settlement.fills import MakerFill, fills_of


def still_open(session: Session, batch_ids: Collection[int]) -> set[int]:
    """Those of these batches that are not settled yet in the books: their fills have not been told."""
    statement = select(Batch.id).where(col(Batch.id).in_(batch_ids), Batch.status == BatchStatus.SUBMITTED)
    return {batch_id for batch_id in session.exec(statement) if batch_id is not None} if batch_ids else set()


def announce_fills(session: Session, batch_ids: Collection[int]) -> None:
    """Write an event for each fill of these batches, for its maker and the maker's bank."""
    session.flush()  # they have just been marked settled
    fills = fills_of(session, batch_ids) if batch_ids else []
    parties = parties_by_id(session, {fill.maker_id for fill in fills}) if fills else {}
    append(
        session,
        [
            Event("maker_quote.filled", fill.quote_id, parties[fill.maker_id].audience, describe_fill(fill))
            for fill in fills
            if fill.maker_id in parties
        ],
    )


def describe_fill(fill: MakerFill) -> dict[str, object]:
    """A fill as REST, the stream and webhooks show it."""
    return {
        "quote_id": fill.quote_id,
        "maker_id": fill.maker_id,
        "sold": {"currency": fill.sold.code, "value": fill.sold.value},
        "bought": {"currency": fill.bought.code, "value": fill.bought.value},
        "status": fill.status,
        "batch_id": fill.batch_id,
        "tx_hash": fill.tx_hash,
        "created_at": rfc3339(fill.created_at),
        "settled_at": None if fill.settled_at is None else rfc3339(fill.settled_at),
    }
