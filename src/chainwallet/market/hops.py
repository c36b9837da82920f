"""Routes of few steps: the cheapest split over paths of at most so many offers each.

A limit on steps is a limit on paths, so the unknowns are paths here: how much of the target each one delivers. There
are too many to write down; the programme starts with none, and its duals say which one is missing: the cheapest chain
of offers where each offer costs, beside its price, what the programme would pay for more room in it. That chain is
found step by step (a table of steps by currencies), joins the programme, and when the cheapest missing path would not
pay, the optimum is that of all paths (column generation; the optimum does not depend on how it was reached).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chainwallet.market.columns import Columns, Flags, Floats
from chainwallet.market.model import Leg
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Matrix, Programme, Vertex, solve
from chainwallet.market.residual import Residual

_PATHS_MAX = 2_000
_GAIN_MIN = 1e-11  # of the price: a path that would gain less is no better
_SHORT_COST = 1e4  # what a unit that no path delivers costs, in units of the cheapest path's cost


def hops_of(legs: tuple[Leg, ...], source: str) -> int:
    """The most offers that money could pass one after another: no path in these legs is longer."""
    depth, grew = {source: 0}, True
    for _ in legs:
        if not grew:
            break
        grew = False
        for leg in legs:
            reached = depth.get(leg.buy, -1) + 1
            if leg.buy in depth and reached > depth.get(leg.sell, -1):
                depth[leg.sell], grew = reached, True
    return max(depth.values())


@dataclass(frozen=True, slots=True)
class Trip:
    """A path from source to target: its columns in order, what a unit of the target uses of each, and costs."""

    columns: tuple[int, ...]
    used: tuple[float, ...]
    cost: float


class Trips:
    """The programme over the paths of one pair. `price` and `worth`: as the Flow of the pair scales them.

    `spare_units` of each offer are left to the rounding: nearly all that there is can only be had with some to spare.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        ends: tuple[int, int],
        usable: Flags,
        price: Floats,
        worth: Floats,
        hops_max: int,
        spare_units: int = 0,
    ) -> None:
        self._columns = columns
        self._source, self._target = ends
        self._hops_max = hops_max
        self._offers = np.flatnonzero(usable)
        self._buy, self._sell = columns.buy[self._offers], columns.sell[self._offers]
        self._price, self._worth = price, worth
        self._spare_units = spare_units
        self._trips: list[Trip] = []

    def deliver(self, target_units: int) -> tuple[Residual, float]:
        """The cheapest exact fills that deliver `target_units`, or as much of them as there is, and the optimum."""
        size = target_units * float(self._worth[self._target])
        vertex = self._optimum(size, is_target_fixed=True)
        residual = Residual(self._columns)
        residual.surplus_units[self._target] -= target_units
        for known, part in self._parts(vertex):
            units = round(part / SIZE * target_units)
            self._push(residual, known, min(units, -residual.surplus_units[self._target]))
        while (short := -residual.surplus_units[self._target]) > 0 and (trip := self._with_room(residual)):
            if not self._push(residual, trip, short):
                break
        return residual, -vertex.objective / SIZE * size

    def send(self, source_units: int) -> tuple[Residual, float]:
        """The exact fills that deliver the most for `source_units`, and the optimum in target units."""
        vertex = self._optimum(float(source_units), is_target_fixed=False)
        residual = Residual(self._columns)
        residual.surplus_units[self._source] += source_units
        unit = source_units / SIZE / float(self._worth[self._target])
        for known, part in self._parts(vertex):
            self._push(residual, known, min(int(part * unit), self._affordable(residual, known)))
        while trip := self._with_room(residual):
            if not self._push(residual, trip, self._affordable(residual, trip)):
                break
        return residual, vertex.objective * unit

    def _optimum(self, size: float, *, is_target_fixed: bool) -> Vertex:
        """The optimal vertex over all paths of so few hops; its first value is what no path delivers."""
        scale = SIZE / max(size, 1.0)
        vertex = self._solve(scale, is_target_fixed=is_target_fixed)
        while len(self._trips) < _PATHS_MAX:
            room = np.zeros(len(self._columns.offers))
            for offer, dual in zip(self._rows(), vertex.row_dual[1:], strict=False):
                room[offer] = dual
            groups = vertex.row_dual[1 + len(self._rows()) :]
            if len(groups):
                room += np.where(self._columns.group >= 0, groups[self._columns.group], 0.0)
            start, goal = (1.0, -vertex.row_dual[0]) if is_target_fixed else (vertex.row_dual[0], 1.0)
            trip = self._cheapest(max(0.0, float(start)), np.maximum(room, 0.0), float(goal))
            if trip is None or trip in self._trips:
                break
            self._trips.append(trip)
            vertex = self._solve(scale, is_target_fixed=is_target_fixed)
        return vertex

    def _rows(self) -> list[int]:
        """The offers that some path uses, in the order of the programme's rows."""
        return sorted({column for trip in self._trips for column in trip.columns})

    def _solve(self, scale: float, *, is_target_fixed: bool) -> Vertex:
        """Row 0: what is delivered, or spent; then the offers, then the inventories. Column 0: what is short."""
        columns, offers = self._columns, self._rows()
        row = {offer: number for number, offer in enumerate(offers, start=1)}
        entries: list[dict[int, float]] = [{0: 1.0}]
        for trip in self._trips:
            entry = {0: 1.0 if is_target_fixed else trip.cost}
            for offer, used in zip(trip.columns, trip.used, strict=True):
                entry[row[offer]] = entry.get(row[offer], 0.0) + used
                if (group := columns.group_of[offer]) >= 0:
                    at = 1 + len(offers) + group
                    entry[at] = entry.get(at, 0.0) + used
            entries.append(entry)
        rooms = [max(0, columns.cap_units[q] - self._spare_units) for q in offers]
        worth = [float(self._worth[columns.sell_of[q]]) * scale for q in offers]
        caps = [min(room * unit, UPPER_MAX) for room, unit in zip(rooms, worth, strict=True)]
        limits = columns.scaled_limits(self._worth * scale)
        costs = [-_SHORT_COST, *(-trip.cost for trip in self._trips)]
        vertex = solve(
            Programme(
                cost=np.array(costs if is_target_fixed else [0.0] + [1.0] * len(self._trips)),
                upper=np.full(len(entries), INFINITY),
                row_lower=np.concatenate([[SIZE], np.full(len(caps) + len(limits), -INFINITY)]),
                row_upper=np.concatenate([[SIZE], caps, limits]),
                matrix=Matrix(
                    np.cumsum([0] + [len(entry) for entry in entries], dtype=np.int32),
                    np.array([at for entry in entries for at in entry], dtype=np.int32),
                    np.array([value for entry in entries for value in entry.values()]),
                ),
            )
        )
        if vertex is None:
            raise ArithmeticError("a programme that nothing can make infeasible was not solved")
        return vertex

    def _cheapest(self, start: float, room: Floats, goal: float) -> Trip | None:
        """The path that the programme would gain the most by; None when none would."""
        nodes, price, extra = len(self._worth), self._price[self._offers], room[self._offers]
        cost = np.full(nodes, np.inf)
        cost[self._source] = start
        table = []
        for _ in range(self._hops_max):
            offered = cost[self._buy] * price + extra
            reached = np.full(nodes, np.inf)
            np.minimum.at(reached, self._sell, offered)
            last = np.full(nodes, -1)
            best = np.flatnonzero(np.isfinite(offered) & (offered == reached[self._sell]))[::-1]
            last[self._sell[best]] = best
            table.append((reached, last))
            cost = reached
        step = int(np.argmin([reached[self._target] for reached, _ in table]))
        worst = goal if np.isinf(goal) else goal - _GAIN_MIN * max(1.0, abs(goal))
        if not table[step][0][self._target] < worst:
            return None
        chain, node = list[int](), self._target
        for _, last in reversed(table[: step + 1]):
            chain.append(int(self._offers[last[node]]))
            node = int(self._buy[last[node]])
        return self._trip(tuple(reversed(chain)))

    def _trip(self, chain: tuple[int, ...]) -> Trip:
        used = [1.0]
        for _, after in reversed(list(pairwise(chain))):
            used.append(used[-1] * float(self._price[after]))
        return Trip(chain, tuple(reversed(used)), used[-1] * float(self._price[chain[0]]))

    def _parts(self, vertex: Vertex) -> list[tuple[Trip, float]]:
        """What each path delivers, scaled, the cheapest path first."""
        parts = [(trip, float(part)) for trip, part in zip(self._trips, vertex.values[1:], strict=True) if part > 0]
        return sorted(parts, key=lambda one: one[0].cost)

    def _with_room(self, residual: Residual) -> Trip | None:
        """The cheapest path that can still deliver something: what the rounding of the others left over."""
        room = np.zeros(len(self._columns.offers))
        for _ in range(len(self._offers)):
            trip = self._cheapest(1.0, room, float(np.inf))
            if trip is None:
                return None
            most, narrowest = residual.carried(list(trip.columns))
            if most > 0:
                return trip
            room[trip.columns[narrowest]] = np.inf
        return None

    def _affordable(self, residual: Residual, trip: Trip) -> int:
        """The most that the path delivers for what the source has left over."""
        paid = residual.surplus_units[self._source]
        for column in trip.columns:
            paid = self._columns.offers[column].sold_down(paid)
        return paid

    def _push(self, residual: Residual, trip: Trip, units: int) -> bool:
        path = list(trip.columns)
        most = min(units, residual.carried(path)[0])
        if most > 0:
            residual.push(path, most)
        return most > 0
