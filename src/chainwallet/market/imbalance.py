"""The programme of a batch: which fills fund what is left when opposite payments have met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from chainwallet.market.columns import Columns, Flags, Floats, Ints
from chainwallet.market.model import OrderFlow
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Programme, book_matrix, solve_priced
from chainwallet.market.repair import Scaled, cover_deficits, repair
from chainwallet.market.residual import Residual

_SMALL = 32  # currencies among which every way to pay for a deficit is tried
_CHEAPEST = 4  # offers per currency and side that the solver is shown at first


def net_units(orders: Iterable[OrderFlow]) -> dict[str, int]:
    """Per currency, what the orders bring in less what they take out."""
    net: defaultdict[str, int] = defaultdict(int)
    for order in orders:
        net[order.source] += order.source_units
        net[order.target] -= order.target_units
    return dict(net)


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
        self._bargains = _cheapest(self._price, columns.sell, columns.buy)

    def fund(self, net: Mapping[str, int]) -> Funded | None:
        """The fills that fund a batch's net units, surplus worth the most; None when there are none in integers.

        Where the orders fund each other no maker is asked, even if some makers' quotes cross.
        """
        residual = Residual(self.columns)
        for code, units in net.items():
            residual.add(code, units)
        if min(residual.surplus_units, default=0) >= 0:
            return Funded(residual, self.weights, None)
        net_floats = np.array([float(units) for units in residual.surplus_units])
        scaled = self._solve(net_floats)
        if scaled is None or not repair(residual, scaled):
            return None
        unit = self.weights / scaled.scale  # worth of one scaled unit, the same for every currency
        bound = float(net_floats @ self.weights) + scaled.vertex.objective * float(unit[0])
        prices = self.weights * (1.0 - scaled.vertex.row_dual[: len(self.columns.codes)])
        if bound - self._worth(residual) > self._rounding(residual, prices):
            residual = self._better(residual, net, scaled)
        return Funded(residual, prices, bound)

    def _better(self, residual: Residual, net: Mapping[str, int], scaled: Scaled) -> Residual:
        """Where amounts are so small that rounding took the programme's steps apart: the best paths, if better."""
        other = Residual(self.columns)
        for code, units in net.items():
            other.add(code, units)
        found = [residual]
        is_small = len(self.columns.codes) <= _SMALL
        if (is_small and self._cover_cheaply(other)) or cover_deficits(other, scaled.scale, None):
            found.append(other)
        for one in found:
            self._give_back(one)
        return max(found, key=self._worth)

    def _cover_cheaply(self, residual: Residual) -> bool:
        """Buy what each currency lacks with whichever other one loses the least by it."""
        surplus = residual.surplus_units
        for node in [row for row, units in enumerate(surplus) if units < 0]:
            while surplus[node] < 0:
                tried = {funding: self._tried(residual, node, funding) for funding in range(len(surplus))}
                best = max(tried, key=lambda funding: (tried[funding], -funding))
                if tried[best] == -np.inf:
                    return False
                residual.begin()
                residual.cover(node, best)
        return True

    def _tried(self, residual: Residual, node: int, funding: int) -> float:
        """What the surplus would be worth if `funding` paid for what `node` lacks; nothing changes."""
        if residual.surplus_units[funding] <= 0:
            return -np.inf
        residual.begin()
        worth = self._worth(residual) if residual.cover(node, funding) else -np.inf
        residual.rollback()
        return worth

    def _give_back(self, residual: Residual) -> None:
        """Buy less of what is left over wherever it cost more than it is worth."""
        columns, surplus = self.columns, residual.surplus_units
        for _ in range(len(surplus)):
            before = list(surplus)
            for column, sold in sorted(residual.fills().items()):
                extra = min(sold, surplus[columns.sell_of[column]])
                if extra > 0 and self._price[column] > 1.0:
                    residual.put(column, sold - extra)
            if surplus == before:
                return

    def _worth(self, residual: Residual) -> float:
        return float(np.array([float(units) for units in residual.surplus_units]) @ self.weights)

    def _rounding(self, residual: Residual, prices: Floats) -> float:
        """What rounding may cost: a unit of either currency of each fill, at these prices, and the solver's slack."""
        columns, fills = self.columns, residual.fills()
        steps = sum(float(prices[columns.buy_of[q]] + prices[columns.sell_of[q]]) for q in fills)
        moved = sum(float(units) * float(prices[columns.sell_of[q]]) for q, units in fills.items())
        return steps + 1e-10 * moved

    def _solve(self, net: Floats) -> Scaled | None:
        columns, groups = self.columns, len(self.columns.group_units)
        worth = net * self.weights
        size = max(float(worth[worth > 0].sum()), float(-worth[worth < 0].sum()))
        scale = self.weights * (SIZE / size)
        upper = np.minimum(columns.cap * scale[columns.sell], UPPER_MAX)
        vertex = solve_priced(
            Programme(
                cost=1.0 - self._price,
                upper=upper,
                row_lower=np.concatenate([-net * scale, np.full(groups, -INFINITY)]),
                row_upper=np.concatenate([np.full(len(net), INFINITY), columns.scaled_limits(scale)]),
                matrix=self._matrix,
            ),
            self._bargains,
        )
        return None if vertex is None else Scaled(vertex, upper, scale)


def _cheapest(price: Floats, *sides: Ints) -> Flags:
    """Marks the few cheapest offers of each currency, on either side."""
    marked = np.zeros(len(price), dtype=np.bool_)
    cheapest_first = np.argsort(price, kind="stable")
    for currency in sides:
        order = cheapest_first[np.argsort(currency[cheapest_first], kind="stable")]
        grouped = currency[order]
        rank = np.arange(len(price)) - np.searchsorted(grouped, grouped)
        marked[order[rank < _CHEAPEST]] = True
    return marked
