"""How fast the market answers, beside a bare HiGHS solve of the same programme in the same run.

Bare: the programme's arrays built with numpy from the book's prices and capacities, handed to one kept solver,
solved and read; with the market's own solver options, and with HiGHS's defaults. Nothing is rounded, verified or
explained there. Each measured call alternates with its bare one, so that a noisy moment hits both; what is counted is
this thread's own processor time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import highspy
import numpy as np

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.clearing import clear
from chainwallet.market.model import Book, Offer, OrderFlow
from chainwallet.market.routing import Router

SEED = 20_240
ROUTE_RATIO_MAX, CACHED_US_MAX, CLEAR_RATIO_MAX = 1.5, 100.0, 3.0
_OPTIONS: dict[str, Any] = {
    "output_flag": False, "threads": 1, "solver": "simplex", "simplex_strategy": 1, "presolve": "off",
    "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10,
}  # fmt: skip
_DEFAULTS: dict[str, Any] = {"output_flag": False}


@dataclass(frozen=True)
class Sample:
    """A random market: what each currency is worth, and a book of offers a little worse than that."""

    worth: dict[str, float]
    book: Book

    @property
    def codes(self) -> list[str]:
        return list(self.worth)


def sample_market(currencies: int, offers: int, *, seed: int = SEED) -> Sample:
    rng = random.Random(seed)
    worth = {f"C{number:03d}": 10 ** rng.uniform(-2, 2) for number in range(currencies)}
    stock: Counter[tuple[str, str]] = Counter()
    quotes = []
    for number in range(offers):
        sell, buy = rng.sample(list(worth), 2)
        size = int(10 ** rng.uniform(11, 14) / worth[sell]) + 1
        price = round(size * worth[sell] / worth[buy] * (1 + rng.uniform(1e-4, 1e-2))) + 1
        maker = f"m{rng.randrange(6)}"
        stock[maker, sell] += int(size * rng.choice([1.0, 0.7]))
        quotes.append(Offer(f"o{number}", maker, sell, buy, size, price, size))
    return Sample(worth, Book(1, tuple(quotes), dict(stock)))


def sample_orders(market: Sample, count: int, *, seed: int = SEED) -> list[OrderFlow]:
    """Payments as customers get them: quoted by the router, a fee of ten basis points on top."""
    rng, router, orders = random.Random(seed), Router(market.book), list[OrderFlow]()
    while len(orders) < count:
        source, target = rng.sample(market.codes, 2)
        units = int(10 ** rng.uniform(8, 11) / market.worth[source]) + 1
        try:
            route = router.route_from_source(source, target, max(1, units - units // 1_000))
        except ChainwalletError:
            continue
        name = f"p{len(orders)}"
        orders.append(OrderFlow(name, source, units, target, route.target_units, f"{name}/{source}"))
    return orders


@dataclass
class Bare:
    """The programme over a book in plain arrays. Money is counted in worth, so that amounts are comparable."""

    market: Sample
    options: dict[str, Any]
    solver: Any = field(init=False)

    def __post_init__(self) -> None:
        book, worth = self.market.book, self.market.worth
        row = {code: number for number, code in enumerate(worth)}
        owners = list(book.inventory_units)
        owner_row = {owner: len(row) + number for number, owner in enumerate(owners)}
        self.row, self.rows = row, len(row) + len(owners)
        self.sell = np.array([row[offer.sell] for offer in book.offers])
        self.buy = np.array([row[offer.buy] for offer in book.offers])
        self.owner = np.array([owner_row[offer.maker, offer.sell] for offer in book.offers])
        self.worth = np.array(list(worth.values()))
        price = np.array([offer.buy_units / offer.sell_units_max for offer in book.offers])
        self.price = price * self.worth[self.buy] / self.worth[self.sell]
        self.cap = np.array([float(offer.sell_units_left) for offer in book.offers]) * self.worth[self.sell]
        self.stock = np.array([book.inventory_units[owner] * worth[owner[1]] for owner in owners])
        self.solver = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in self.options.items():
            self.solver.setOptionValue(name, value)

    def route(self, source: str, target: str, target_units: int) -> float:
        """The least of the source that delivers the target, in source units."""
        goal = self.row[source]
        size = target_units * self.market.worth[target]
        cost = np.where(self.sell == goal, 1.0, np.where(self.buy == goal, -self.price, 0.0))
        lower = np.zeros(len(self.row))
        lower[self.row[target]] = size
        lower[goal] = -highspy.kHighsInf
        return -self._solve(cost, lower, size) / self.market.worth[source]

    def clear(self, net: Sequence[float]) -> float:
        """The most that a batch's surplus can be worth."""
        worth = np.array(net) * self.worth
        size = float(worth[worth > 0].sum())
        return float(worth.sum()) + self._solve(1.0 - self.price, -worth, size)

    def _solve(self, cost: Any, lower: Any, size: float) -> float:
        count, scale = len(self.cap), 1e4 / size
        start = np.arange(0, 3 * count + 1, 3, dtype=np.int32)
        index, value = np.empty(3 * count, dtype=np.int32), np.ones(3 * count)
        index[0::3], index[1::3], index[2::3] = self.sell, self.buy, self.owner
        value[1::3] = -self.price
        infinite = np.full(self.rows, highspy.kHighsInf)
        row_lower, row_upper = np.concatenate([lower * scale, -infinite[len(lower) :]]), infinite
        row_upper[len(lower) :] = self.stock * scale
        self.solver.passModel(
            count, self.rows, 3 * count, 1, -1, 0.0, cost, np.zeros(count), np.minimum(self.cap * scale, 1e7),
            row_lower, row_upper, start, index, value, np.zeros(count, dtype=np.int32),
        )  # fmt: skip
        self.solver.run()
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError("the bare programme has no optimum")
        self.solver.getSolution()
        return float(self.solver.getInfo().objective_function_value) / scale


def bench_routes(*, currencies: int = 30, offers: int = 500, quotes: int = 200) -> dict[str, float]:
    """A firm quote that the programme prices, and one along the path kept ready."""
    market = sample_market(currencies, offers)
    router, bare, plain = Router(market.book), Bare(market, _OPTIONS), Bare(market, _DEFAULTS)
    rng, taken = random.Random(SEED), defaultdict[str, list[float]](list)
    while len(taken["programme"]) < quotes:
        source, target = rng.sample(market.codes, 2)
        units = int(10 ** rng.uniform(9, 13.5) / market.worth[target])
        try:
            router.route_to_target(source, target, 1_000)  # the pair's tree is found once per version of the market
            cost = router.solve_to_target(source, target, units).source_units
        except ChainwalletError:
            continue
        if abs(bare.route(source, target, units) - cost) > 1e-8 * cost + 100 * _dearest(market, source):
            raise ArithmeticError(f"the router and the bare programme differ on {source} to {target}")
        taken["programme"].append(_us(lambda: router.solve_to_target(source, target, units)))  # noqa: B023
        taken["bare"].append(_us(lambda: bare.route(source, target, units)))  # noqa: B023
        taken["bare_defaults"].append(_us(lambda: plain.route(source, target, units)))  # noqa: B023
        taken["cached"].append(_us(lambda: router.route_to_target(source, target, 1_000)))  # noqa: B023
        taken["cached"].append(_us(lambda: router.route_from_source(source, target, 10_000_000)))  # noqa: B023
    p50 = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "route_p50_us": p50["programme"],
        "route_bare_p50_us": p50["bare"],
        "route_ratio": p50["programme"] / p50["bare"],
        "route_ratio_to_defaults": p50["programme"] / p50["bare_defaults"],
        "route_cached_p50_us": p50["cached"],
    }


def bench_clearing(*, payments: int = 10_000, currencies: int = 180, offers: int = 5_000) -> dict[str, float]:
    """A batch cleared, made exact and verified, beside the bare solve; and how the cost grows with payments."""
    market = sample_market(currencies, offers)
    orders = sample_orders(market, 2 * payments)
    bare, plain = Bare(market, _OPTIONS), Bare(market, _DEFAULTS)
    net: Counter[str] = Counter()
    for order in orders[:payments]:
        net[order.source] += order.source_units
        net[order.target] -= order.target_units
    amounts = [float(net[code]) for code in market.codes]
    taken = defaultdict[str, list[float]](list)
    for _ in range(9):
        taken["clear"].append(_us(lambda: clear(market.book, orders[:payments], market.worth)))
        taken["bare"].append(_us(lambda: bare.clear(amounts)))
        taken["bare_defaults"].append(_us(lambda: plain.clear(amounts)))
        taken["quarter"].append(_us(lambda: clear(market.book, orders[: payments // 4], market.worth)))
        taken["double"].append(_us(lambda: clear(market.book, orders, market.worth)))
    p50 = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "clear_p50_us": p50["clear"],
        "clear_bare_p50_us": p50["bare"],
        "clear_ratio": p50["clear"] / p50["bare"],
        "clear_ratio_to_defaults": p50["clear"] / p50["bare_defaults"],
        "clear_quarter_us": p50["quarter"],
        "clear_double_us": p50["double"],
        "clear_growth_exponent": float(np.log(p50["double"] / p50["quarter"]) / np.log(8)),
    }


def bench_market() -> dict[str, float | bool]:
    """Every figure, and whether each is within what it is meant to be."""
    figures: dict[str, float | bool] = {**bench_routes(), **bench_clearing()}
    return figures | {
        "route_is_within": figures["route_ratio"] <= ROUTE_RATIO_MAX,
        "cached_is_within": figures["route_cached_p50_us"] <= CACHED_US_MAX,
        "clear_is_within": figures["clear_ratio"] <= CLEAR_RATIO_MAX,
        "growth_is_within": figures["clear_growth_exponent"] <= 1.0,
    }


def _dearest(market: Sample, source: str) -> float:
    """A unit of the currency that is worth the most, in source units: what one rounding costs at most."""
    return max(market.worth.values()) / market.worth[source]


def _us(action: Callable[[], object]) -> float:
    started = time.thread_time_ns()
    action()
    return (time.thread_time_ns() - started) / 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = bench_market()
    for name, value in figures.items():
        print(f"{name:26} {value}" if isinstance(value, bool) else f"{name:26} {value:12.3f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
