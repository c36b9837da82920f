"""The alternatives to a route: single paths that could have carried the whole payment, cheapest first."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from chainwallet.market.certificate import Room, rooms_of
from chainwallet.market.columns import columns_of
from chainwallet.market.model import Book, Leg, Route
from chainwallet.market.paths import Ladder

_LOOKED_AT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Alternative:
    """One path for the route's whole target: what it would have cost, and by how much that is above the route."""

    legs: tuple[Leg, ...]
    source_units: int
    above_route_bps: float


def rank_alternatives(book: Book, route: Route, *, count: int = 5, hops_max: int = 4) -> tuple[Alternative, ...]:
    """The `count` cheapest single paths of at most `hops_max` offers that deliver the route's target, exactly.

    Each step is one offer that has room for all of it. The route itself is among them where it is a single path.
    """
    found: list[Alternative] = []
    for legs in _paths(book, route, hops_max):
        cost_units = legs[0].bought_units
        above = Fraction(cost_units - route.source_units, route.source_units) * 10_000
        found.append(Alternative(legs, cost_units, float(above)))
        if len(found) == count:
            break
    return tuple(found)


def _paths(book: Book, route: Route, hops_max: int) -> Iterator[tuple[Leg, ...]]:
    """Paths in the order of their cost: built from the target backwards, the most promising one first."""
    columns = columns_of(book, (route.source, route.target))
    tree = Ladder(columns).tree(columns.index[route.source], columns.index[route.target])
    cost = {code: float(tree.cost[row]) for code, row in columns.index.items() if np.isfinite(tree.cost[row])}
    sellers: defaultdict[str, list[Room]] = defaultdict(list)
    for room in rooms_of(book):
        if room.offer.buy in cost and room.offer.buy != route.target:
            sellers[room.offer.sell].append(room)
    waiting: list[tuple[float, int, tuple[Leg, ...]]] = [(0.0, 0, ())]
    for number in range(_LOOKED_AT_MAX):
        if not waiting:
            return
        _, _, legs = heapq.heappop(waiting)
        code, need = (legs[0].buy, legs[0].bought_units) if legs else (route.target, route.target_units)
        if code == route.source:
            yield legs
            continue
        passed = {leg.sell for leg in legs} | {code}
        for at, room in enumerate(sellers[code] if len(legs) < hops_max else ()):
            if room.units >= need and room.offer.buy not in passed:
                longer = (room.offer.leg(need), *legs)
                promise = longer[0].bought_units * cost[room.offer.buy]
                heapq.heappush(waiting, (promise, number * len(book.offers) + at, longer))
