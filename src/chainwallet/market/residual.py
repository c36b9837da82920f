"""The exact state of a clearing: what each offer has sold, what each currency has left over, in integers."""

from __future__ import annotations

from chainwallet.market.columns import Columns
from chainwallet.market.model import Leg
from chainwallet.market.paths import Ladder

_PUSHES_MAX = 256  # paths tried to cover one deficit; each either covers it or uses up an offer


class Residual:
    """Fills that can be changed, with `surplus_units` per currency kept exactly beside them.

    `put` is the only way to change a fill. Every amount paid to a maker is the rounded-up price of that
    offer's whole fill, as the settlement contract computes it.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.cap_units = list(columns.cap_units)
        self.sold_units: dict[int, int] = {}
        self.surplus_units = [0] * len(columns.codes)
        self.group_used_units = [0] * len(columns.group_units)
        self._ladder: Ladder | None = None
        self._journal: list[tuple[int, int]] | None = None
        self._skipped: list[tuple[int, int]] = []  # edges and positions climbed past since `begin`

    def add(self, code: str, units: int) -> None:
        """Money enters the pool (or, negative, is owed by it)."""
        self.surplus_units[self.columns.index[code]] += units

    def put(self, column: int, sold_units: int) -> None:
        """Set an offer's fill; the currencies and the maker's inventory follow. Bounds are the caller's."""
        columns = self.columns
        before = self.sold_units.get(column, 0)
        if sold_units == before:
            return
        if self._journal is not None:
            self._journal.append((column, before))
        offer = columns.offers[column]
        paid_more = offer.bought_up(sold_units) - offer.bought_up(before)
        self.sold_units[column] = sold_units
        self.surplus_units[columns.sell_of[column]] += sold_units - before
        self.surplus_units[columns.buy_of[column]] -= paid_more
        group = columns.group_of[column]
        if group >= 0:
            self.group_used_units[group] += sold_units - before

    def room_units(self, column: int) -> int:
        """How much more an offer can sell, its maker's inventory included."""
        room = self.cap_units[column] - self.sold_units.get(column, 0)
        group = self.columns.group_of[column]
        if group >= 0:
            room = min(room, self.columns.group_units[group] - self.group_used_units[group])
        return room

    def cover(self, node: int, funding: int, *, on_credit: bool = False) -> bool:
        """Buy what `node` lacks with what `funding` has left over, along the best paths that have room.

        False: not to be had; the state is then half-way. `on_credit`: funding may lack what it costs.
        """
        for _ in range(_PUSHES_MAX):
            lack = -self.surplus_units[node]
            if lack <= 0 or not (on_credit or self._is_affordable(node, funding)):
                break
            found = self._path(funding, node)
            if found is None:
                return False
            path, carried = found
            self.push(path, min(lack, carried))
        return self.surplus_units[node] >= 0 and (on_credit or self.surplus_units[funding] >= 0)

    def spend(self, funding: int, node: int) -> None:
        """Buy as much of `node` as `funding` has left over pays for, along the best paths that have room."""
        for _ in range(_PUSHES_MAX):
            found = self._path(funding, node)
            if found is None:
                return
            path, units = found
            paid = self.surplus_units[funding]
            for column in path:
                paid = self.columns.offers[column].sold_down(paid)
            if min(paid, units) <= 0:
                return
            self.push(path, min(paid, units))

    def begin(self) -> None:
        """From here on, `rollback` returns to this state."""
        self._journal, self._skipped = [], []

    def rollback(self) -> None:
        journal, self._journal = self._journal or [], None
        for column, sold_units in reversed(journal):
            self.put(column, sold_units)
        for edge, position in reversed(self._skipped):
            if self._ladder is not None and self.room_units(self._ladder.column_at(position)) > 0:
                self._ladder.step_back(edge, position)
        self._skipped = []

    def close(self) -> tuple[Leg, ...]:
        """Take the fills as made: return their legs, keep only the room they leave and what each maker has left."""
        legs = self.legs()
        for column, sold_units in self.sold_units.items():
            self.cap_units[column] -= sold_units
        self.sold_units.clear()
        self._journal = None
        self.surplus_units = [0] * len(self.columns.codes)
        return legs

    def legs(self) -> tuple[Leg, ...]:
        """The fills that are not empty, in the book's order."""
        return tuple(self.columns.offers[column].leg(units) for column, units in self.fills().items())

    def fills(self) -> dict[int, int]:
        """Units sold by column, in the book's order, empty fills left out."""
        return {column: units for column, units in sorted(self.sold_units.items()) if units}

    def _is_affordable(self, node: int, funding: int) -> bool:
        """Whether at the best price, room aside, `funding` pays for what `node` lacks; a cheap first look.

        Of what a fill has paid already, up to a unit is rounding: so much more of it costs nothing.
        """
        best = float(self._usable_ladder().tree(funding, node).cost[node])
        return best * -self.surplus_units[node] <= (self.surplus_units[funding] + 1) * (1 + 1e-9)

    def _usable_ladder(self) -> Ladder:
        if self._ladder is None:
            self._ladder = Ladder(self.columns)
        return self._ladder

    def _path(self, funding: int, node: int) -> tuple[list[int], int] | None:
        """The best path with room: its columns in order, and how much of `node` it can carry."""
        ladder = self._usable_ladder()
        while edges := ladder.edges(funding, node):
            path = [ladder.column(edge) for edge in edges]
            carried, narrowest = self.carried(path)
            if carried > 0:
                return path, carried
            if self._journal is not None:
                self._skipped.append((edges[narrowest], ladder.position(edges[narrowest])))
            ladder.skip(edges[narrowest])
        return None

    def carried(self, path: list[int]) -> tuple[int, int]:
        """What the end of a path can deliver, and the position of the offer that limits it."""
        carried, narrowest = self.room_units(path[0]), 0
        for position, column in enumerate(path[1:], start=1):
            room, affordable = self.room_units(column), self.columns.offers[column].sold_down(carried)
            carried = min(room, affordable)
            if room <= affordable:
                narrowest = position
            if carried <= 0:
                break
        return carried, narrowest

    def push(self, path: list[int], units: int) -> None:
        """Sell `units` at the end of a path, and along it exactly what each step then lacks."""
        need = units
        for column in reversed(path):
            node = self.columns.buy_of[column]
            lacked = min(0, self.surplus_units[node])  # what it lacked before is not this path's to buy
            self.put(column, self.sold_units.get(column, 0) + need)
            need = lacked - min(0, self.surplus_units[node])
            if need <= 0:
                return
