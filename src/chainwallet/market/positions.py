"""Limited positions: how much more a participant may pay in a currency than it is paid, within one batch.

A bank that may owe little settles much when the others' payments to it settle in the same batch; none of them would
settle alone. That is gridlock, and a batch that is solved as one programme does not know it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from chainwallet.market.model import OrderFlow

Limits = Mapping[tuple[str, str], int]  # (participant, currency): units that it may pay out, net


class Positions:
    """What the orders of a batch do to the positions that are limited, exactly."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._paid: defaultdict[tuple[str, str], int] = defaultdict(int)

    def effects(self, order: OrderFlow) -> list[tuple[tuple[str, str], int]]:
        """The limited positions that an order moves, each with the units paid out of it, net."""
        moved: defaultdict[tuple[str, str], int] = defaultdict(int)
        if order.payer is not None and (order.payer, order.source) in self.limits:
            moved[order.payer, order.source] += order.source_units
        if order.payee is not None and (order.payee, order.target) in self.limits:
            moved[order.payee, order.target] -= order.target_units
        return list(moved.items())

    def take(self, orders: Iterable[OrderFlow]) -> None:
        if self.limits:
            for order in orders:
                for key, units in self.effects(order):
                    self._paid[key] += units

    def exceeded(self) -> list[tuple[str, str]]:
        """The positions that are past their limits now."""
        return sorted(key for key, units in self._paid.items() if units > self.limits[key])

    def may_take(self, order: OrderFlow) -> bool:
        """Whether the order pushes no position further past its limit."""
        return all(units <= 0 or self._paid[key] + units <= self.limits[key] for key, units in self.effects(order))
