"""One payment as a programme: the cheapest, or the largest, flow of money from one currency to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from chainwallet.market.columns import Columns, Floats
from chainwallet.market.errors import no_route
from chainwallet.market.hops import Trips
from chainwallet.market.model import Leg
from chainwallet.market.paths import Ladder, Tree
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Programme, Start, Vertex, book_matrix, solve
from chainwallet.market.repair import Scaled, repair
from chainwallet.market.residual import Residual

_SLACK = 1e-9  # a source that is left over by more than this part of itself found no offer to go through
_RESCALES_MAX = 4
_SPARES_UNITS = (0, 4, 64)
_SIZES_MAX = 16.0  # a route that costs more than this many times what the best path does is solved again, larger
_ASKED_AGAIN_MAX = 8  # times that the most is asked for again, to be sure that it can be had


@dataclass(frozen=True, slots=True)
class Solved:
    """A flow in exact integers: `source_units` pay for the fills, which leave `target_units` over."""

    source_units: int
    target_units: int
    fills: Mapping[int, int]  # column: units sold
    prices: Mapping[str, float] = field(default_factory=dict)  # marginal, in source units; empty where not solved for
    bound: float | None = None  # the programme's optimum before rounding, in units of the side that is not fixed
    is_all: bool = False  # it is less than was asked for, and the most there is


class Flow:
    """The programmes of one (source, target) pair over a book.

    Currencies are weighed by the best price from the source, so that every scaled price is near one. Raises
    MarketNoRoute when no chain of offers joins the two.
    """

    def __init__(self, columns: Columns, ladder: Ladder, source: str, target: str) -> None:
        known = columns.index
        self._columns = columns
        self._source, self._target = known.get(source, -1), known.get(target, -1)
        if min(self._source, self._target) < 0:
            raise no_route(source, target)
        tree = ladder.tree(self._source, self._target)
        cost = tree.cost
        if not np.isfinite(cost[self._target]):
            raise no_route(source, target)
        self._reached = np.isfinite(cost)
        self._worth = np.where(self._reached, cost, 1.0)
        # money that came back to the source, or went on from the target, would only have circled
        self._usable = self._reached[columns.buy] & (columns.buy != self._target) & (columns.sell != self._source)
        self._usable &= ladder.leads_outwards(self._source, self._target, columns.buy, columns.sell)
        prices = columns.price * self._worth[columns.buy] / self._worth[columns.sell]
        self._price = np.where(self._usable, prices, 1.0)
        self._matrix = book_matrix(columns, self._price)
        self._tree = self._basic(ladder, tree)

    def usable_columns(self) -> list[int]:
        """The offers that may be on the way."""
        return [int(column) for column in np.flatnonzero(self._usable)]

    def deliver_within(self, target_units: int, hops_max: int) -> Solved:
        """As `deliver`, along paths of at most `hops_max` offers."""
        for attempt in range(_ASKED_AGAIN_MAX):
            solved = self._deliver_sparing(target_units, hops_max)
            if not 0 < solved.target_units < target_units:
                break
            spare = self._rounding(solved) / float(self._worth[self._target])
            target_units = max(1, solved.target_units - int(spare * 2**attempt))
        return solved

    def _deliver_sparing(self, target_units: int, hops_max: int) -> Solved:
        """Near all that there is, some units of each offer are left to the rounding."""
        for spare_units in _SPARES_UNITS:
            residual, bound = self._trips(hops_max, spare_units).deliver(target_units)
            solved = replace(self._state(residual, {self._target: -target_units}, {}), bound=bound)
            short = target_units - solved.target_units
            if short <= 0 or short > target_units // 1_000:
                break
        return solved

    def send_within(self, source_units: int, hops_max: int) -> Solved:
        """As `send`, along paths of at most `hops_max` offers."""
        taken_units = source_units
        for attempt in range(_ASKED_AGAIN_MAX):
            solved = self._send_sparing(taken_units, hops_max)
            left = taken_units - solved.source_units
            if left <= self._rounding(solved) or solved.source_units < 1:
                break
            taken_units = max(1, solved.source_units - self._rounding(solved) * 2**attempt)
        return replace(solved, source_units=taken_units, is_all=taken_units < source_units)

    def _send_sparing(self, source_units: int, hops_max: int) -> Solved:
        for spare_units in _SPARES_UNITS:
            residual, bound = self._trips(hops_max, spare_units).send(source_units)
            solved = replace(self._state(residual, {self._source: source_units}, {}), bound=bound)
            left = source_units - solved.source_units
            if left <= self._rounding(solved) or left > source_units // 1_000:
                break
        return solved

    def _trips(self, hops_max: int, spare_units: int) -> Trips:
        return Trips(
            self._columns,
            ends=(self._source, self._target),
            usable=self._usable,
            price=self._price,
            worth=self._worth,
            hops_max=hops_max,
            spare_units=spare_units,
        )

    def deliver(self, target_units: int) -> Solved:
        """The cheapest flow that delivers `target_units`; where none does, the most that asking for it delivers."""
        solved = self._deliver(target_units)
        for _ in range(_ASKED_AGAIN_MAX):
            if not 0 < solved.target_units < target_units:
                break
            target_units = solved.target_units
            solved = self._deliver(target_units)
        return solved

    def send(self, source_units: int) -> Solved:
        """The flow that delivers the most for `source_units`.

        Where offers do not take that much: that of the most they take, with `is_all`.
        """
        taken_units = source_units
        solved = self._send(taken_units)
        for _ in range(_ASKED_AGAIN_MAX):
            if not solved.is_all or solved.source_units < 1:
                break
            taken_units = solved.source_units
            solved = self._send(taken_units)
        return replace(solved, source_units=taken_units, is_all=taken_units < source_units)

    def _deliver(self, target_units: int) -> Solved:
        cheapest = self._to_target(target_units)
        if cheapest is not None:
            return cheapest
        largest = self._largest(target_units)
        # The largest flow costs what all of it costs: it says what can be had, never what this amount costs.
        return largest if largest.target_units <= target_units else self._along_paths(target_units)

    def _send(self, source_units: int) -> Solved:
        vertex, scale = self._vertex_from(source_units)
        if vertex is None or 1.0 - self._spent(vertex) / SIZE > _SLACK:
            solved: Solved | None = self._all(source_units)
            if solved and source_units - solved.source_units > self._rounding(solved):
                return replace(solved, is_all=True)
        else:
            solved = self._exact(vertex, scale, goal=self._target, net={self._source: source_units}, free=None)
        # a few units short, or a few too dear: where amounts are that small the rounding of each step decides
        is_paid = solved is not None and solved.source_units <= source_units
        return solved if solved is not None and is_paid else self._spend_along_paths(source_units)

    def _all(self, source_units: int) -> Solved:
        """The largest flow at its least cost, where `source_units` are known to be more than it takes, or nearly."""
        largest = self._largest(self._target_units_max(source_units))
        cheapest = (self._to_target(largest.target_units) if largest.target_units else None) or largest
        if source_units - cheapest.source_units > source_units // 64:
            return cheapest
        along_paths = self._spend_along_paths(source_units)
        return along_paths if along_paths.source_units > cheapest.source_units else cheapest

    def _to_target(self, target_units: int) -> Solved | None:
        bound: float | None = None
        for spare_units in _SPARES_UNITS:  # where the last units are not found, some of each offer is left for them
            vertex, scale = self._vertex_to(target_units, spare_units)
            net = {self._target: -target_units}
            solved = self._exact(vertex, scale, goal=self._source, net=net, free=self._source, spare_units=spare_units)
            if bound is None and vertex is not None:
                bound = -vertex.objective / float(scale[self._source])
            if solved is not None or vertex is None:
                break
        return None if solved is None else replace(solved, bound=bound)

    def _vertex_to(self, target_units: int, spare_units: int) -> tuple[Vertex | None, Floats]:
        size = target_units * float(self._worth[self._target])
        for _ in range(_RESCALES_MAX):
            scale = self._scale(size)
            lower, upper = self._row_bounds(scale, spare_units)
            lower[self._target] = target_units * scale[self._target]
            lower[self._source] = -INFINITY
            vertex = self._solve(scale, lower, upper, goal=self._source, start=self._tree, spare_units=spare_units)
            needed = _SIZES_MAX if vertex is None else -vertex.objective / SIZE
            if needed < _SIZES_MAX or not self._is_cut(scale):
                break
            size *= needed  # the best path is all but free and all but empty: what is useful was cut off
        return vertex, scale

    def _is_cut(self, scale: Floats) -> bool:
        """Whether some offer could sell more than the programme lets it."""
        columns = self._columns
        return bool((columns.cap * scale[columns.sell] > UPPER_MAX)[self._usable].any())

    def _vertex_from(self, source_units: int) -> tuple[Vertex | None, Floats]:
        scale = self._scale(float(source_units))
        lower, upper = self._row_bounds(scale)
        lower[self._source] = -source_units * scale[self._source]
        rows = [*(row for row in self._tree.rows if row != self._target), self._source]
        start = Start(self._tree.columns, rows) if self._target in self._tree.rows else None
        return self._solve(scale, lower, upper, goal=self._target, start=start), scale

    def _largest(self, target_units: int) -> Solved:
        """`target_units` where an exact flow delivers them, or the most that one does, whatever it costs."""
        solved = self._unbounded(target_units)
        if solved is not None and solved.target_units >= target_units:
            return solved
        along_paths = self._along_paths(target_units)
        return along_paths if solved is None or along_paths.target_units > solved.target_units else solved

    def _unbounded(self, size_units: int) -> Solved | None:
        """The largest flow into the target. `size_units` of the target: what it is expected to stay below."""
        size = min(size_units * float(self._worth[self._target]), self._narrowest_end())
        solved = None
        for _ in range(_RESCALES_MAX):
            scale = self._scale(size)
            lower, upper = self._row_bounds(scale)
            lower[self._source] = -INFINITY
            vertex = self._solve(scale, lower, upper, goal=self._target)
            solved = self._exact(vertex, scale, goal=self._target, net={}, free=self._source)
            if not solved or solved.target_units * scale[self._target] > SIZE * 1e-5:
                break
            size *= 1e-5  # a bottleneck on the way is far below both ends: look closer, the solver is absolute
        return solved

    def _along_paths(self, target_units: int) -> Solved:
        """As much of `target_units` as the best paths deliver, one after another, without a solver."""
        residual = self._residual()
        residual.surplus_units[self._target] -= target_units
        residual.cover(self._target, self._source, on_credit=True)
        return self._state(residual, {self._target: -target_units}, {})

    def _spend_along_paths(self, source_units: int) -> Solved:
        """What `source_units` buy along the best paths, one after another, without a solver."""
        residual = self._residual()
        residual.surplus_units[self._source] += source_units
        residual.spend(self._source, self._target)
        return self._state(residual, {self._source: source_units}, {})

    def _target_units_max(self, source_units: int) -> int:
        """More than `source_units` can deliver. Where quotes cross, a later path may be cheaper than the first."""
        return int(4 * source_units / float(self._worth[self._target])) + 1

    def _scale(self, size: float) -> Floats:
        """Scaled units per unit of each currency, so that `size`, in source units, becomes SIZE."""
        return self._worth * (SIZE / max(size, 1.0))

    def _narrowest_end(self) -> float:
        """The most that can leave the source's or reach the target's offers, in source units."""
        columns = self._columns
        sold_worth = columns.cap * self._worth[columns.sell]
        into = sold_worth[self._usable & (columns.sell == self._target)].sum()
        out = (sold_worth * self._price)[self._usable & (columns.buy == self._source)].sum()
        return float(min(into, out))

    def _row_bounds(self, scale: Floats, spare_units: int = 0) -> tuple[Floats, Floats]:
        columns = self._columns
        currencies, groups = len(columns.codes), len(columns.group_units)
        lower = np.concatenate([np.zeros(currencies), np.full(groups, -INFINITY)])
        return lower, np.concatenate([np.full(currencies, INFINITY), columns.scaled_limits(scale, spare_units)])

    def _upper(self, scale: Floats, spare_units: int) -> Floats:
        columns = self._columns
        cap = columns.cap - np.minimum(spare_units, columns.cap // 1_000)
        return np.where(self._usable, np.minimum(cap * scale[columns.sell], UPPER_MAX), 0.0)

    def _basic(self, ladder: Ladder, tree: Tree) -> Start:
        """Start from the best paths: at their prices no offer is a bargain, and small amounts need nothing else."""
        reached = np.flatnonzero(tree.edge >= 0)
        columns = ladder.columns_of(tree.edge[reached])
        kept = self._usable[columns]
        return Start(columns[kept].tolist(), reached[kept].tolist())

    def _solve(
        self,
        scale: Floats,
        lower: Floats,
        upper: Floats,
        *,
        goal: int,
        start: Start | None = None,
        spare_units: int = 0,
    ) -> Vertex | None:
        """Maximise what the `goal` currency has left over (for the source: minimise what it lacks)."""
        columns = self._columns
        gained = np.where(columns.sell == goal, 1.0, np.where(columns.buy == goal, -self._price, 0.0))
        cost = np.where(self._usable, gained, 0.0)
        return solve(Programme(cost, self._upper(scale, spare_units), lower, upper, self._matrix), start)

    def _exact(
        self,
        vertex: Vertex | None,
        scale: Floats,
        *,
        goal: int,
        net: Mapping[int, int],
        free: int | None,
        spare_units: int = 0,
    ) -> Solved | None:
        """The vertex in integers; None when there is none, or when its last units cannot be found."""
        if vertex is None:
            return None
        residual = self._residual()
        for node, units in net.items():
            residual.surplus_units[node] += units
        scaled = Scaled(vertex, self._upper(scale, spare_units), scale, spare_units)
        if not repair(residual, scaled, root=goal, free=free):
            return None
        optimum = abs(vertex.objective) / float(scale[goal])
        return replace(self._state(residual, net, self._prices(vertex, scale, goal)), bound=optimum)

    def _residual(self) -> Residual:
        """An empty state in which only the offers that a route may use can sell anything."""
        residual = Residual(self._columns)
        for column in np.flatnonzero(~self._usable).tolist():
            residual.cap_units[column] = 0
        return residual

    def _state(self, residual: Residual, net: Mapping[int, int], prices: Mapping[str, float]) -> Solved:
        spent_units = net.get(self._source, 0) - residual.surplus_units[self._source]
        delivered_units = residual.surplus_units[self._target] - net.get(self._target, 0)
        return Solved(spent_units, delivered_units, residual.fills(), prices)

    def _rounding(self, solved: Solved) -> int:
        """What a flow may leave over of its source: a unit of either currency of each fill, and the solver's slack."""
        columns = self._columns
        steps = sum(float(self._worth[columns.buy_of[q]] + self._worth[columns.sell_of[q]]) for q in solved.fills)
        return int(steps + 2 * _SLACK * solved.source_units)

    def _spent(self, vertex: Vertex) -> float:
        """What the offers take of the source currency, scaled."""
        return float(vertex.values @ np.where(self._columns.buy == self._source, self._price, 0.0))

    def _prices(self, vertex: Vertex, scale: Floats, goal: int) -> dict[str, float]:
        """The marginal price of each currency in source units: the rows' duals, unscaled."""
        worth = -vertex.row_dual[: len(scale)] * scale / scale[goal]
        worth[goal] = 1.0
        if worth[self._source] <= 0:  # one more unit of the source would buy nothing
            return {}
        prices = worth / worth[self._source]
        return {code: float(prices[c]) for c, code in enumerate(self._columns.codes) if self._reached[c]}


def in_order(fills: Mapping[int, int], columns: Columns, source: str) -> tuple[Leg, ...]:
    """The fills as legs, in the order in which the payer's money passes them."""
    by_buy: dict[str, list[Leg]] = {}
    for column, sold_units in fills.items():
        leg = columns.offers[column].leg(sold_units)
        by_buy.setdefault(leg.buy, []).append(leg)
    waiting, ordered = [source], list[Leg]()
    while by_buy:
        code = waiting.pop(0) if waiting else min(by_buy)
        reached = by_buy.pop(code, [])
        ordered.extend(reached)
        waiting.extend(leg.sell for leg in reached)
    return tuple(ordered)
