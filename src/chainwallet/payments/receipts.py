"""Receipts: everything a stranger needs to verify a settled transfer with a node and nothing of ours."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from chainwallet.chain.indexer import ChainEvent
from chainwallet.keys.intents import Domain
from chainwallet.keys.typed_data import typed_data
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency_by_id
from chainwallet.payments.executions import ExecutionNotReady, ExecutionWithoutMarket, execution, summary_of
from chainwallet.payments.particulars import particulars_of
from chainwallet.payments.quotes import Quote, quote_of
from chainwallet.payments.terms import show_terms
from chainwallet.payments.transfers import Transfer, TransferStatus, find_transfer
from chainwallet.settlement.orders import PlacedOrder


class ReceiptNotReady(ChainwalletError):
    code = "RECEIPT_NOT_READY"
    status = 409
    retryable = True


def receipt(session: Session, transfer_id: str, domain: Domain, *, operator: str) -> dict[str, Any]:
    """The receipt of a settled transfer. TRANSFER_UNKNOWN, RECEIPT_NOT_READY.

    `operator` is whose name the markets are committed to under.
    """
    transfer = find_transfer(session, transfer_id)
    if transfer.status not in (TransferStatus.SETTLED, TransferStatus.RETURNED):
        raise ReceiptNotReady(f"The transfer is {transfer.status}; its receipt exists once it is settled.")
    order, quote = session.get_one(PlacedOrder, transfer_id), quote_of(session, transfer.quote_id)
    event = session.exec(
        select(ChainEvent).where(
            ChainEvent.name == "PaymentSettled",
            ChainEvent.key1 == order.order_hash,
            ~col(ChainEvent.orphaned),
        )
    ).first()
    if event is None:
        raise ReceiptNotReady("A fork of the chain undid the settlement and it is sent again; ask again shortly.")
    return {
        "version": 1,
        "transfer": _transfer_part(transfer, quote),
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
        "execution": _execution_part(session, transfer, quote, domain, operator),
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


def _execution_part(
    session: Session, transfer: Transfer, quote: Quote, domain: Domain, operator: str
) -> dict[str, Any] | None:
    """The winning path, its prices and the ranking; None where nothing was exchanged."""
    try:
        return summary_of(execution(session, transfer, quote, domain, operator=operator))
    except (ExecutionWithoutMarket, ExecutionNotReady):
        return None


def _transfer_part(transfer: Transfer, quote: Quote) -> dict[str, Any]:
    source = Money(transfer.source_currency, int(transfer.source_units))
    target = Money(transfer.target_currency, int(transfer.target_units))
    return {
        "id": transfer.id,
        "source_amount": {"currency": source.code, "value": source.value},
        "target_amount": {"currency": target.code, "value": target.value},
        "fee": {"currency": source.code, "value": Money(source.code, int(transfer.fee_units)).value},
        **show_terms(transfer.terms, source.code),
        "particulars": particulars_of(transfer, quote),
    }
