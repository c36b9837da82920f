"""What payments cost against mid, and how much of it went to makers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from chainwallet.market.model import Leg, OrderFlow
from chainwallet.market.rates import MidMarket

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Parts of the value that payers sent, in basis points of it at mid: all_in = makers + surplus."""

    all_in_bps: float
    makers_bps: float
    surplus_bps: float


def cost_of(
    orders: Iterable[OrderFlow], fills: Iterable[Leg], surplus_units: Mapping[str, int], mids: MidMarket
) -> Cost:
    """What the settled `orders` lost on the way from source to target, and who has it: makers or the surplus.

    Computed exactly at mid; only the three quotients are rounded. No orders cost nothing.
    """
    worth = mids.weights()
    flows = list(orders)
    sent = sum((order.source_units * worth[order.source] for order in flows), Fraction(0))
    if not sent:
        return Cost(0.0, 0.0, 0.0)
    arrived = sum((order.target_units * worth[order.target] for order in flows), Fraction(0))
    makers = sum((leg.bought_units * worth[leg.buy] - leg.sold_units * worth[leg.sell] for leg in fills), Fraction(0))
    surplus = sum((units * worth[code] for code, units in surplus_units.items()), Fraction(0))
    return Cost(*(float(part * _BPS / sent) for part in (sent - arrived, makers, surplus)))


def unnetted_cost(orders: Iterable[OrderFlow], fills_alone: Iterable[Leg], mids: MidMarket) -> float:
    """What makers would have earned without netting (`clear_alone`), in basis points of the value sent at mid."""
    return cost_of(orders, fills_alone, {}, mids).makers_bps


def maker_volume_units(fills: Iterable[Leg], mids: MidMarket, in_code: str) -> int:
    """What makers sold, valued at mid in `in_code`, in units, each fill rounded down."""
    return sum(mids.value_units(leg.sold_units, leg.sell, in_code) for leg in fills)


def value_sent_units(orders: Iterable[OrderFlow], mids: MidMarket, in_code: str) -> int:
    """What payers sent, valued at mid in `in_code`, in units, each order rounded down."""
    return sum(mids.value_units(order.source_units, order.source, in_code) for order in orders)
