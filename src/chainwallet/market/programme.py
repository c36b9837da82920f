"""Linear programmes, solved by HiGHS: arrays in, a vertex and its duals out.

Money is scaled before it comes here, so this is the one place of the market with floats; every amount that
leaves the room is computed again in integers (repair.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from chainwallet.market.columns import Columns, Flags, Floats, Ints

SIZE = 1e4  # the scaled size of the payments in a programme: far above the solver's tolerances
UPPER_MAX = 1e3 * SIZE  # no useful fill is worth more than this; larger bounds cost the solver its precision
INFINITY = float(highspy.kHighsInf)

_COLUMNWISE, _MAXIMISE = 1, -1
_BASIC, _AT_LOWER = highspy.HighsBasisStatus.kBasic, highspy.HighsBasisStatus.kLower
_ANSWERS = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible)
_AT_UPPER = highspy.HighsBasisStatus.kUpper
_TOLERANCE = 1e-10
_SHARPNESS = 2.0**10  # costs are multiplied by it: prices are told apart that differ by 1e-13
_WORTH_PRICING = 0.5  # of the columns: with more than these, all are solved at once
_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "solver": "simplex",  # a vertex: its basis is what the exact repair walks along
    "simplex_strategy": 1,  # dual simplex
    "presolve": "off",  # costs more than it saves on programmes of this shape
    "random_seed": 0,
    "primal_feasibility_tolerance": _TOLERANCE,
    "dual_feasibility_tolerance": _TOLERANCE,
    "time_limit": 20.0,
}
_CHOICE_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-7,
    "mip_max_nodes": 500,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
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


@dataclass(frozen=True, slots=True)
class Start:
    """Where the simplex begins: these columns basic, as many rows tight at a bound, all else at rest."""

    columns: Sequence[int]
    rows: Sequence[int]


def solve(programme: Programme, start: Start | None = None) -> Vertex | None:
    """The optimum, or None when there is no feasible point (or, never seen, the solver gives up).

    A good `start` saves the solver most of its work; a bad one costs time, never the optimum.
    Deterministic: same arrays, same vertex. One solver per thread is kept and used again.
    """
    solver = _solver()
    _load(solver, programme)
    if start is not None:
        solver.setBasis(_basis(programme, start))
    return _run(solver)


def _load(solver: Any, programme: Programme) -> None:
    columns, rows, matrix = len(programme.cost), len(programme.row_lower), programme.matrix
    solver.passModel(
        columns, rows, len(matrix.value), _COLUMNWISE, _MAXIMISE, 0.0, programme.cost * _SHARPNESS, np.zeros(columns),
        programme.upper, programme.row_lower, programme.row_upper, matrix.start, matrix.index, matrix.value,
        np.zeros(columns, dtype=np.int32),
    )  # fmt: skip


def _add(solver: Any, programme: Programme) -> None:
    """More columns for the rows that are loaded; the basis stays."""
    columns, matrix = len(programme.cost), programme.matrix
    solver.addCols(
        columns, programme.cost * _SHARPNESS, np.zeros(columns), programme.upper, len(matrix.value),
        matrix.start[:-1], matrix.index, matrix.value,
    )  # fmt: skip


def _run(solver: Any) -> Vertex | None:
    solver.run()
    if solver.getModelStatus() not in _ANSWERS:  # it lost its precision on the way: it finds another one
        solver.setOptionValue("presolve", "on")
        solver.run()
        solver.setOptionValue("presolve", _OPTIONS["presolve"])
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        _thread.solver = None
        return None
    solution = solver.getSolution()
    _, basic = solver.getBasicVariables()
    members = basic.tolist()
    return Vertex(
        values=np.array(solution.col_value),
        row_dual=np.array(solution.row_dual) / _SHARPNESS,
        objective=float(solver.getInfo().objective_function_value) / _SHARPNESS,
        basic_columns=tuple(sorted(member for member in members if member >= 0)),
        basic_rows=frozenset(-member - 1 for member in members if member < 0),
    )


def solve_priced(programme: Programme, first: Flags) -> Vertex | None:
    """As `solve`, for many columns of which few matter: begins with those marked, adds those that would pay.

    The optimum is that of all columns: the duals of each round price every column that is left out, and the last
    round leaves out none that is worth more than nothing (to the solver's own tolerance).
    """
    used, matrix = first.copy(), programme.matrix
    if int(used.sum()) >= _WORTH_PRICING * len(used):
        return solve(programme)
    chosen = np.flatnonzero(used)
    solver = _solver()
    _load(solver, _only(programme, chosen))
    while (vertex := _run(solver)) is not None:
        gain = programme.cost - np.add.reduceat(matrix.value * vertex.row_dual[matrix.index], matrix.start[:-1])
        paying = np.flatnonzero((gain > _TOLERANCE / _SHARPNESS) & ~used)
        if not len(paying):
            return _widened(vertex, chosen, len(used))
        used[paying] = True
        chosen = np.concatenate([chosen, paying])
        _add(solver, _only(programme, paying))
    return solve(programme)  # what was left out may be what is missing


def choose(programme: Programme, binary: Flags) -> tuple[Floats, float] | None:
    """The best point where the marked columns are 0 or 1, and a bound on any; None when the search finds none.

    Deterministic: the search ends by its count of nodes, never by the clock.
    """
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, setting in _CHOICE_OPTIONS.items():
        solver.setOptionValue(name, setting)
    columns, matrix = len(programme.cost), programme.matrix
    solver.passModel(
        columns, len(programme.row_lower), len(matrix.value), _COLUMNWISE, _MAXIMISE, 0.0, programme.cost,
        np.zeros(columns), programme.upper, programme.row_lower, programme.row_upper, matrix.start, matrix.index,
        matrix.value, binary.astype(np.int32),
    )  # fmt: skip
    solver.run()
    info = solver.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    return np.array(solver.getSolution().col_value), float(info.mip_dual_bound)


def _only(programme: Programme, chosen: NDArray[np.intp]) -> Programme:
    """The programme with these columns alone."""
    matrix = programme.matrix
    sizes = np.diff(matrix.start)[chosen]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    entries = np.arange(start[-1]) + np.repeat(matrix.start[chosen] - start[:-1], sizes)
    return Programme(
        programme.cost[chosen],
        programme.upper[chosen],
        programme.row_lower,
        programme.row_upper,
        Matrix(start, matrix.index[entries], matrix.value[entries]),
    )


def _widened(vertex: Vertex, chosen: NDArray[np.intp], count: int) -> Vertex:
    """The vertex among all columns: those that were left out are zero."""
    values = np.zeros(count)
    values[chosen] = vertex.values
    return replace(vertex, values=values, basic_columns=tuple(sorted(chosen[list(vertex.basic_columns)].tolist())))


def _basis(programme: Programme, start: Start) -> Any:
    basis = highspy.HighsBasis()
    column_status, row_status = [_AT_LOWER] * len(programme.cost), [_BASIC] * len(programme.row_lower)
    for column in start.columns:
        column_status[column] = _BASIC
    for row in start.rows:
        row_status[row] = _AT_LOWER if programme.row_lower[row] > -INFINITY else _AT_UPPER
    basis.col_status, basis.row_status = column_status, row_status
    basis.valid, basis.alien = True, False
    return basis


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
