"""Payment orders that their payers signed, waiting for a batch and then for the chain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, LargeBinary, Numeric, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, select

from chainwallet.keys.intents import Domain, PaymentOrder, order_digest
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.money import currency
from chainwallet.ledger import NONCE_MAX


class OrderStatus(StrEnum):
    PLACED = "placed"
    BATCHED = "batched"
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"


class PlacedOrder(SQLModel, table=True):
    """A signed order. `id` is its transfer's id; `legs` are the makers' amounts reserved for it.

    `spread_units` is what the makers that priced it would have earned at mid, in the source currency.
    """

    __tablename__ = "payment_order"
    __table_args__ = (
        UniqueConstraint("payer", "source_currency", "nonce", name="uq_payment_order_nonce"),
        Index("ix_payment_order_placed", "seq", postgresql_where=text("status = 'placed'")),
    )

    id: str = Field(primary_key=True)
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), nullable=False, unique=True))
    payer: str
    payee: str
    source_currency: str
    source_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    target_currency: str
    target_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    fee_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    spread_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    nonce: int = Field(sa_column=Column(BigInteger, nullable=False))
    deadline: int = Field(sa_column=Column(BigInteger, nullable=False))
    memo: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    order_hash: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    legs: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    status: str = OrderStatus.PLACED
    batch_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, index=True))
    placed_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))

    def signed(self) -> PaymentOrder:
        """The order as the hub and its payer's signature see it."""
        return PaymentOrder(
            payer=self.payer,
            payee=self.payee,
            source_currency=currency(self.source_currency).id,
            source_units=int(self.source_units),
            target_currency=currency(self.target_currency).id,
            target_units=int(self.target_units),
            nonce=self.nonce,
            deadline=self.deadline,
            memo=bytes(self.memo),
        )


def hash_of(domain: Domain, order: PaymentOrder) -> str:
    """The order's EIP-712 digest in hex: its name on chain."""
    return "0x" + order_digest(domain, order).hex()


def place_orders(session: Session, orders: Sequence[dict[str, Any]]) -> None:
    """Insert signed orders; the rows are `PlacedOrder`'s columns without `seq`, `status` and `batch_id`."""
    now = utc_now()
    insert_many(session, PlacedOrder, [{**order, "status": OrderStatus.PLACED, "placed_at": now} for order in orders])


def placed_orders(session: Session, *, limit: int) -> list[PlacedOrder]:
    """The oldest orders that wait for a batch, in the order of their acceptance."""
    statement = (
        select(PlacedOrder)
        .where(PlacedOrder.status == OrderStatus.PLACED)
        .order_by(PlacedOrder.seq)  # type: ignore[arg-type]
        .limit(limit)
    )
    return list(session.exec(statement))


def waiting(session: Session) -> tuple[int, float]:
    """How many orders wait for a batch, and for how many seconds the oldest has."""
    count, oldest = (
        session.connection()
        .exec_driver_sql("SELECT count(*), min(placed_at) FROM payment_order WHERE status = 'placed'")
        .one()
    )
    return count, (utc_now() - oldest).total_seconds() if oldest else 0.0


def take_orders(session: Session, order_ids: Sequence[str], *, batch_id: int) -> int:
    """Give waiting orders to a batch; how many of them were still waiting. They are locked in id order."""
    taken = session.connection().exec_driver_sql(
        """WITH mine AS (
             SELECT id FROM payment_order WHERE id = ANY(%(ids)s::text[]) AND status = 'placed' ORDER BY id FOR UPDATE
           )
           UPDATE payment_order o SET status = 'batched', batch_id = %(batch)s FROM mine WHERE o.id = mine.id""",
        {"batch": batch_id, "ids": list(order_ids)},
    )
    return taken.rowcount


def cancelled_orders(session: Session, *, payer: str, currency: str, up_to_nonce: int) -> list[str]:
    """The ids of waiting orders that their payer has cancelled on chain, up to this nonce."""
    rows = session.connection().exec_driver_sql(
        """SELECT id FROM payment_order WHERE payer = %(payer)s AND source_currency = %(currency)s
           AND nonce <= %(nonce)s AND status = 'placed' ORDER BY id""",
        {"payer": payer, "currency": currency, "nonce": min(up_to_nonce, NONCE_MAX)},
    )
    return [order_id for (order_id,) in rows]


def order_statuses(session: Session, order_ids: Sequence[str]) -> dict[str, OrderStatus]:
    """How far these orders are; ids of none are missing."""
    rows = session.connection().exec_driver_sql(
        "SELECT id, status FROM payment_order WHERE id = ANY(%(ids)s::text[])", {"ids": list(order_ids)}
    )
    return {order_id: OrderStatus(status) for order_id, status in rows}


def lock_orders(session: Session, order_ids: Sequence[str]) -> None:
    """Lock these orders, in id order, for a transaction that goes on to change them in several steps."""
    session.connection().exec_driver_sql(
        "SELECT FROM payment_order WHERE id = ANY(%(ids)s::text[]) ORDER BY id FOR UPDATE", {"ids": list(order_ids)}
    )


def _lock_placed(session: Session, order_ids: Sequence[str]) -> list[PlacedOrder]:
    """Those that wait for a batch, locked in id order, as they are before they are changed: detached copies."""
    statement = (
        select(PlacedOrder)
        .where(PlacedOrder.id.in_(sorted(order_ids)), PlacedOrder.status == OrderStatus.PLACED)  # type: ignore[attr-defined]
        .order_by(PlacedOrder.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = list(session.exec(statement))
    for order in found:
        session.expunge(order)
    return found


_OVERTAKEN = """
SELECT o.id FROM payment_order o
JOIN hold h ON h.reference = o.id AND h.nonce = o.nonce AND h.status = 'open'
JOIN account a ON a.id = h.account_id AND a.cancelled_nonce < o.nonce
WHERE o.status = 'placed' AND EXISTS (
  SELECT FROM payment_order s
  WHERE s.payer = o.payer AND s.source_currency = o.source_currency AND s.nonce > o.nonce AND s.status = 'settled'
)
"""


def lock_overtaken(session: Session) -> list[PlacedOrder]:
    """Waiting orders that the hub can take no more, because a later one of their payer and currency has settled.

    Those that their payer cancelled are not among them. Locked, in the order of their nonces.
    """
    rows = session.connection().exec_driver_sql(_OVERTAKEN)
    found = _lock_placed(session, [order_id for (order_id,) in rows])
    return sorted(found, key=lambda order: order.nonce)


_NEXT_PLACES = "SELECT nextval(pg_get_serial_sequence('payment_order', 'seq')) FROM generate_series(1, %(count)s)"
_REPLACE = """
UPDATE payment_order o SET seq = u.seq, nonce = u.nonce, signature = u.signature, order_hash = u.order_hash
FROM unnest(%(ids)b::text[], %(seqs)b::bigint[], %(nonces)b::bigint[], %(signatures)b::bytea[], %(hashes)b::text[])
  AS u(id, seq, nonce, signature, order_hash)
WHERE o.id = u.id
"""


def replace_orders(session: Session, signed: Sequence[tuple[str, int, bytes, str]]) -> None:
    """Give locked, waiting orders, by id, other nonces, signatures and hashes.

    They come after all that wait now, in the order given, which has to be that of their nonces.
    """
    if not signed:
        return
    connection = session.connection()
    seqs = sorted(connection.exec_driver_sql(_NEXT_PLACES, {"count": len(signed)}).scalars())
    ids, nonces, signatures, hashes = map(list, zip(*signed, strict=True))
    connection.exec_driver_sql(
        _REPLACE, {"ids": ids, "seqs": seqs, "nonces": nonces, "signatures": signatures, "hashes": hashes}
    )


def drop_legs(session: Session, order_ids: Sequence[str]) -> list[PlacedOrder]:
    """Let waiting orders be funded by whoever quotes when they are cleared; those that had makers, as they were."""
    found = [order for order in _lock_placed(session, order_ids) if order.legs]
    session.connection().exec_driver_sql(
        "UPDATE payment_order SET legs = '[]' WHERE id = ANY(%(ids)s)", {"ids": [order.id for order in found]}
    )
    return found


def settle_placed(session: Session, order_ids: Sequence[str]) -> None:
    """Mark orders settled that no batch of this database took; the chain says that one did."""
    session.connection().exec_driver_sql(
        "UPDATE payment_order SET status = 'settled' WHERE id = ANY(%(ids)s) AND status = 'placed'",
        {"ids": sorted(order_ids)},
    )


def withdraw_orders(session: Session, order_ids: Sequence[str]) -> list[PlacedOrder]:
    """Take waiting orders back; those that were still waiting, as they were, locked in id order."""
    found = _lock_placed(session, order_ids)
    session.connection().exec_driver_sql(
        "UPDATE payment_order SET status = 'withdrawn' WHERE id = ANY(%(ids)s)", {"ids": [order.id for order in found]}
    )
    return found
