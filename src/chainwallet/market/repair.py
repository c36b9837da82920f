"""From the solver's vertex to exact integers.

At a vertex every fill is empty, full, or basic. Empty and full are integers already. The basic ones are as
many as there are binding rows, and as a graph over the currencies they form trees, each hanging from one
currency that has money left over. So the exact fills follow from the leaves inwards, without floats: a
currency's last unsettled offer takes up exactly what the currency lacks or can spare, rounded in the
maker's favour. Each step costs at most one unit of either currency of that offer.

An inventory that binds is a node too: between its maker's offers and the currency, its outflow fixed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from chainwallet.market.columns import Columns, Floats
from chainwallet.market.programme import UPPER_MAX, Vertex
from chainwallet.market.residual import Residual

_FUNDINGS_MAX = 24  # currencies asked, richest first, to pay for a deficit that the trees leave


@dataclass(frozen=True, slots=True)
class Scaled:
    """A vertex of the book's programme with the scale it was solved at: scaled = units * scale[currency].

    `spare_units` of each offer and inventory were kept out of the programme, for the rounding.
    """

    vertex: Vertex
    upper: Floats
    scale: Floats
    spare_units: int = 0


def repair(residual: Residual, scaled: Scaled, *, root: int | None = None, free: int | None = None) -> bool:
    """Write the vertex's fills into `residual` so that no currency lacks anything, exactly.

    `root`: where roundings are to end up, before any other currency. `free`: a currency that may lack (a
    route's source, whose need is the answer). False when a few units cannot be found; the state is then
    within all caps but short.
    """
    _write_floats(residual, scaled)
    tight = frozenset() if scaled.spare_units else _tight_groups(residual.columns, scaled.vertex)
    _settle_trees(residual, _Forest(residual.columns, scaled.vertex, tight, root), tight)
    _trim_groups(residual)
    if not cover_deficits(residual, scaled.scale, free):
        return False
    if root is not None:
        _give_back(residual, root)
    return True


def _write_floats(residual: Residual, scaled: Scaled) -> None:
    values, upper = scaled.vertex.values, scaled.upper
    columns = residual.columns
    for column in values[: len(columns.offers)].nonzero()[0]:
        q = int(column)
        cap = columns.cap_units[q]
        if values[q] >= upper[q] and upper[q] < UPPER_MAX:
            residual.put(q, cap - min(scaled.spare_units, cap // 1_000))
        elif values[q] > 0:
            residual.put(q, min(cap, round(float(values[q] / scaled.scale[columns.sell_of[q]]))))


def _tight_groups(columns: Columns, vertex: Vertex) -> frozenset[int]:
    first = len(columns.codes)
    return frozenset(group for group in range(len(columns.group_units)) if first + group not in vertex.basic_rows)


class _Forest:
    """The basic offers as trees: `order` from the roots outwards, `parent[node]` the offer towards the root."""

    def __init__(self, columns: Columns, vertex: Vertex, tight: frozenset[int], root: int | None) -> None:
        self._size = len(columns.codes)
        self._neighbours: dict[int, list[tuple[int, int]]] = {}
        for column in vertex.basic_columns:
            if column < len(columns.offers):
                self._link(columns, column, tight)
        self.order: list[int] = []
        self.parent: dict[int, int] = {}
        self._seen: set[int] = set()
        loose = sorted(row for row in vertex.basic_rows if row < self._size)
        for start in ([] if root is None else [root]) + loose + sorted(self._neighbours):
            if start not in self._seen and start < self._size:
                self._grow(start)

    def _link(self, columns: Columns, column: int, tight: frozenset[int]) -> None:
        group = columns.group_of[column]
        one = columns.buy_of[column]
        other = self._size + group if group in tight else columns.sell_of[column]
        self._neighbours.setdefault(one, []).append((column, other))
        self._neighbours.setdefault(other, []).append((column, one))

    def _grow(self, start: int) -> None:
        self._seen.add(start)
        waiting = deque([start])
        while waiting:
            node = waiting.popleft()
            self.order.append(node)
            for column, other in self._neighbours.get(node, ()):
                if other not in self._seen:
                    self._seen.add(other)
                    self.parent[other] = column
                    waiting.append(other)


def _settle_trees(residual: Residual, forest: _Forest, tight: frozenset[int]) -> None:
    """From the leaves inwards, let each node's offer towards the root take up what the node lacks or can spare."""
    columns, size = residual.columns, len(residual.columns.codes)
    groups_of: dict[int, list[int]] = {}
    for group in tight:
        groups_of.setdefault(columns.group_sell[group], []).append(group)
    for node in reversed(forest.order):
        if node in forest.parent:
            column = forest.parent[node]
            # a binding inventory will have sold all of it, whatever its offers add up to at this moment
            pending = sum(_unused(residual, group) for group in groups_of.get(node, ()))
            lack = _unused(residual, node - size) if node >= size else -residual.surplus_units[node] - pending
            _shift(residual, column, lack, sells=node >= size or columns.sell_of[column] == node, tight=tight)


def _unused(residual: Residual, group: int) -> int:
    return residual.columns.group_units[group] - residual.group_used_units[group]


def _shift(residual: Residual, column: int, lack_units: int, *, sells: bool, tight: frozenset[int]) -> None:
    """Change one fill so that its node gets `lack_units` more (or gives up what it has too much)."""
    columns = residual.columns
    offer, sold = columns.offers[column], residual.sold_units.get(column, 0)
    wanted = sold + lack_units if sells else offer.sold_down(max(0, offer.bought_up(sold) - lack_units))
    limit = columns.cap_units[column]
    group = columns.group_of[column]
    if group >= 0 and group not in tight:
        limit = min(limit, sold + _unused(residual, group))
    residual.put(column, max(0, min(wanted, limit)))


def _trim_groups(residual: Residual) -> None:
    """Where roundings at the edge of a cap left an inventory overdrawn, sell less of its largest fills."""
    columns = residual.columns
    over = {group for group in range(len(columns.group_units)) if _unused(residual, group) < 0}
    members = [column for column in residual.sold_units if columns.group_of[column] in over]
    for column in sorted(members, key=lambda q: (-residual.sold_units[q], q)):
        excess = -_unused(residual, columns.group_of[column])
        if excess > 0:
            residual.put(column, max(0, residual.sold_units[column] - excess))


def cover_deficits(residual: Residual, scale: Floats, free: int | None) -> bool:
    """Buy the last missing units with whatever is left over elsewhere."""
    surplus = residual.surplus_units
    for node in range(len(surplus)):
        if surplus[node] < 0 and node != free and not _cover(residual, node, scale, free):
            return False
    return True


def _give_back(residual: Residual, root: int) -> None:
    """What a route's steps bought and nobody needs, because the next step came to nothing in units, is not bought."""
    columns, surplus = residual.columns, residual.surplus_units
    filled = [column for column, units in sorted(residual.sold_units.items()) if units]
    for _ in filled:
        unneeded = [column for column in filled if columns.sell_of[column] != root and residual.sold_units[column] > 0
                    and surplus[columns.sell_of[column]] > 0]  # fmt: skip
        if not unneeded:
            return
        for column in unneeded:
            extra = min(residual.sold_units[column], surplus[columns.sell_of[column]])
            if extra > 0:
                residual.put(column, residual.sold_units[column] - extra)


def _cover(residual: Residual, node: int, scale: Floats, free: int | None) -> bool:
    surplus = residual.surplus_units
    rich = sorted((c for c in range(len(surplus)) if surplus[c] > 0), key=lambda c: -surplus[c] * scale[c])
    for funding in [free] if free is not None else rich[:_FUNDINGS_MAX]:
        residual.begin()
        if residual.cover(node, funding, on_credit=funding == free):
            return True
        residual.rollback()
    return False
