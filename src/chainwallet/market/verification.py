"""The check before anything is signed: a clearing or a route holds in integers, or it is refused.

Written against the book and the orders alone; it shares no code with what computes the answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from chainwallet.market.errors import ClearingInvalid
from chainwallet.market.model import Book, Clearing, Leg, OrderFlow, Route


def verify_clearing(
    book: Book, orders: Sequence[OrderFlow], clearing: Clearing, positions: Mapping[tuple[str, str], int] | None = None
) -> None:
    """Raise ClearingInvalid unless the clearing settles these orders within this book, exactly.

    Each order settles or is set aside, later ones of a lane with the earlier; each offer is filled once at
    most, at its price rounded up, within what is left of it and of its maker's inventory; per currency, what
    comes in less what goes out is the surplus stated, and not negative. No limited position is exceeded.
    """
    pool = _settled_flows(orders, clearing)
    if positions:
        _verify_positions(orders, clearing, positions)
    _verify_fills(book, clearing.fills)
    for leg in clearing.fills:
        pool[leg.sell] = pool.get(leg.sell, 0) + leg.sold_units
        pool[leg.buy] = pool.get(leg.buy, 0) - leg.bought_units
    _verify_pool(pool, clearing.surplus_units)


def verify_route(book: Book, route: Route) -> None:
    """Raise ClearingInvalid unless the route's legs turn its source into its target within this book, exactly."""
    _verify_fills(book, route.legs)
    pool = {route.source: route.source_units}
    pool[route.target] = pool.get(route.target, 0) - route.target_units
    for leg in route.legs:
        pool[leg.sell] = pool.get(leg.sell, 0) + leg.sold_units
        pool[leg.buy] = pool.get(leg.buy, 0) - leg.bought_units
    short = sorted(code for code, units in pool.items() if units < 0)
    if short:
        raise ClearingInvalid(f"The route leaves {', '.join(short)} short; nothing may be signed for it.")


def _settled_flows(orders: Sequence[OrderFlow], clearing: Clearing) -> dict[str, int]:
    """What the settled orders leave in each currency."""
    ids, aside = [order.id for order in orders], clearing.set_aside
    unique = set(ids)
    settling = tuple(id_ for id_ in ids if id_ not in aside) if aside else tuple(ids)
    if len(unique) != len(ids) or not unique.issuperset(aside) or clearing.settled != settling:
        raise ClearingInvalid("Each order must either settle, in order, or be set aside; nothing may be signed.")
    pool: defaultdict[str, int] = defaultdict(int)
    for order in _settling(orders, aside) if aside else orders:
        pool[order.source] += order.source_units
        pool[order.target] -= order.target_units
    return pool


def _verify_positions(
    orders: Iterable[OrderFlow], clearing: Clearing, positions: Mapping[tuple[str, str], int]
) -> None:
    paid: defaultdict[tuple[str | None, str], int] = defaultdict(int)
    for order in orders:
        if order.id not in clearing.set_aside:
            paid[order.payer, order.source] += order.source_units
            paid[order.payee, order.target] -= order.target_units
    over = [f"{owner} in {code}" for (owner, code), limit in sorted(positions.items()) if paid[owner, code] > limit]
    if over:
        raise ClearingInvalid(f"Positions would be exceeded: {', '.join(over)}; nothing may be signed.")


def _settling(orders: Sequence[OrderFlow], aside: Mapping[str, object]) -> list[OrderFlow]:
    """The orders that settle; refused where one would overtake an earlier one of its lane."""
    settling: list[OrderFlow] = []
    blocked: set[str] = set()
    for order in orders:
        if order.id not in aside:
            if order.lane in blocked:
                raise ClearingInvalid(
                    f"Order {order.id} would overtake an earlier one of its lane; nothing may be signed."
                )
            settling.append(order)
        elif order.lane is not None:
            blocked.add(order.lane)
    return settling


def _verify_fills(book: Book, fills: Iterable[Leg]) -> None:
    wanted = {leg.offer_id for leg in fills}
    offers = {offer.id: offer for offer in book.offers if offer.id in wanted}
    drawn: dict[tuple[str, str], int] = {}
    for leg in fills:
        offer = offers.pop(leg.offer_id, None)  # popped: an offer is filled once at most
        if offer is None or (leg.maker, leg.sell, leg.buy) != (offer.maker, offer.sell, offer.buy):
            raise ClearingInvalid(f"Offer {leg.offer_id} is unknown, filled twice or misstated; nothing may be signed.")
        price_met = leg.bought_units * offer.sell_units_max >= leg.sold_units * offer.buy_units
        tight = (leg.bought_units - 1) * offer.sell_units_max < leg.sold_units * offer.buy_units
        if not 0 < leg.sold_units <= offer.sell_units_left or not (price_met and tight):
            raise ClearingInvalid(f"The fill of offer {leg.offer_id} misses its price or size; nothing may be signed.")
        owner = (leg.maker, leg.sell)
        drawn[owner] = drawn.get(owner, 0) + leg.sold_units
    for owner, units in drawn.items():
        if units > book.inventory_units.get(owner, 0):
            raise ClearingInvalid(f"Maker {owner[0]} would sell more {owner[1]} than it has; nothing may be signed.")


def _verify_pool(pool: Mapping[str, int], surplus_units: Mapping[str, int]) -> None:
    for code in {*pool, *surplus_units}:
        units = pool.get(code, 0)
        if units < 0 or units != surplus_units.get(code, 0):
            raise ClearingInvalid(
                f"{code} would be left with {units} units, stated are {surplus_units.get(code, 0)}; "
                "nothing may be signed."
            )
