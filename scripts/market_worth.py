"""What netting is worth: a day of payments cleared together, alone, by the best single maker and by a greedy router.

Days are drawn from the World Bank's corridors that the package carries (entrypoints/demo/corridors.csv), at the
European Central Bank's rates that it carries, over the demo makers' quotes. One day is remittances as they are
estimated; on the other, trade flows back along every corridor as much as remittances flow out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import numpy as np

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.entrypoints.demo.corridors import load_corridors
from chainwallet.entrypoints.demo.makers import maker_funding, maker_quotes
from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.clearing import clear, clear_alone
from chainwallet.market.cost import cost_of, maker_volume_units, unnetted_cost, value_sent_units
from chainwallet.market.imbalance import net_units
from chainwallet.market.model import Book, Leg, Offer, OrderFlow
from chainwallet.market.rates import MidMarket
from chainwallet.market.routing import Router

SEED = 2012
PAYMENTS = 4_000
_USD = 10**6  # units


@dataclass(frozen=True)
class Day:
    """The orders of a day, the book they were priced on, and the mid-market prices of that day."""

    orders: list[OrderFlow]
    book: Book
    mids: MidMarket


def draw_day(*, balanced: bool, payments: int = PAYMENTS, seed: int = SEED) -> Day:
    """Payments of 50 to some 100,000 dollars, most of them small, each quoted by the router without a fee."""
    rng, mids = random.Random(seed), MidMarket(EcbRates().fixing())
    corridors = [one for one in load_corridors() if one.source_currency != one.target_currency]
    weights = [one.usd_million_a_year for one in corridors]
    drawn: list[tuple[str, str, int]] = []
    while len(drawn) < payments:
        corridor = rng.choices(corridors, weights)[0]
        usd_units = int(min(max(rng.lognormvariate(6.2, 1.3), 50), 100_000) * _USD)
        drawn.append((corridor.source_currency, corridor.target_currency, usd_units))
        if balanced:  # what was sent comes back as trade, not to the cent
            back = int(usd_units * rng.uniform(0.8, 1.2))
            drawn.append((corridor.target_currency, corridor.source_currency, back))
    book = demo_book(drawn, mids)
    router, orders = Router(book), list[OrderFlow]()
    for number, (source, target, usd_units) in enumerate(drawn[:payments]):
        units = mids.value_units(usd_units, "USD", target)
        try:
            route = router.route_to_target(source, target, units)
        except ChainwalletError:
            continue
        orders.append(OrderFlow(f"p{number}", source, route.source_units, target, units))
    return Day(orders, book, mids)


def demo_book(drawn: Iterable[tuple[str, str, int]], mids: MidMarket) -> Book:
    """The demo makers' ladders, sized to the day's volumes, all of it in stock."""
    volumes: defaultdict[str, int] = defaultdict(int)
    for source, target, usd_units in drawn:
        volumes[source] += usd_units
        volumes[target] += usd_units
    quotes = maker_quotes(mids.mid, sorted(volumes), volumes_usd_units=volumes)
    stock = {(one.alias, one.code): one.units for one in maker_funding(quotes)}
    offers = [
        Offer(f"q{number}", one.maker_alias, one.sell_code, one.buy_code, one.sell_units, one.buy_units, one.sell_units)
        for number, one in enumerate(quotes)
    ]
    return Book(1, tuple(offers), stock)


def every_pair_quoted(book: Book, mids: MidMarket) -> Book:
    """The same depth, and every pair quoted directly: as wide as the wider currency against the dollar, and half the
    narrower one. Where only some pairs are quoted, an imbalance between two others passes two makers."""
    width: dict[str, float] = {"USD": 0.0}
    size: dict[str, int] = {}
    for offer in book.offers:
        if "USD" in (offer.buy, offer.sell):
            other = offer.sell if offer.buy == "USD" else offer.buy
            over = float(Fraction(offer.buy_units, offer.sell_units_max) / mids.mid(offer.sell, offer.buy)) - 1.0
            width[other] = min(over, width.get(other, 1.0))
        size[offer.sell] = max(size.get(offer.sell, 0), offer.sell_units_max)
    offers = []
    for sell, buy in permutations(sorted(width.keys() & size.keys()), 2):
        narrow, wide = sorted((width[sell], width[buy]))
        price = size[sell] * mids.mid(sell, buy) * (1 + Fraction(wide + narrow / 2))
        offers.append(Offer(f"{sell}{buy}", f"in {sell}", sell, buy, size[sell], int(price) + 1, size[sell]))
    return Book(1, tuple(offers), {(one.maker, one.sell): 10**24 for one in offers})


def by_best_maker(day: Day) -> list[Leg]:
    """Each payment by the one maker that is cheapest for all of it, alone, as a bank would ask its dealers."""
    books = {}
    for maker in sorted({offer.maker for offer in day.book.offers}):
        offers = tuple(offer for offer in day.book.offers if offer.maker == maker)
        books[maker] = Book(1, offers, day.book.inventory_units)
    routers = {maker: Router(book) for maker, book in books.items()}
    asked: defaultdict[str, list[OrderFlow]] = defaultdict(list)
    for order in day.orders:
        found = {maker: cost for maker, router in routers.items() if (cost := _cost(router, order))}
        if found:
            asked[min(found, key=lambda maker: (found[maker], maker))].append(order)
    return [leg for maker, orders in asked.items() for leg in clear_alone(books[maker], orders)]


def by_greedy_router(day: Day) -> list[Leg]:
    """Each payment by the cheapest direct quotes, through the dollar where there are none; nothing is compared."""
    pairs = {(offer.buy, offer.sell) for offer in day.book.offers}
    direct: defaultdict[tuple[str, str], list[OrderFlow]] = defaultdict(list)
    for order in day.orders:
        direct[(order.source, order.target) if (order.source, order.target) in pairs else ("", "")].append(order)
    legs: list[Leg] = []
    for (source, target), orders in direct.items():
        offers = tuple(
            one
            for one in day.book.offers
            if (one.buy, one.sell) == (source, target) or (not source and "USD" in (one.buy, one.sell))
        )
        legs.extend(clear_alone(Book(1, offers, day.book.inventory_units), orders))
    return legs


def _cost(router: Router, order: OrderFlow) -> int | None:
    try:
        return router.route_to_target(order.source, order.target, order.target_units).source_units
    except ChainwalletError:
        return None


def least_volume_units(day: Day) -> int:
    """What makers must sell at least, in units of USD at mid: every currency that is short is sold to the pool."""
    net = net_units(day.orders)
    return sum(day.mids.value_units(-units, code, "USD") for code, units in net.items() if units < 0)


def measure(day: Day) -> dict[str, float]:
    """Costs in basis points of what was sent, at mid; volumes as shares of it."""
    clearing = clear(day.book, day.orders, day.mids)
    sent = value_sent_units(day.orders, day.mids, "USD")
    alone = clear_alone(day.book, day.orders)
    volume = maker_volume_units(clearing.fills, day.mids, "USD")
    net = cost_of(day.orders, clearing.fills, clearing.surplus_units, day.mids).makers_bps
    unnetted = unnetted_cost(day.orders, alone, day.mids)
    return {
        "payments": len(day.orders),
        "set_aside": len(clearing.set_aside),
        "sent_million_usd": sent / _USD / 1e6,
        "opposite_flows_cancel": 1.0 - least_volume_units(day) / sent,
        "netted_bps": net,
        "unnetted_bps": unnetted,
        "netted_to_unnetted": net / unnetted,
        "best_maker_bps": unnetted_cost(day.orders, by_best_maker(day), day.mids),
        "greedy_router_bps": unnetted_cost(day.orders, by_greedy_router(day), day.mids),
        "liquidity_of_gross": volume / sent,
        "liquidity_alone_of_gross": maker_volume_units(alone, day.mids, "USD") / sent,
        "volume_over_least": volume / max(1, least_volume_units(day)) - 1.0,
        "volume_over_quoted_least": volume / fewest_fills_volume(day) - 1.0,
    }


def fewest_fills_volume(day: Day) -> float:
    """The least that any fills of these quotes can sell, in units of USD at mid: some pairs are not quoted at all."""
    import highspy

    worth = {code: float(one) for code, one in day.mids.weights("USD").items()}
    net = net_units(day.orders)
    row = {code: number for number, code in enumerate(sorted({*net, *(one.sell for one in day.book.offers)}))}
    offers = day.book.offers
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    count, infinite = len(offers), float(highspy.kHighsInf)
    index = np.array([row[code] for one in offers for code in (one.sell, one.buy)], dtype=np.int32)
    value = np.array([one for _ in offers for one in (1.0, -1.0)])  # at mid: spreads do not make volume
    lower = np.zeros(len(row))
    for code, units in net.items():
        lower[row[code]] = -units * worth[code] * (1 - 1e-3)  # what spreads take is not there to be exchanged
    solver.passModel(
        count, len(row), 2 * count, 1, 1, 0.0, np.ones(count), np.zeros(count),
        np.array([one.sell_units_left * worth[one.sell] for one in offers]), lower, np.full(len(row), infinite),
        np.arange(0, 2 * count + 1, 2, dtype=np.int32), index, value, np.zeros(count, dtype=np.int32),
    )  # fmt: skip
    solver.run()
    return float(solver.getInfo().objective_function_value)


def market_worth() -> dict[str, dict[str, float]]:
    """The figures of both days."""
    days = {name: draw_day(balanced=name == "balanced") for name in ("remittances", "balanced")}
    direct = {
        f"{name}, every pair": replace(day, book=every_pair_quoted(day.book, day.mids)) for name, day in days.items()
    }
    return {name: measure(day) for name, day in (days | direct).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = market_worth()
    print(" " * 26, *(f"{day:>24}" for day in figures))
    for name in figures["balanced"]:
        print(f"{name:26}", *(f"{of_day[name]:24.4f}" for of_day in figures.values()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
