"""Orders taken into a batch one by one, exactly: what is left to do when the programme of the whole fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from functools import partial

import numpy as np

from chainwallet.market.errors import MarketNoRoute
from chainwallet.market.flow import Flow
from chainwallet.market.model import OrderFlow, SetAside
from chainwallet.market.paths import Ladder
from chainwallet.market.residual import Residual

_DETOURS_MAX = 32  # orders for which the programme is asked when the best paths have failed; it takes a millisecond


def take_in_order(residual: Residual, orders: Iterable[OrderFlow], settled: Set[str]) -> set[str]:
    """Fund, one after another, as many more orders as the room left allows; the ids of all that then settle.

    Those in `settled` are in the residual already. What an order lacks is bought with its own source currency:
    along the best paths, or else by the route that the book as a whole gives it, where there is room for that.
    An order that cannot be funded blocks its lane.
    """
    taken = set(settled)
    blocked: set[str] = set()
    ladder, detours = Ladder(residual.columns), 0
    for order in orders:
        if order.id in settled:
            continue
        if order.lane not in blocked:
            if _take(residual, order, residual.cover):
                taken.add(order.id)
                continue
            detours += 1
            if detours <= _DETOURS_MAX and _take(residual, order, partial(_follow_route, residual, ladder)):
                taken.add(order.id)
                continue
        if order.lane is not None:
            blocked.add(order.lane)
    return taken


def _take(residual: Residual, order: OrderFlow, cover: Callable[[int, int], bool]) -> bool:
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


def _follow_route(residual: Residual, ladder: Ladder, node: int, source: int) -> bool:
    """Buy what `node` lacks by the fills of the optimal route; False where one of them has no room."""
    columns, lack = residual.columns, -residual.surplus_units[node]
    try:
        solved = Flow(columns, ladder, columns.codes[source], columns.codes[node]).deliver(lack)
    except MarketNoRoute:
        return False
    for column, units in solved.fills.items():
        if residual.room_units(column) < units:
            return False
        residual.put(column, residual.sold_units.get(column, 0) + units)
    return solved.target_units >= lack


def reasons(residual: Residual, orders: Iterable[OrderFlow], settled: Set[str]) -> dict[str, SetAside]:
    """Why each order that does not settle does not, by the book as it was before the batch."""
    ladder = Ladder(residual.columns)
    found: dict[str, SetAside] = {}
    blocked: set[str] = set()
    for order in orders:
        if order.id not in settled:
            found[order.id] = SetAside.LANE if order.lane in blocked else _reason(ladder, residual, order)
            if order.lane is not None:
                blocked.add(order.lane)
    return found


def _reason(ladder: Ladder, residual: Residual, order: OrderFlow) -> SetAside:
    index = residual.columns.index
    best = float(ladder.tree(index[order.source], index[order.target]).cost[index[order.target]])
    if not np.isfinite(best):
        return SetAside.NO_ROUTE
    return SetAside.PRICE if best * order.target_units > order.source_units * (1 + 1e-12) else SetAside.LIQUIDITY
