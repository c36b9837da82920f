"""Orders taken into a batch one by one, exactly: what is left to do when the programme of the whole fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import numpy as np

from chainwallet.market.errors import MarketNoRoute
from chainwallet.market.flow import Flow
from chainwallet.market.model import OrderFlow, SetAside
from chainwallet.market.paths import Ladder
from chainwallet.market.positions import Positions
from chainwallet.market.residual import Residual

Way = Callable[[int, int], bool]  # buy what the first currency lacks with the second; False: cannot

_DETOURS_MAX = 8  # orders for which the programme is asked when the best paths have failed; it takes a millisecond
_FUTILE_MAX = 64  # orders that fail in a row before the rest is not tried any more


def fill_up(
    residual: Residual, orders: Iterable[OrderFlow], settled: Set[str], positions: Positions | None = None
) -> set[str]:
    """Add to those that the programme chose what still fits, first come first served; the ids of all that settle.

    What an order lacks is bought with its own source currency along the best paths that have room.
    """
    return _take_each(residual, orders, settled, [residual.cover], positions, futile_max=_FUTILE_MAX)


def take_in_order(residual: Residual, orders: Sequence[OrderFlow], positions: Positions | None = None) -> set[str]:
    """Fund one order after another from an empty pool, without netting ahead; the ids of those that settle.

    Where the best paths do not fund an order, the route that the book as a whole gives it may.
    """
    routes = _Routes(residual)
    return _take_each(residual, orders, set(), [residual.cover, routes.follow], positions, futile_max=len(orders))


def _take_each(
    residual: Residual,
    orders: Iterable[OrderFlow],
    settled: Set[str],
    ways: list[Way],
    positions: Positions | None,
    *,
    futile_max: int,
) -> set[str]:
    """An order that cannot be funded in any of the ways blocks its lane."""
    positions = positions or Positions({})
    taken = set(settled)
    blocked: set[str] = set()
    futile = 0
    for order in orders:
        if order.id in settled:
            continue
        may_try = order.lane not in blocked and futile < futile_max and positions.may_take(order)
        if may_try and any(_take(residual, order, way) for way in ways):
            taken.add(order.id)
            positions.take([order])
            futile = 0
            continue
        futile += may_try
        if order.lane is not None:
            blocked.add(order.lane)
    return taken


def _take(residual: Residual, order: OrderFlow, cover: Way) -> bool:
    """Add one order and the fills it needs, or leave everything as it was."""
    surplus, index = residual.surplus_units, residual.columns.index
    source, target = index[order.source], index[order.target]
    residual.begin()
    surplus[source] += order.source_units
    surplus[target] -= order.target_units
    if cover(target, source) and min(surplus) >= 0:
        return True
    residual.rollback()
    surplus[source] -= order.source_units
    surplus[target] += order.target_units
    return False


class _Routes:
    """The routes that the book as it was gives to single orders, for a few of them."""

    def __init__(self, residual: Residual) -> None:
        self._residual = residual
        self._ladder = Ladder(residual.columns)
        self._left = _DETOURS_MAX

    def follow(self, node: int, source: int) -> bool:
        """Buy what `node` lacks by the fills of a route that was quoted for it; False where one has no room."""
        residual, columns = self._residual, self._residual.columns
        lack, budget = -residual.surplus_units[node], residual.surplus_units[source]
        self._left -= 1
        if self._left < 0:
            return False
        try:
            flow = Flow(columns, self._ladder, columns.codes[source], columns.codes[node])
        except MarketNoRoute:
            return False
        solved = flow.deliver(lack)
        if solved.source_units > budget:  # quoted from its source, it may be a few units cheaper that way
            solved = flow.send(budget)
        return solved.target_units >= lack and self._put_all(solved.fills)

    def _put_all(self, fills: Mapping[int, int]) -> bool:
        residual = self._residual
        if any(residual.room_units(column) < units for column, units in fills.items()):
            return False
        for column, units in fills.items():
            residual.put(column, residual.sold_units.get(column, 0) + units)
        return True


def reasons(
    residual: Residual, orders: Sequence[OrderFlow], settled: Set[str], positions: Positions
) -> dict[str, SetAside]:
    """Why each order that does not settle does not, by the book as it was before the batch."""
    if len(settled) == len(orders):
        return {}
    ladder = Ladder(residual.columns)
    positions.take(order for order in orders if order.id in settled)
    found: dict[str, SetAside] = {}
    blocked: set[str] = set()
    for order in orders:
        if order.id not in settled:
            reason = _reason(ladder, residual, order) if positions.may_take(order) else SetAside.POSITION
            found[order.id] = SetAside.LANE if order.lane in blocked else reason
            if order.lane is not None:
                blocked.add(order.lane)
    return found


def _reason(ladder: Ladder, residual: Residual, order: OrderFlow) -> SetAside:
    index = residual.columns.index
    best = float(ladder.tree(index[order.source], index[order.target]).cost[index[order.target]])
    if not np.isfinite(best):
        return SetAside.NO_ROUTE
    # where quotes cross, no path is known to be the cheapest, so nothing is known to be too dear
    is_too_dear = not ladder.is_crossed and best * order.target_units > order.source_units * (1 + 1e-12)
    return SetAside.PRICE if is_too_dear else SetAside.LIQUIDITY
