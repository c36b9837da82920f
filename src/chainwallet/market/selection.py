"""Which payments to settle when not all can be: the best choice under a stated objective, as one programme.

Every payment is a column, settled or not; makers' fills, inventories, lanes and limited positions are its rows. First
the relaxation, where payments may settle in part: it bounds what any choice can reach. Where the batch is small
enough the choice itself is then made by branch and bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainwallet.market.columns import Columns, Floats, Ints
from chainwallet.market.model import Objective, OrderFlow
from chainwallet.market.positions import Positions
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Matrix, Programme, book_matrix, choose, solve

_WHOLE = 1 - 1e-7  # a part of a payment above this is all of it, in the solver's precision
_PATIENCE = 1e-6  # how much more the first of equal payments counts than the last
_CHOSEN_MAX = 400  # payments among which branch and bound chooses; among more the relaxation does


@dataclass(frozen=True, slots=True)
class Choice:
    """The orders to settle, lanes respected, in the order given; and the most that any choice can score."""

    orders: list[OrderFlow]
    score_max: float


class Selection:
    """The choice over one book, with one set of weights, one objective and one set of limited positions."""

    def __init__(self, columns: Columns, weights: Floats, objective: Objective, positions: Positions) -> None:
        self._columns = columns
        self._weights = weights
        self._objective = objective
        self._positions = positions

    def score(self, orders: Sequence[OrderFlow]) -> float:
        """What settling these orders counts."""
        return float(sum(self._scores(orders)))

    def relaxed(self, orders: Sequence[OrderFlow]) -> Choice:
        """Those that an optimal division settles in full: the few that it divides, one per row at most, are out."""
        programme, unit = self._programme(orders)
        vertex = solve(programme)
        if vertex is None:
            return Choice([], 0.0)
        part = vertex.values[len(self._columns.offers) :]
        return Choice(_closed_under_lanes(orders, part), vertex.objective * unit)

    def chosen(self, orders: Sequence[OrderFlow]) -> Choice | None:
        """The best choice of whole orders; None where they are too many to choose among, or the search gave up."""
        if len(orders) > _CHOSEN_MAX:
            return None
        programme, unit = self._programme(orders)
        binary = np.arange(len(programme.cost)) >= len(self._columns.offers)
        found = choose(programme, binary)
        if found is None:
            return None
        values, bound = found
        return Choice(_closed_under_lanes(orders, values[len(self._columns.offers) :]), bound * unit)

    def _scores(self, orders: Sequence[OrderFlow]) -> list[float]:
        weights, index = self._weights, self._columns.index
        return [self._objective.score(one, one.source_units * float(weights[index[one.source]])) for one in orders]

    def _programme(self, orders: Sequence[OrderFlow]) -> tuple[Programme, float]:
        """Makers' fills, then a column per order, 1 where it settles; and what one unit of its objective scores."""
        columns, weights = self._columns, self._weights
        worth = np.array([one.source_units * weights[columns.index[one.source]] for one in orders])
        scale = weights * (SIZE / float(worth.sum()))
        worth = worth * (SIZE / float(worth.sum()))
        scores = np.array(self._scores(orders))
        unit = float(scores.sum()) / SIZE
        patience = 1.0 - _PATIENCE * np.arange(len(orders)) / len(orders)
        lanes = _successions(orders)
        limited = sorted({key for order in orders for key, _ in self._positions.effects(order)})
        price = columns.price * weights[columns.buy] / weights[columns.sell]
        entries = self._entries(orders, worth, scale, lanes, limited)
        currencies, groups, free = len(columns.codes), len(columns.group_units), len(lanes) + len(limited)
        limits = [self._positions.limits[key] * float(scale[columns.index[key[1]]]) for key in limited]
        programme = Programme(
            cost=np.concatenate([np.zeros(len(columns.offers)), scores / unit * patience]),
            upper=np.concatenate([np.minimum(columns.cap * scale[columns.sell], UPPER_MAX), np.ones(len(orders))]),
            row_lower=np.concatenate([np.zeros(currencies), np.full(groups + free, -INFINITY)]),
            row_upper=np.concatenate(
                [np.full(currencies, INFINITY), columns.scaled_limits(scale), np.zeros(len(lanes)), limits]
            ),
            matrix=_append(book_matrix(columns, price), entries),
        )
        return programme, unit

    def _entries(
        self, orders: Sequence[OrderFlow], worth: Floats, scale: Floats, lanes: list[tuple[int, int]],
        limited: list[tuple[str, str]],
    ) -> Matrix:  # fmt: skip
        """A column per payment: what it pays in and takes out, its places in its lane, what it does to positions."""
        index = self._columns.index
        entries: list[dict[int, float]] = []
        for order, paid in zip(orders, worth.tolist(), strict=True):
            source, target = index[order.source], index[order.target]
            taken = order.target_units * float(scale[target])
            entries.append({source: paid - taken} if source == target else {source: paid, target: -taken})
        first = len(self._columns.codes) + len(self._columns.group_units)
        for row, (earlier, later) in enumerate(lanes, start=first):
            entries[earlier][row], entries[later][row] = -1.0, 1.0
        row_of = {key: first + len(lanes) + number for number, key in enumerate(limited)}
        for order, entry in zip(orders, entries, strict=True):
            for key, units in self._positions.effects(order):
                entry[row_of[key]] = units * float(scale[index[key[1]]])
        start = np.cumsum([0] + [len(entry) for entry in entries], dtype=np.int32)
        at = np.array([row for entry in entries for row in entry], dtype=np.int32)
        return Matrix(start, at, np.array([value for entry in entries for value in entry.values()]))


def _closed_under_lanes(orders: Sequence[OrderFlow], part: Floats) -> list[OrderFlow]:
    chosen: list[OrderFlow] = []
    blocked: set[str] = set()
    for order, settled in zip(orders, part, strict=True):
        if settled >= _WHOLE and order.lane not in blocked:
            chosen.append(order)
        elif order.lane is not None:
            blocked.add(order.lane)
    return chosen


def _successions(orders: Sequence[OrderFlow]) -> list[tuple[int, int]]:
    """Each order of a lane with the next one of that lane."""
    last: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for position, order in enumerate(orders):
        if order.lane is not None:
            if order.lane in last:
                pairs.append((last[order.lane], position))
            last[order.lane] = position
    return pairs


def _append(left: Matrix, right: Matrix) -> Matrix:
    start: Ints = np.concatenate([left.start, left.start[-1] + right.start[1:]]).astype(np.int32)
    return Matrix(start, np.concatenate([left.index, right.index]), np.concatenate([left.value, right.value]))
