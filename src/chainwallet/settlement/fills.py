"""What batches took of makers: fill by fill, summed by day, and beside what makers have and offer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from chainwallet.kit.clock import utc_now
from chainwallet.kit.money import Money


@dataclass(frozen=True, slots=True)
class MakerFill:
    """One batch's fill of one quote; the batch's `status` says whether it is on chain for good."""

    batch_id: int
    quote_id: str
    maker_id: str
    sold: Money
    bought: Money
    status: str
    tx_hash: str | None
    created_at: datetime
    settled_at: datetime | None


_FILLS = """
SELECT f.batch_id, f.quote_id, f.maker_id, f.sell, f.sold_units, f.buy, f.bought_units, b.status, t.tx_hash,
       b.created_at, b.settled_at
FROM batch_fill f JOIN batch b ON b.id = f.batch_id
LEFT JOIN chain_tx t ON t.kind = 'settle' AND t.reference = f.batch_id::text AND t.status <> 'replaced'
"""


def list_fills(session: Session, maker_id: str, *, before: tuple[int, str] | None, limit: int) -> list[MakerFill]:
    """A maker's fills, the newest batches first, `limit` of them before (batch, quote). A failed batch has none."""
    batch_id, quote_id = before or (2**63 - 1, "~")
    rows = session.connection().exec_driver_sql(
        f"""{_FILLS} WHERE f.maker_id = %(maker)s AND (f.batch_id, f.quote_id) < (%(batch)s, %(quote)s)
            AND b.status <> 'failed' ORDER BY f.batch_id DESC, f.quote_id DESC LIMIT %(limit)s""",
        {"maker": maker_id, "batch": batch_id, "quote": quote_id, "limit": limit},
    )
    return [_fill(*row) for row in rows]


def fills_of(session: Session, batch_ids: Collection[int]) -> list[MakerFill]:
    """Every fill of these batches, in the order of their ids."""
    rows = session.connection().exec_driver_sql(
        f"{_FILLS} WHERE f.batch_id = ANY(%(batches)s::bigint[]) ORDER BY f.batch_id, f.quote_id",
        {"batches": sorted(batch_ids)},
    )
    return [_fill(*row) for row in rows]


def _fill(
    batch_id: int,
    quote_id: str,
    maker_id: str,
    sell: str,
    sold_units: int,
    buy: str,
    bought_units: int,
    status: str,
    tx_hash: str | None,
    created_at: datetime,
    settled_at: datetime | None,
) -> MakerFill:
    sold, bought = Money(sell, int(sold_units)), Money(buy, int(bought_units))
    return MakerFill(batch_id, quote_id, maker_id, sold, bought, status, tx_hash, created_at, settled_at)


@dataclass(frozen=True, slots=True)
class DaysFlow:
    """What a maker sold and bought of one currency in the batches that settled on one day (UTC)."""

    day: date
    currency: str
    sold_units: int
    bought_units: int
    fills: int


_FLOWS = """
SELECT (settled_at AT TIME ZONE 'UTC')::date AS day, currency, sum(sold), sum(bought), sum(fills) FROM (
  SELECT b.settled_at, f.sell AS currency, f.sold_units AS sold, 0 AS bought, 1 AS fills
  FROM batch_fill f JOIN batch b ON b.id = f.batch_id WHERE f.maker_id = %(maker)s AND b.status = 'settled'
  UNION ALL
  SELECT b.settled_at, f.buy, 0, f.bought_units, 0
  FROM batch_fill f JOIN batch b ON b.id = f.batch_id WHERE f.maker_id = %(maker)s AND b.status = 'settled'
) AS moved
WHERE %(since)s::timestamptz IS NULL OR settled_at >= %(since)s::timestamptz
GROUP BY 1, 2 ORDER BY 1, 2
"""


def daily_flows(session: Session, maker_id: str, *, since: datetime | None) -> list[DaysFlow]:
    """What settled of a maker's quotes, by day and currency; each fill counts once, for what it sold."""
    rows = session.connection().exec_driver_sql(_FLOWS, {"maker": maker_id, "since": since})
    return [DaysFlow(day, code, int(sold), int(bought), int(fills)) for day, code, sold, bought, fills in rows]


@dataclass(frozen=True, slots=True)
class Exposure:
    """One currency of a maker, in units: what it has in the hub, what is promised of that, what it offers beyond."""

    currency: str
    inventory_units: int
    reserved_units: int
    offered_units: int

    @property
    def limit_units(self) -> int:
        """What may be filled now at most: a quote sells what its maker has free, and no more."""
        return max(0, min(self.offered_units, self.inventory_units - self.reserved_units))


_EXPOSURE = """
SELECT currency, sum(inventory), sum(reserved), sum(offered) FROM (
  SELECT currency, posted_units AS inventory, held_units AS reserved, 0 AS offered
  FROM account WHERE owner_id = %(maker)s AND kind = 'customer'
  UNION ALL
  SELECT sell, 0, 0, sell_units - reserved_units - filled_units
  FROM maker_quote WHERE maker_id = %(maker)s AND status = 'open' AND expires_at > %(now)s
) AS parts
GROUP BY currency HAVING sum(inventory) <> 0 OR sum(reserved) <> 0 OR sum(offered) <> 0 ORDER BY currency
"""


def exposures(session: Session, maker_id: str) -> list[Exposure]:
    """What a maker has, has promised and offers, by currency; currencies of which it has nothing are left out."""
    rows = session.connection().exec_driver_sql(_EXPOSURE, {"maker": maker_id, "now": utc_now()})
    return [Exposure(code, int(has), int(reserved), int(offered)) for code, has, reserved, offered in rows]
