"""Receipts: everything a stranger needs to verify a settled transfer with a node and nothing of ours."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlmodel import Session, col, select

from chainwallet.chain.indexer import ChainEvent
from chainwallet.keys.intents import Domain
from chainwallet.keys.typed_data import typed_data
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency_by_id
from chainwallet.payments.transfers import Transfer, TransferStatus, find_transfer
from chainwallet.settlement.orders import PlacedOrder


class ReceiptNotReady(ChainwalletError):
    code = "RECEIPT_NOT_READY"
    status = 409
    retryable = True


def particulars(
    *, uetr: str, purpose: str | None, reference: str | None, end_to_end_id: str | None
) -> dict[str, str | None]:
    """What an order's memo commits to, and no one learns from the chain."""
    return {"uetr": uetr, "purpose": purpose, "reference": reference, "end_to_end_id": end_to_end_id}


def memo_of(details: dict[str, str | None]) -> bytes:
    """SHA-256 of the particulars as canonical JSON (sorted keys, no spaces, UTF-8)."""
    document = json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(document.encode()).digest()


def receipt(session: Session, transfer_id: str, domain: Domain) -> dict[str, Any]:
    """The receipt of a settled transfer. TRANSFER_UNKNOWN, RECEIPT_NOT_READY."""
    transfer = find_transfer(session, transfer_id)
    if transfer.status not in (TransferStatus.SETTLED, TransferStatus.RETURNED):
        raise ReceiptNotReady(f"The transfer is {transfer.status}; its receipt exists once it is settled.")
    order = session.get_one(PlacedOrder, transfer_id)
    event = session.exec(
        select(ChainEvent).where(
            ChainEvent.name == "PaymentSettled",
            ChainEvent.key1 == order.order_hash,
            col(ChainEvent.orphaned).is_(False),
        )
    ).first()
    if event is None:
        raise ReceiptNotReady("A fork of the chain undid the settlement and it is sent again; ask again shortly.")
    return {
        "version": 1,
        "transfer": _transfer_part(transfer),
        "order": typed_data(domain, order.signed()),
        "order_hash": order.order_hash,
        "signature": "0x" + bytes(order.signature).hex(),
        "improvement": _improvement(session, event),
        "settlement": {
            "chain_id": domain.chain_id,
            "hub": domain.hub,
            "batch_id": order.batch_id,
            "tx_hash": event.tx_hash,
            "block_number": event.block_number,
            "block_hash": event.block_hash,
            "log_index": event.log_index,
        },
    }


def _improvement(session: Session, settled: ChainEvent) -> dict[str, str] | None:
    """What the payment's batch gave back to its payer; None for nothing. The share names the order by its place."""
    events = session.exec(
        select(ChainEvent)
        .where(ChainEvent.tx_hash == settled.tx_hash, ChainEvent.block_hash == settled.block_hash)
        .order_by(col(ChainEvent.log_index))
    ).all()
    payments = [event.log_index for event in events if event.name == "PaymentSettled"]
    for event in events:
        for share in event.payload.get("shares", ()):
            if not share["isMakers"] and payments[share["index"]] == settled.log_index:
                amount = Money(currency_by_id(share["currency"]).code, int(share["amount"]))
                return {"currency": amount.code, "value": amount.value}
    return None


def _transfer_part(transfer: Transfer) -> dict[str, Any]:
    source = Money(transfer.source_currency, int(transfer.source_units))
    target = Money(transfer.target_currency, int(transfer.target_units))
    return {
        "id": transfer.id,
        "source_amount": {"currency": source.code, "value": source.value},
        "target_amount": {"currency": target.code, "value": target.value},
        "particulars": particulars(
            uetr=transfer.uetr,
            purpose=transfer.purpose,
            reference=transfer.reference,
            end_to_end_id=transfer.end_to_end_id,
        ),
    }
