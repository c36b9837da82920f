"""Random markets from a seed, and the clearing programme once more, in another form, for another solver."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.model import Book, Offer, OrderFlow, Route
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
    dead_part: float = 0.0  # of the offers: nothing left of them
    islands: int = 1  # groups of currencies that no offer joins


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


def adversarial(seed: int) -> Shape:
    """Markets made to break the arithmetic: crossed, looping, one unit small, a billion times apart, cut in two."""
    rng = random.Random(seed)
    return Shape(
        currencies=rng.randint(2, 25),
        offers=rng.randint(1, 200),
        makers=rng.choice([1, 6]),
        spread=rng.choice([(0.0, 0.0), (1e-4, 1e-2), (1e-5, 1e-3), (-2e-3, 1e-2), (0.0, 3.0)]),
        worth_exponent=rng.choice([0.0, 2.0, 4.5]),  # two currencies differ by up to twice the exponent
        size_exponents=rng.choice([(0.0, 0.0), (0.0, 1.0), (0.0, 4.0), (3.0, 8.0), (6.0, 24.0), (9.0, 13.0)]),
        crossed_part=rng.choice([0.0, 0.0, 0.1]),
        dead_part=rng.choice([0.0, 0.2]),
        islands=rng.choice([1, 1, 2, 3]),
    )


def _offer(rng: random.Random, number: int, codes: list[str], worth: dict[str, float], shape: Shape) -> Offer:
    island = codes[rng.randrange(shape.islands) :: shape.islands]
    sell, buy = rng.sample(island if len(island) > 1 else codes, 2)
    size = int(10 ** rng.uniform(*shape.size_exponents) / worth[sell]) + 1
    spread = rng.uniform(*shape.spread)
    if rng.random() < shape.crossed_part:
        spread = -spread
    price = max(1, round(size * worth[sell] / worth[buy] * (1 + spread)))
    left = size if rng.random() < 0.7 else rng.randint(0, size)
    if rng.random() < shape.dead_part:
        left = 0
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
    sent = sum(order.source_units * world.worth[order.source] for order in orders) / 1e4
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
    for method in ("highs-ds", "highs-ipm"):  # where amounts are a billion times apart, one of them may find nothing
        result = linprog(
            (1.0 - given) * 1e3,
            A_ub=np.vstack([usage, *inventories.values()]),
            b_ub=np.concatenate([net, limits]),
            bounds=bounds,
            method=method,
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if result.status == 0:
            return float(net.sum() - result.fun / 1e3) * sent
    return None


def least_source(world: World, source: str, target: str, target_units: int) -> float | None:
    """What a route must cost by scipy, in source units: the unknowns are what makers are paid, in parts of it.

    The rule for quotes that cross is applied here once more: each step leads further from the source, or to the
    target. None when there is no such route.
    """
    offers = [one for one in world.book.offers if _room(world.book, one) > 0]
    distance = _steps(offers, source)
    crossed = _is_crossed(offers)
    offers = [
        one for one in offers
        if one.buy in distance and one.sell != source and one.buy != target
        and (not crossed or one.sell == target or distance[one.buy] < distance[one.sell])
    ]  # fmt: skip
    if target not in {one.sell for one in offers}:
        return None
    worth = _cheapest(offers, source)
    if target not in worth:
        return None
    offers = [one for one in offers if one.buy in worth]
    size, cost = target_units * worth[target], 1e3
    while cost > 10:  # count in what it costs, whatever the best path promised
        cost = _least_source(world.book, offers, worth, (source, target), size, target_units) or 0.0
        if not cost:
            return None
        size *= cost
    return size


def _least_source(
    book: Book, offers: Sequence[Offer], worth: dict[str, float], pair: tuple[str, str], size: float, target_units: int
) -> float | None:
    """As least_source, in parts of `size`."""
    source, target = pair
    row = {code: number for number, code in enumerate(worth)}
    given = np.array([float(Fraction(one.sell_units_max, one.buy_units)) * worth[one.sell] / worth[one.buy]
                      for one in offers])  # fmt: skip
    lack, stock = (
        np.zeros((len(row), len(offers))),
        defaultdict[tuple[str, str], np.ndarray](lambda: np.zeros(len(offers))),
    )
    for number, one in enumerate(offers):
        lack[row[one.buy], number] += 1.0
        lack[row[one.sell], number] -= given[number]
        stock[one.maker, one.sell][number] = given[number]
    most = [min(_room(book, one) * worth[one.sell] / size, 1e3) for one in offers]
    limits = [min(book.inventory_units[owner] * worth[owner[1]] / size, 1e9) for owner in stock]
    needed = [-target_units * worth[target] / size if code == target else 0.0 for code in row if code != source]
    lack_elsewhere = np.delete(lack, row[source], axis=0)
    result = linprog(
        lack[row[source]], A_ub=np.vstack([lack_elsewhere, *stock.values()]), b_ub=np.concatenate([needed, limits]),
        bounds=[(0.0, units / part) for units, part in zip(most, given, strict=True)], method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    return float(result.fun) if result.status == 0 else None


def _room(book: Book, offer: Offer) -> int:
    return min(offer.sell_units_left, book.inventory_units.get((offer.maker, offer.sell), 0))


def _steps(offers: Sequence[Offer], source: str) -> dict[str, int]:
    """How many offers each currency is away from the source."""
    found, edge = {source: 0}, {source}
    while edge:
        edge = {one.sell for one in offers if one.buy in edge and one.sell not in found}
        found |= dict.fromkeys(edge, max(found.values()) + 1)
    return found


def _cheapest(offers: Sequence[Offer], source: str) -> dict[str, float]:
    """What a unit of each currency costs along its best path, room aside."""
    cost = {source: 1.0}
    for _ in range(len(offers)):
        moved = False
        for one in offers:
            price = cost.get(one.buy, np.inf) * one.buy_units / one.sell_units_max
            if price < cost.get(one.sell, np.inf) * (1 - 1e-13):
                cost[one.sell], moved = price, True
        if not moved:
            break
    return cost


def _is_crossed(offers: Sequence[Offer]) -> bool:
    """Whether a loop of offers gives back what it takes, but for a billionth a step."""
    best: dict[tuple[str, str], float] = {}
    for one in offers:
        price = float(np.log(one.buy_units / one.sell_units_max)) - 1e-9
        best[one.buy, one.sell] = min(price, best.get((one.buy, one.sell), np.inf))
    cost = dict.fromkeys({code for pair in best for code in pair}, 0.0)
    for _ in range(len(cost) + 1):
        moved = False
        for (buy, sell), price in best.items():
            if cost[buy] + price < cost[sell] - 1e-12:
                cost[sell], moved = cost[buy] + price, True
        if not moved:
            return False
    return True


def one_way(*steps: tuple[str, str, str, int, int]) -> Book:
    """A book of (id, sell, buy, sell_units_max, buy_units), each by a maker of its own with all of it in stock."""
    offers = tuple(Offer(name, f"maker {name}", sell, buy, most, price, most) for name, sell, buy, most, price in steps)
    return Book(1, offers, {(offer.maker, offer.sell): offer.sell_units_max for offer in offers})


def least_source_within(world: World, pair: tuple[str, str], target_units: int, hops_max: int) -> float | None:
    """As least_source with at most so many offers in a row: flows over a copy of the market per step, by scipy."""
    source, target = pair
    offers = [one for one in world.book.offers if _room(world.book, one) > 0]
    worth = _cheapest(offers, source)
    offers = [one for one in offers if one.buy in worth and one.sell != source and one.buy != target]
    if target not in worth:
        return None
    size, nodes, count = target_units * worth[target], sorted(worth), len(offers)
    row = {(code, step): number for number, (code, step) in enumerate(
        (code, step) for step in range(1, hops_max + 1) for code in nodes if code != target)}  # fmt: skip
    goal, columns = len(row), count * hops_max
    lack, cost, shared = np.zeros((goal + 1, columns)), np.zeros(columns), np.zeros((count, columns))
    stock: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(columns))
    for step in range(hops_max):
        for number, one in enumerate(offers):
            at = step * count + number
            price = one.buy_units / one.sell_units_max * worth[one.buy] / worth[one.sell]
            lack[goal if one.sell == target else row[one.sell, step + 1], at] -= 1.0
            shared[number, at] = stock[one.maker, one.sell][at] = 1.0
            if step == 0:
                cost[at] = price if one.buy == source else 1e6  # nothing but the source is there at the first step
            elif one.buy == source:
                cost[at] = 1e6
            else:
                lack[row[one.buy, step], at] += price
    caps = [min(_room(world.book, one) * worth[one.sell] / size, 1e3) for one in offers]
    limits = [min(world.book.inventory_units[owner] * worth[owner[1]] / size, 1e9) for owner in stock]
    result = linprog(
        cost, A_ub=np.vstack([lack, shared, *stock.values()]),
        b_ub=np.concatenate([np.zeros(goal), [-1.0], caps, limits]), method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    return float(result.fun) * size if result.status == 0 and result.fun < 1e3 else None


def is_within(route: Route, hops_max: int) -> bool:
    """Whether the legs are made of paths of at most so many steps, but for a unit of each leg, by scipy."""
    legs, count = route.legs, len(route.legs)
    codes = sorted({leg.buy for leg in legs} | {leg.sell for leg in legs})
    flow = np.zeros((len(codes) * hops_max, count * hops_max))
    whole = np.zeros((count, count * hops_max))
    bounds = []
    for step in range(hops_max):
        for number, leg in enumerate(legs):
            at = step * count + number
            whole[number, at] = 1.0
            bounds.append((0.0, None if (step == 0) == (leg.buy == route.source) else 0.0))
            if step + 1 < hops_max:
                flow[(step + 1) * len(codes) + codes.index(leg.sell), at] -= leg.sold_units
            if leg.buy != route.source:
                flow[step * len(codes) + codes.index(leg.buy), at] += leg.bought_units
    scale = np.maximum(1.0, np.abs(flow).max(axis=1, initial=1.0))
    slack = (count + 1) / scale
    result = linprog(np.zeros(count * hops_max), A_ub=flow / scale[:, None], b_ub=slack + 1e-9, A_eq=whole,
                     b_eq=np.ones(count), bounds=bounds, method="highs")  # fmt: skip
    return bool(result.status == 0)
