"""Nobody profits against the market: not by splitting, round trips, cancelling, waiting, or the order of things.

Makers quote worse than mid. So what a customer holds, worth at mid in fractions, may never grow, whatever it asks
for and in whatever order; and who is back in the currency it started from has no unit more than it started with.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from tests.unit.market.worlds import one_way

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.clearing import clear
from chainwallet.market.errors import ClearingInvalid
from chainwallet.market.model import Book, Offer, OrderFlow, Route
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_clearing, verify_route

SEQUENCES = int(os.environ.get("CHAINWALLET_SEQUENCES", "1000000"))  # of the long runs; a hundred to a market
CODES = ("AAA", "BBB", "CCC", "DDD", "EEE")


class Table:
    """A market and somebody who sits down at it with money."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.worth = {code: Fraction(rng.randint(1, 10**6), rng.randint(1, 10**6)) for code in CODES}
        offers = tuple(self._offer(number) for number in range(24))
        stock: Counter[tuple[str, str]] = Counter()
        for offer in offers:
            stock[offer.maker, offer.sell] += offer.sell_units_max
        self.book = Book(1, offers, dict(stock))
        self.router = Router(self.book)
        self.routes: list[Route] = []

    def _offer(self, number: int) -> Offer:
        sell, buy = self.rng.sample(CODES, 2)
        size = 10 ** self.rng.randint(0, 9) + self.rng.randint(0, 9)
        exact = size * self.worth[sell] / self.worth[buy] * (1 + Fraction(self.rng.choice([0, 0, 1, 50]), 10_000))
        price = -(-exact.numerator // exact.denominator)
        return Offer(f"o{number}", f"m{number % 3}", sell, buy, size, price, size)

    def sit_down(self) -> Counter[str]:
        """Money in one currency, of any size: a unit, a few, many."""
        return Counter({self.rng.choice(CODES): self.rng.choice([1, 2, 3, 7, 10, 99, 1_000, 10**5, 10**7])})

    def value(self, held: Counter[str]) -> Fraction:
        return sum((self.worth[code] * units for code, units in held.items()), Fraction(0))

    def exchange(self, held: Counter[str], source: str, target: str, units: int) -> int:
        """Send `units`; what arrived. Refused: nothing happens."""
        rng = self.rng
        try:
            if rng.random() < 0.5:
                route = self.router.route_from_source(source, target, units)
            else:
                guess = units * self.worth[source] / self.worth[target]
                route = self.router.route_to_target(
                    source, target, max(1, int(guess * rng.choice([1, Fraction(1, 3)])))
                )
        except ChainwalletError:
            return 0
        if route.source_units > held[source]:
            return 0
        held[source] -= route.source_units
        held[target] += route.target_units
        self.routes.append(route)
        return route.target_units

    def take(self, route: Route) -> None:
        """The makers have sold what the route takes: the market has a new version."""
        sold = {leg.offer_id: leg.sold_units for leg in route.legs}
        offers = tuple(
            replace(one, sell_units_left=one.sell_units_left - sold.get(one.id, 0)) for one in self.book.offers
        )
        stock = dict(self.book.inventory_units)
        for leg in route.legs:
            stock[leg.maker, leg.sell] -= leg.sold_units
        self.book = Book(self.book.version + 1, offers, stock)
        self.router = Router(self.book)


def _sequence(table: Table) -> None:
    """Some steps of splitting, sending on, and turning round; nothing may grow."""
    rng, held = table.rng, table.sit_down()
    (home, start) = next(iter(held.items()))
    for _ in range(rng.randint(1, 4)):
        source = rng.choice([code for code, units in held.items() if units] or [home])
        target = rng.choice([code for code in CODES if code != source])
        before, parts = table.value(held), rng.randint(1, 4)
        for number in range(parts):
            part = held[source] if number == parts - 1 else rng.randint(0, held[source])
            if part:
                table.exchange(held, source, target, part)
        assert table.value(held) <= before, f"{source} to {target} in {parts} parts: richer"
    for code in [code for code, units in held.items() if units and code != home]:
        table.exchange(held, code, home, held[code])
    if not +Counter({code: units for code, units in held.items() if code != home}):
        assert held[home] <= start, "back home with more"


def test_nobody__profits_from_splits_and_round_trips() -> None:
    for seed in range(100):
        table = Table(seed)
        for _ in range(100):
            _sequence(table)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_nobody__profits_in_very_many_sequences() -> None:
    for seed in range(100, 100 + SEQUENCES // 100):
        table = Table(seed)
        for _ in range(100):
            _sequence(table)


def _session(seed: int) -> None:
    """Accepted routes use the market up, cancelled ones give it back; stale ones are refused or still hold."""
    table = Table(seed)
    rng, held = table.rng, Counter(dict.fromkeys(CODES, 10**6))
    before = table.value(held)
    for _ in range(8):
        source, target = rng.sample(CODES, 2)
        kept, kept_router, kept_book = Counter(held), table.router, table.book
        if not table.exchange(held, source, target, rng.randint(1, 10**6)):
            continue
        route = table.routes[-1]
        verify_route(table.book, route)
        table.take(route)
        if rng.random() < 0.4:  # cancelled: as if it had never been
            held, table.router, table.book = kept, kept_router, kept_book
            again = table.router.route_to_target(route.source, route.target, route.target_units)
            assert again.source_units <= route.source_units, "cancelling made the next one dearer"
        assert table.value(held) <= before, "richer"
        before = table.value(held)
        for stale in table.routes:
            try:
                verify_route(table.book, stale)
            except ClearingInvalid:
                continue
            worth_in = stale.source_units * table.worth[stale.source]
            assert stale.target_units * table.worth[stale.target] <= worth_in, "a stale price is better than mid"


def test_nobody__profits_from_cancelling_or_waiting() -> None:
    for seed in range(150):
        _session(seed)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_nobody__profits_from_cancelling_or_waiting_many_times() -> None:
    for seed in range(150, 150 + SEQUENCES // 100):
        _session(seed)


def test_nobody__profits_from_the_order_of_a_batch() -> None:
    for seed in range(60):
        table = Table(seed)
        rng, orders = table.rng, list[OrderFlow]()
        for number in range(8):
            source, target = rng.sample(CODES, 2)
            try:
                route = table.router.route_from_source(source, target, rng.randint(1, 10**4))
            except ChainwalletError:
                continue
            orders.append(OrderFlow(f"p{number}", source, route.source_units, target, route.target_units))
        shuffled = rng.sample(orders, len(orders))
        for batch in (orders, shuffled):
            clearing = clear(table.book, batch, table.worth)
            verify_clearing(table.book, batch, clearing)
            assert min(clearing.surplus_units.values(), default=0) >= 0
        all_settle = [len(clear(table.book, batch, table.worth).settled) == len(batch) for batch in (orders, shuffled)]
        assert all_settle[0] == all_settle[1], "who is first decides whether everyone can settle"


def test_a_unit_too_many__is_seen() -> None:
    """The check itself: a maker that sells a unit below its price would make somebody richer."""
    book = one_way(("a", "BBB", "AAA", 3, 2))
    route = Router(book).route_to_target("AAA", "BBB", 1)
    assert route.source_units == 1
    cheap = replace(route, source_units=0, legs=(replace(route.legs[0], bought_units=0),))
    with pytest.raises(ClearingInvalid):
        verify_route(book, cheap)
