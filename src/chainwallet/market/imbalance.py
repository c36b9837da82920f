"""The programme of a batch: which fills fund what is left when opposite payments have met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chainwallet.market.columns import Columns, Floats
from chainwallet.market.model import OrderFlow
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Programme, book_matrix, solve
from chainwallet.market.repair import Scaled, repair
from chainwallet.market.residual import Residual


def net_units(orders: Iterable[OrderFlow]) -> dict[str, int]:
    """Per currency, what the orders bring in less what they take out."""
    net: dict[str, int] = {}
    for order in orders:
        net[order.source] = net.get(order.source, 0) + order.source_units
        net[order.target] = net.get(order.target, 0) - order.target_units
    return net


@dataclass(frozen=True, slots=True)
class Funded:
    """Exact fills under which no currency runs short, with the programme's duals and optimum."""

    residual: Residual
    prices: Floats  # the marginal value of one unit of each currency, as the weights count
    bound: float | None  # the optimum before rounding; None where makers were not needed


class Imbalance:
    """The programme over one book with one set of weights, for any orders."""

    def __init__(self, columns: Columns, weights: Floats) -> None:
        self.columns = columns
        self.weights = weights
        self._price = columns.price * weights[columns.buy] / weights[columns.sell]
        self._matrix = book_matrix(columns, self._price)

    def fund(self, orders: Iterable[OrderFlow]) -> Funded | None:
        """The fills that fund all the orders, surplus worth the most; None when there are none in integers.

        Where the orders fund each other no maker is asked, even if some makers' quotes cross.
        """
        residual = Residual(self.columns)
        for code, units in net_units(orders).items():
            residual.add(code, units)
        if min(residual.surplus_units, default=0) >= 0:
            return Funded(residual, self.weights, None)
        net = np.array([float(units) for units in residual.surplus_units])
        scaled = self._solve(net)
        if scaled is None or not repair(residual, scaled):
            return None
        unit = self.weights / scaled.scale  # worth of one scaled unit, the same for every currency
        gained = scaled.vertex.objective * float(unit[0])
        duals = scaled.vertex.row_dual[: len(self.columns.codes)]
        return Funded(residual, self.weights * (1.0 - duals), float(net @ self.weights) + gained)

    def _solve(self, net: Floats) -> Scaled | None:
        columns, groups = self.columns, len(self.columns.group_units)
        worth = net * self.weights
        size = max(float(worth[worth > 0].sum()), float(-worth[worth < 0].sum()))
        scale = self.weights * (SIZE / size)
        upper = np.minimum(columns.cap * scale[columns.sell], UPPER_MAX)
        vertex = solve(
            Programme(
                cost=1.0 - self._price,
                upper=upper,
                row_lower=np.concatenate([-net * scale, np.full(groups, -INFINITY)]),
                row_upper=np.concatenate([np.full(len(net), INFINITY), columns.scaled_limits(scale)]),
                matrix=self._matrix,
            )
        )
        return None if vertex is None else Scaled(vertex, upper, scale)
