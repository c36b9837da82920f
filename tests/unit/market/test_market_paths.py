"""Best paths: found, climbed past when used up, and never round a loop."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.unit.market.worlds import Shape, make_world, one_way

from chainwallet.market.columns import columns_of
from chainwallet.market.model import Book
from chainwallet.market.paths import Ladder

MILLION = 10**12


def _ladder(book: Book) -> tuple[Ladder, dict[str, int]]:
    columns = columns_of(book)
    return Ladder(columns), columns.index


@pytest.mark.parametrize(
    ("back", "crossed"),
    [(MILLION + MILLION // 100, False), (MILLION, True), (MILLION - MILLION // 100, True)],
)
def test_is_crossed__when_a_loop_gives_back_what_it_takes(back: int, crossed: bool) -> None:
    ladder, _ = _ladder(one_way(("there", "USD", "EUR", MILLION, MILLION), ("back", "EUR", "USD", MILLION, back)))
    assert ladder.is_crossed is crossed


def test_is_crossed__sees_a_loop_that_the_first_currency_does_not_reach() -> None:
    loop = one_way(
        ("a", "AAA", "BBB", MILLION, MILLION),
        ("there", "USD", "EUR", MILLION, MILLION),
        ("back", "EUR", "USD", MILLION, MILLION // 2),
    )
    assert _ladder(loop)[0].is_crossed


def test_ladder__of_nothing__has_no_paths() -> None:
    columns = columns_of(Book(1, (), {}), ["EUR", "USD"])
    ladder = Ladder(columns)
    assert not ladder.is_crossed
    assert ladder.edges(0, 1) is None


def test_skip__climbs_to_the_next_offer_and_back() -> None:
    book = one_way(("dear", "USD", "EUR", 100, 120), ("cheap", "USD", "EUR", 100, 110))
    columns = columns_of(book)
    ladder = Ladder(columns)
    (edge,) = ladder.edges(columns.index["EUR"], columns.index["USD"]) or []
    assert columns.offers[ladder.column(edge)].id == "cheap"
    before = ladder.position(edge)
    ladder.skip(edge)
    assert columns.offers[ladder.column(edge)].id == "dear"
    ladder.skip(edge)
    assert ladder.edges(columns.index["EUR"], columns.index["USD"]) is None
    ladder.step_back(edge, before)
    assert columns.offers[ladder.column(edge)].id == "cheap"


def test_tree__equals_trying_every_path() -> None:
    for seed in range(12):
        world = make_world(seed, Shape(currencies=5, offers=25))
        ladder, index = _ladder(world.book)
        usable = [offer for offer in world.book.offers if offer.sell_units_left]
        best: dict[tuple[str, str], float] = {}
        for offer in usable:
            if world.book.inventory_units[offer.maker, offer.sell]:
                pair, price = (offer.buy, offer.sell), offer.buy_units / offer.sell_units_max
                best[pair] = min(price, best.get(pair, price))
        source, target = random.Random(seed).sample(sorted(index), 2)
        costs = [float("inf")]
        for length in range(len(index) - 1):
            for middle in itertools.permutations(set(index) - {source, target}, length):
                stops = [source, *middle, target]
                cost = 1.0
                for step in itertools.pairwise(stops):
                    cost *= best.get(step, float("inf"))
                costs.append(cost)
        assert float(ladder.tree(index[source], index[target]).cost[index[target]]) == pytest.approx(min(costs))
