"""Routes: how one payment goes through the book at the least cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf

from chainwallet.kit.money import InvalidAmount
from chainwallet.market.certificate import rooms_of, tightened
from chainwallet.market.columns import columns_of
from chainwallet.market.errors import MarketNoRoute, no_route, too_little_source, too_little_target, too_small
from chainwallet.market.flow import Flow, Solved, in_order
from chainwallet.market.hops import hops_of
from chainwallet.market.model import Book, Leg, Offer, Route
from chainwallet.market.paths import Ladder


def route_to_target(book: Book, source: str, target: str, target_units: int) -> Route:
    """The route that delivers exactly `target_units` for the fewest source units; see Router."""
    return Router(book).route_to_target(source, target, target_units)


def route_from_source(book: Book, source: str, target: str, source_units: int) -> Route:
    """The route that delivers the most target units for exactly `source_units`; see Router."""
    return Router(book).route_from_source(source, target, source_units)


@dataclass(frozen=True, slots=True)
class _Path:
    """The best path of a pair: its offers from source to target, each with the most it can sell."""

    steps: tuple[tuple[Offer, int], ...]
    target_units_max: int

    def to_target(self, target_units: int) -> tuple[int, tuple[Leg, ...]]:
        """The source units that deliver `target_units`, and the legs in order."""
        need = target_units
        legs: list[Leg] = []
        for offer, _ in reversed(self.steps):
            leg = offer.leg(need)
            need = leg.bought_units
            legs.append(leg)
        legs.reverse()
        return need, tuple(legs)

    def from_source(self, source_units: int) -> int | None:
        """The target units that `source_units` deliver; None when they do not fit."""
        carried = source_units
        for offer, cap_units in self.steps:
            carried = offer.sold_down(carried)
            if carried > cap_units:
                return None
        return carried


class Router:
    """Routes through one book. Build one per book version; safe to share between threads.

    Promise: exact integers; every maker gets its price rounded up; no cap or inventory is passed; no currency
    on the way runs short. The cost is the programme's optimum plus at most one unit of either currency of
    each leg (and 1e-10 of the amount, the solver's precision).

    Amounts that fit through the pair's best path take it at once; larger ones are solved by the programme.
    Where both apply they agree within that bound. Where makers' quotes cross, a route only leads outwards from
    its source (paths.py), so that no payment is paid by a loop. With `hops_max`, the optimum is that of all splits
    over paths of at most so many offers (hops.py).
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._columns = columns_of(book)
        self._ladder = Ladder(self._columns)
        self._paths: dict[tuple[str, str], _Path | None] = {}

    def route_to_target(self, source: str, target: str, target_units: int, *, hops_max: int | None = None) -> Route:
        """Deliver exactly `target_units` for the fewest source units, through at most `hops_max` offers in a row.

        Raises MarketNoRoute, or MarketInsufficientLiquidity with the most that can be delivered.
        """
        _require_positive(target_units)
        if source == target:
            return Route(source, target, target_units, target_units, ())
        path = self._path(source, target)
        if path is None or target_units > path.target_units_max or len(path.steps) > (hops_max or len(path.steps)):
            return self.solve_to_target(source, target, target_units, hops_max=hops_max)
        source_units, legs = path.to_target(target_units)
        return Route(source, target, source_units, target_units, legs)

    def route_from_source(self, source: str, target: str, source_units: int, *, hops_max: int | None = None) -> Route:
        """Deliver the most target units for exactly `source_units`. Units that buy nothing stay in the pool.

        Raises MarketNoRoute, MarketAmountTooSmall, or MarketInsufficientLiquidity with the most that can be sent.
        """
        _require_positive(source_units)
        if source == target:
            return Route(source, target, source_units, source_units, ())
        path = self._path(source, target)
        target_units = None if path is None else path.from_source(source_units)
        if path is None or target_units is None or len(path.steps) > (hops_max or len(path.steps)):
            return self.solve_from_source(source, target, source_units, hops_max=hops_max)
        if target_units == 0:
            raise too_small(source, target)
        return Route(source, target, source_units, target_units, path.to_target(target_units)[1])

    def solve_to_target(self, source: str, target: str, target_units: int, *, hops_max: int | None = None) -> Route:
        """As route_to_target, always by the programme."""
        flow = Flow(self._columns, self._ladder, source, target)
        solved = flow.deliver(target_units)
        if hops_max is not None and self._hops(solved, source) > hops_max:
            solved = flow.deliver_within(target_units, hops_max)
        if solved.target_units < 1 and hops_max is not None:
            raise no_route(source, target)
        if solved.target_units < target_units:
            raise too_little_target(source, target, most_units=solved.target_units)
        return self._route(solved, source, target, solved.source_units)

    def solve_from_source(self, source: str, target: str, source_units: int, *, hops_max: int | None = None) -> Route:
        """As route_from_source, always by the programme."""
        flow = Flow(self._columns, self._ladder, source, target)
        solved = flow.send(source_units)
        if hops_max is not None and self._hops(solved, source) > hops_max:
            solved = flow.send_within(source_units, hops_max)
        if solved.target_units < 1:
            raise too_small(source, target)
        if solved.is_all:
            raise too_little_source(source, target, most_units=solved.source_units)
        return self._route(solved, source, target, source_units)

    def _hops(self, solved: Solved, source: str) -> int:
        return hops_of(in_order(solved.fills, self._columns, source), source)

    def _route(self, solved: Solved, source: str, target: str, source_units: int) -> Route:
        legs = in_order(solved.fills, self._columns, source)
        return Route(source, target, source_units, solved.target_units, legs, solved.prices, solved.bound)

    def usable(self, source: str, target: str) -> frozenset[str]:
        """The ids of the offers that a route may use: all that can be on the way, but in a crossed market."""
        try:
            flow = Flow(self._columns, self._ladder, source, target)
        except MarketNoRoute:
            return frozenset()
        return frozenset(self._columns.offers[column].id for column in flow.usable_columns())

    def certified_prices(self, route: Route) -> dict[str, Fraction]:
        """What one more unit of each currency would cost, in units of the route's source, exact: its certificate.

        By these prices certificate.py and commitment.py bound what any combination of offers could have done.
        """
        prices: Mapping[str, float] = route.prices or self._tree_prices(route.source, route.target)
        usable = self.usable(route.source, route.target)
        rooms = [room for room in rooms_of(self.book) if room.offer.id in usable]
        turning = [room for room in rooms_of(self.book) if room.offer.id not in usable]
        return tightened(
            rooms,
            self.book.inventory_units,
            route.legs,
            prices,
            {route.source: Fraction(1)},
            turning=() if self._ladder.is_crossed else turning,
        )

    def _tree_prices(self, source: str, target: str) -> dict[str, float]:
        known = self._columns.index
        if not {source, target} <= known.keys():
            return {}
        cost = self._ladder.tree(known[source], known[target]).cost.tolist()
        return {code: price for code, price in zip(self._columns.codes, cost, strict=True) if price < inf}

    def crossing(self) -> tuple[str, ...]:
        """The ids of offers that form a loop which gives back what it takes; empty where none does."""
        return tuple(self._columns.offers[column].id for column in self._ladder.loop())

    def _path(self, source: str, target: str) -> _Path | None:
        """The pair's best path, found once; None when there is none."""
        pair = (source, target)
        if pair not in self._paths:
            self._paths[pair] = self._find_path(source, target)
        return self._paths[pair]

    def _find_path(self, source: str, target: str) -> _Path | None:
        columns, known = self._columns, self._columns.index
        edges = self._ladder.edges(known[source], known[target]) if {source, target} <= known.keys() else None
        if edges is None:
            return None
        path = [self._ladder.column(edge) for edge in edges]
        steps = tuple((columns.offers[q], columns.cap_units[q]) for q in path)
        carried = steps[0][1]
        for offer, cap_units in steps[1:]:
            carried = min(cap_units, offer.sold_down(carried))
        return _Path(steps, carried)


def _require_positive(units: int) -> None:
    if units < 1:
        raise InvalidAmount("The amount is zero or less; ask for at least one unit.")
