"""Offers round in the maker's favour and refuse what makes no sense."""

from __future__ import annotations

import random

import pytest

from chainwallet.market.model import Offer, OrderFlow

SEED = 20


def offer(sell_units_max: int, buy_units: int, left: int | None = None) -> Offer:
    return Offer("o", "m", "USD", "EUR", sell_units_max, buy_units, sell_units_max if left is None else left)


@pytest.mark.parametrize(
    ("sell_max", "buy", "sold", "bought"),
    [
        (100, 90, 100, 90),
        (100, 90, 1, 1),  # 0.9 rounds up
        (3, 1, 1, 1),
        (3, 1, 3, 1),
        (3, 1, 4, 2),
        (1, 10**9, 7, 7 * 10**9),
        (10**9, 1, 1, 1),
        (10**24, 10**24 - 1, 10**24 - 1, 10**24 - 1),
    ],
)
def test_bought_up__is_the_price_rounded_up(sell_max: int, buy: int, sold: int, bought: int) -> None:
    assert offer(sell_max, buy).bought_up(sold) == bought


def test_sold_down__is_the_largest_that_the_money_buys() -> None:
    rng = random.Random(SEED)
    for _ in range(2_000):
        quote = offer(rng.randint(1, 10 ** rng.randint(1, 24)), rng.randint(1, 10 ** rng.randint(1, 24)))
        money = rng.randint(0, 10 ** rng.randint(1, 24))
        sold = quote.sold_down(money)
        assert quote.bought_up(sold) <= money < quote.bought_up(sold + 1), (quote, money)


def test_bought_up__splitting_a_fill_never_makes_it_cheaper() -> None:
    rng = random.Random(SEED)
    for _ in range(2_000):
        quote = offer(rng.randint(1, 10**12), rng.randint(1, 10**12))
        one, other = rng.randint(1, 10**12), rng.randint(1, 10**12)
        assert quote.bought_up(one) + quote.bought_up(other) >= quote.bought_up(one + other)


@pytest.mark.parametrize(
    "fields",
    [
        {"sell": "EUR"},
        {"sell_units_max": 0},
        {"buy_units": 0},
        {"sell_units_left": -1},
        {"sell_units_left": 101},
    ],
)
def test_offer__given_nonsense__is_refused(fields: dict[str, object]) -> None:
    good: dict[str, object] = {
        "id": "o", "maker": "m", "sell": "USD", "buy": "EUR",
        "sell_units_max": 100, "buy_units": 90, "sell_units_left": 100,
    }  # fmt: skip
    with pytest.raises(ValueError, match="offer o"):
        Offer(**{**good, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(("source_units", "target_units"), [(0, 1), (1, 0), (-1, 1)])
def test_order_flow__given_nothing_to_move__is_refused(source_units: int, target_units: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        OrderFlow("p", "EUR", source_units, "USD", target_units)
