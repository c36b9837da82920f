"""Best paths: the cheapest chain of offers from one currency to another, capacity aside.

Only the best offer of each ordered pair of currencies can be on one. The search is Bellman and Ford's over
logarithms of prices: a path is the best to about 1e-12 of its price, which is below one unit for
amounts up to a million currency units. Amounts along a path are then computed in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chainwallet.market.columns import Columns, Flags, Floats, Ints

_NOISE = 1e-12  # an improvement by a smaller part than this may be rounding
_LOSSY = 1e-9  # a loop that loses less than this part per step counts as crossed: floats could not tell


@dataclass(frozen=True, slots=True)
class Tree:
    """From one currency: `cost[c]`, its units per unit of c (infinite: unreachable); `edge[c]`, the last edge."""

    cost: Floats
    edge: Ints


class Ladder:
    """The offers of each ordered pair, cheapest first, and trees of best paths over the first usable ones.

    Quotes that cross (a loop of them gives back what it takes, or more) would send the search, and the first
    payment's money, round the loop for ever. In a market with such a loop anywhere a path may therefore only
    lead outwards: each step to a currency that is more steps away from the source, or to the target.

    A ladder that nobody climbs (`skip`) is safe to share between threads.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._size = size = max(1, len(columns.codes))
        pair = columns.buy.astype(np.int64) * size + columns.sell
        order = np.lexsort((columns.price, pair))
        pairs, first = np.unique(pair[order], return_index=True)
        self._order = order
        self._at = first
        self._end = np.append(first[1:], len(order))
        self._from = (pairs // size).astype(np.int32)
        self._to = (pairs % size).astype(np.int32)
        self._log_price: Floats = np.log(columns.price[order[first]])
        self._trees: dict[tuple[int, int], Tree] = {}

    @cached_property
    def is_crossed(self) -> bool:
        """Whether some loop of offers gives back as much as it takes, or more."""
        anywhere = np.zeros(self._size)
        return not self._search(anywhere, self._log_price - _LOSSY)[2]

    def loop(self) -> list[int]:
        """The columns of such a loop, each buying what the one before sells; empty where there is none."""
        if not self.is_crossed:
            return []
        parent = self._search(np.zeros(self._size), self._log_price - _LOSSY)[1]
        for start in range(self._size):
            chain, seen, node = list[int](), dict[int, int](), start
            while node not in seen and (edge := int(parent[node])) >= 0:
                seen[node] = len(chain)
                chain.append(edge)
                node = int(self._from[edge])
            if node in seen:
                return [self.column(edge) for edge in reversed(chain[seen[node] :])]
        return []

    def tree(self, source: int, target: int) -> Tree:
        """The best paths from `source`; in a crossed market those that lead outwards, to `target` last."""
        key = (source, target if self.is_crossed else -1)
        found = self._trees.get(key)
        if found is None:
            log_price = self._log_price
            if self.is_crossed:
                log_price = np.where(self.leads_outwards(source, target, self._from, self._to), log_price, np.inf)
            start = np.full(self._size, np.inf)
            start[source] = 0.0
            log_cost, edge, _ = self._search(start, log_price)
            found = self._trees[key] = Tree(np.exp(log_cost), edge)
        return found

    def leads_outwards(self, source: int, target: int, start: Ints, end: Ints) -> Flags:
        """Which steps a path from `source` to `target` may take: all, unless the market is crossed."""
        if not self.is_crossed:
            return np.ones(len(start), dtype=np.bool_)
        steps = self._steps(source)
        outwards: Flags = ((steps[start] < steps[end]) | (end == target)) & (start != target) & (end != source)
        return outwards

    def edges(self, source: int, target: int) -> list[int] | None:
        """The edges from `source` to `target`, in order; None when there is no path."""
        tree = self.tree(source, target)
        chain: list[int] = []
        node = target
        while node != source:
            edge = int(tree.edge[node])
            if edge < 0:
                return None
            chain.append(edge)
            node = int(self._from[edge])
        chain.reverse()
        return chain

    def column(self, edge: int) -> int:
        """The offer that the edge stands for now."""
        return self.column_at(int(self._at[edge]))

    def columns_of(self, edges: Ints) -> Ints:
        """As `column`, for many edges at once."""
        columns: Ints = self._order[self._at[edges]].astype(np.int32)
        return columns

    def column_at(self, position: int) -> int:
        return int(self._order[position])

    def skip(self, edge: int) -> None:
        """Climb past the edge's best offer: it is used up."""
        self._move(edge, int(self._at[edge]) + 1)
        self._trees = {key: tree for key, tree in self._trees.items() if edge not in tree.edge}

    def position(self, edge: int) -> int:
        return int(self._at[edge])

    def step_back(self, edge: int, position: int) -> None:
        """Climb down again to an offer that has room after all."""
        self._move(edge, position)
        self._trees = {}

    def _move(self, edge: int, position: int) -> None:
        self._at[edge] = position
        alive = position < self._end[edge]
        self._log_price[edge] = np.log(self._columns.price[self.column_at(position)]) if alive else np.inf

    def _steps(self, source: int) -> Floats:
        """How many offers each currency is away from `source`."""
        steps = np.full(self._size, np.inf)
        steps[source] = 0
        for step in range(1, self._size):
            reached = self._to[(steps[self._from] == step - 1) & np.isfinite(self._log_price)]
            steps[reached[np.isinf(steps[reached])]] = step
        return steps

    def _search(self, start: Floats, log_price: Floats) -> tuple[Floats, Ints, bool]:
        """Relax every edge at once until nothing gets cheaper: the log costs, each currency's last edge, whether
        it ended. Without a loop to gain by it does, after a round per currency at most."""
        cost = start.copy()
        parent = np.full(self._size, -1, dtype=np.int32)
        for _ in range(self._size + 1):
            offered = cost[self._from] + log_price
            better = np.flatnonzero(offered < cost[self._to] - _NOISE)
            if not len(better):
                return cost, parent, True
            np.minimum.at(cost, self._to[better], offered[better])
            cheapest = better[offered[better] == cost[self._to[better]]][::-1]  # reversed: of equals the first stays
            parent[self._to[cheapest]] = cheapest
        return cost, parent, False
