"""Linear programmes, solved by HiGHS: arrays in, a vertex and its duals out.

Money is scaled before it comes here, so this is the one place of the market with floats; every amount that
leaves the room is computed again in integers (repair.py).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from chainwallet.market.columns import Columns, Floats, Ints

SIZE = 1e4  # the scaled size of the payments in a programme: far above the solver's tolerances
UPPER_MAX = 1e3 * SIZE  # no useful fill is worth more than this; larger bounds cost the solver its precision
INFINITY = float(highspy.kHighsInf)

_COLUMNWISE, _MAXIMISE = 1, -1
_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "solver": "simplex",  # a vertex: its basis is what the exact repair walks along
    "simplex_strategy": 1,  # dual simplex
    "presolve": "off",  # costs more than it saves on programmes of this shape
    "random_seed": 0,
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-10,
    "time_limit": 20.0,
}
_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Matrix:
    """A sparse matrix by columns, as HiGHS takes it."""

    start: Ints
    index: Ints
    value: Floats


@dataclass(frozen=True, slots=True)
class Programme:
    """Maximise cost.x over 0 <= x <= upper, row_lower <= matrix x <= row_upper."""

    cost: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class Vertex:
    """An optimal vertex. `row_dual[i]`: what the optimum gains per unit that row i's bound rises."""

    values: Floats
    row_dual: Floats
    objective: float
    basic_columns: tuple[int, ...]
    basic_rows: frozenset[int]


def solve(programme: Programme) -> Vertex | None:
    """The optimum, or None when there is no feasible point (or, never seen, the solver gives up).

    Deterministic: same arrays, same vertex. One solver per thread is kept and used again.
    """
    solver = _solver()
    columns, rows = len(programme.cost), len(programme.row_lower)
    matrix = programme.matrix
    solver.passModel(
        columns, rows, len(matrix.value), _COLUMNWISE, _MAXIMISE, 0.0, programme.cost, np.zeros(columns),
        programme.upper, programme.row_lower, programme.row_upper, matrix.start, matrix.index, matrix.value,
        np.zeros(columns, dtype=np.int32),
    )  # fmt: skip
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        _thread.solver = None
        return None
    solution = solver.getSolution()
    _, basic = solver.getBasicVariables()
    members = [int(member) for member in basic]
    return Vertex(
        values=np.array(solution.col_value),
        row_dual=np.array(solution.row_dual),
        objective=float(solver.getInfo().objective_function_value),
        basic_columns=tuple(sorted(member for member in members if member >= 0)),
        basic_rows=frozenset(-member - 1 for member in members if member < 0),
    )


def book_matrix(columns: Columns, scaled_price: Floats) -> Matrix:
    """The offers' part: per column +1 where it sells, -price where it buys, +1 in its inventory row.

    Rows: the currencies, then the inventories. `scaled_price` is the price between the scaled currencies.
    """
    count = len(columns.offers)
    grouped = columns.group >= 0
    start = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(2 + grouped, out=start[1:])
    first = start[:-1]
    index = np.empty(start[-1], dtype=np.int32)
    value = np.ones(start[-1], dtype=np.float64)
    index[first] = columns.sell
    index[first + 1] = columns.buy
    value[first + 1] = -scaled_price
    index[first[grouped] + 2] = len(columns.codes) + columns.group[grouped]
    return Matrix(start, index, value)


def _solver() -> Any:
    solver = getattr(_thread, "solver", None)
    if solver is None:
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, setting in _OPTIONS.items():
            solver.setOptionValue(name, setting)
        _thread.solver = solver
    return solver
