"""Which payments to settle when the quotes cannot fund them all: the relaxation of the choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainwallet.market.columns import Columns, Floats, Ints
from chainwallet.market.model import OrderFlow
from chainwallet.market.programme import INFINITY, SIZE, UPPER_MAX, Matrix, Programme, book_matrix, solve

_WHOLE = 1 - 1e-7  # a part of a payment above this is all of it, in the solver's precision
_PATIENCE = 1e-6  # how much more the first of equal payments counts than the last


def select(columns: Columns, weights: Floats, orders: Sequence[OrderFlow]) -> list[OrderFlow]:
    """The orders that an optimal division would settle in full, lanes respected, in the order given.

    Every payment may settle in part: maximise the settled value at mid, under the same rows as the clearing
    and a row that lets no order of a lane settle by a larger part than the one before it. The few that come
    out in part, at most one per row, are left out; the caller may try them one by one.
    """
    worth = np.array([order.source_units * weights[columns.index[order.source]] for order in orders])
    scale = weights * (SIZE / float(worth.sum()))
    worth = worth * (SIZE / float(worth.sum()))
    lanes = _successions(orders)
    price = columns.price * weights[columns.buy] / weights[columns.sell]
    matrix = _append(book_matrix(columns, price), _payments(columns, weights, orders, worth, lanes))
    currencies, groups = len(columns.codes), len(columns.group_units)
    patience = 1.0 - _PATIENCE * np.arange(len(orders)) / len(orders)
    vertex = solve(
        Programme(
            cost=np.concatenate([np.zeros(len(columns.offers)), patience]),
            upper=np.concatenate([np.minimum(columns.cap * scale[columns.sell], UPPER_MAX), worth]),
            row_lower=np.concatenate([np.zeros(currencies), np.full(groups + len(lanes), -INFINITY)]),
            row_upper=np.concatenate(
                [np.full(currencies, INFINITY), columns.scaled_limits(scale), np.zeros(len(lanes))]
            ),
            matrix=matrix,
        )
    )
    if vertex is None:
        return []
    part = vertex.values[len(columns.offers) :] / worth
    return _closed_under_lanes(orders, part)


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


def _payments(
    columns: Columns, weights: Floats, orders: Sequence[OrderFlow], worth: Floats, lanes: list[tuple[int, int]]
) -> Matrix:
    """A column per payment, counted by its worth: +1 where it pays in, minus its price where it takes out."""
    entries: list[dict[int, float]] = []
    for order in orders:
        source, target = columns.index[order.source], columns.index[order.target]
        taken = order.target_units / order.source_units * float(weights[target] / weights[source])
        entries.append({source: 1.0 - taken} if source == target else {source: 1.0, target: -taken})
    first = len(columns.codes) + len(columns.group_units)
    for row, (earlier, later) in enumerate(lanes, start=first):
        smaller = float(min(worth[earlier], worth[later]))
        entries[earlier][row] = -smaller / float(worth[earlier])
        entries[later][row] = smaller / float(worth[later])
    start = np.cumsum([0] + [len(entry) for entry in entries], dtype=np.int32)
    index = np.array([row for entry in entries for row in entry], dtype=np.int32)
    return Matrix(start, index, np.array([value for entry in entries for value in entry.values()]))


def _append(left: Matrix, right: Matrix) -> Matrix:
    start: Ints = np.concatenate([left.start, left.start[-1] + right.start[1:]]).astype(np.int32)
    return Matrix(start, np.concatenate([left.index, right.index]), np.concatenate([left.value, right.value]))
