"""Random markets from a seed, and the clearing programme once more, in another form, for another solver."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.model import Book, Offer, OrderFlow
from chainwallet.market.routing import Router

FILL_MAX = 1e3  # the documented limit: no fill is worth more than this many times the imbalance


@dataclass(frozen=True)
class Shape:
    """How a random market looks. Exponents are of ten; sizes are worth in reference units."""

    currencies: int = 8
    offers: int = 60
    makers: int = 6
    spread: tuple[float, float] = (1e-4, 1e-2)
    worth_exponent: float = 2.0
    size_exponents: tuple[float, float] = (9, 13)
    crossed_part: float = 0.0


@dataclass(frozen=True)
class World:
    rng: random.Random
    codes: list[str]
    worth: dict[str, float]
    book: Book


def make_world(seed: int, shape: Shape) -> World:
    print(f"market seed {seed}: {shape}")
    rng = random.Random(seed)
    codes = [f"C{number:02d}" for number in range(shape.currencies)]
    worth = {code: 10 ** rng.uniform(-shape.worth_exponent, shape.worth_exponent) for code in codes}
    offers = [_offer(rng, number, codes, worth, shape) for number in range(shape.offers)]
    inventory: dict[tuple[str, str], int] = defaultdict(int)
    for offer in offers:
        inventory[offer.maker, offer.sell] += offer.sell_units_left
    stock = {
        owner: units if rng.random() < 0.5 else int(units * rng.uniform(0.3, 1.0)) for owner, units in inventory.items()
    }
    return World(rng, codes, worth, Book(1, tuple(offers), stock))


def _offer(rng: random.Random, number: int, codes: list[str], worth: dict[str, float], shape: Shape) -> Offer:
    sell, buy = rng.sample(codes, 2)
    size = int(10 ** rng.uniform(*shape.size_exponents) / worth[sell]) + 1
    spread = rng.uniform(*shape.spread)
    if rng.random() < shape.crossed_part:
        spread = -spread
    price = max(1, round(size * worth[sell] / worth[buy] * (1 + spread)))
    left = size if rng.random() < 0.7 else rng.randint(0, size)
    return Offer(f"o{number}", f"m{rng.randrange(shape.makers)}", sell, buy, size, price, left)


def quoted_orders(world: World, count: int, *, fee: float, size_exponents: tuple[float, float]) -> list[OrderFlow]:
    """Orders as customers get them: priced by the router, with a fee on top; what it refuses is left out."""
    router = Router(world.book)
    orders = []
    for number in range(count):
        source, target = world.rng.sample(world.codes, 2)
        source_units = int(10 ** world.rng.uniform(*size_exponents) / world.worth[source]) + 1
        try:
            route = router.route_from_source(source, target, max(1, int(source_units * (1 - fee))))
            if fee == 0:
                source_units = router.route_to_target(source, target, route.target_units).source_units
        except ChainwalletError:
            continue
        lane = f"lane{number % 7}" if world.rng.random() < 0.5 else None
        orders.append(OrderFlow(f"p{number}", source, source_units, target, route.target_units, lane))
    return orders


def optimum(world: World, orders: Sequence[OrderFlow]) -> float | None:
    """The programme's optimum by scipy: unknowns are what makers are paid, in worth; None when infeasible."""
    sent = sum(order.source_units * world.worth[order.source] for order in orders)
    row = {code: number for number, code in enumerate(world.codes)}
    net = np.zeros(len(row))
    for order in orders:
        net[row[order.source]] += order.source_units * world.worth[order.source] / sent
        net[row[order.target]] -= order.target_units * world.worth[order.target] / sent
    largest = FILL_MAX * max(net[net > 0].sum(), -net[net < 0].sum())
    usage = np.zeros((len(row), len(world.book.offers)))
    inventories: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(len(world.book.offers)))
    given = np.zeros(len(world.book.offers))
    bounds = []
    for number, offer in enumerate(world.book.offers):
        worth = world.worth[offer.sell] / world.worth[offer.buy]
        given[number] = offer.sell_units_max / offer.buy_units * worth
        usage[row[offer.buy], number] += 1.0
        usage[row[offer.sell], number] -= given[number]
        inventories[offer.maker, offer.sell][number] = given[number]
        most = min(offer.sell_units_left * world.worth[offer.sell] / sent, largest)
        bounds.append((0.0, most / given[number]))
    limits = [world.book.inventory_units.get(owner, 0) * world.worth[owner[1]] / sent for owner in inventories]
    result = linprog(
        1.0 - given,
        A_ub=np.vstack([usage, *inventories.values()]),
        b_ub=np.concatenate([net, limits]),
        bounds=bounds,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return float(net.sum() - result.fun) * sent if result.status == 0 else None


def one_way(*steps: tuple[str, str, str, int, int]) -> Book:
    """A book of (id, sell, buy, sell_units_max, buy_units), each by a maker of its own with all of it in stock."""
    offers = tuple(Offer(name, f"maker {name}", sell, buy, most, price, most) for name, sell, buy, most, price in steps)
    return Book(1, offers, {(offer.maker, offer.sell): offer.sell_units_max for offer in offers})
