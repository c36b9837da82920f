"""Certificates: prices that bound what any combination of offers could do, exactly, with no solver to trust.

Weak duality. Take any prices y, zero or more per unit of each currency. A fill of f units of offer q gains at most
f * (y_sell - r_q * y_buy) at these prices, because its maker is paid r_q * f or more. Let K(y) be the most that all
offers together could gain within what is left of them and of their makers' inventories; it is found greedily, offer
by offer from the best. Then for every combination of offers, whatever its hops and splits:

    a route      y_source * source_units >= y_target * target_units - K(y)
    a clearing   worth of the surplus    <= sum of y_c * net_units_c + K(y),   where every y_c is at least its weight

All arithmetic is on fractions. Bad prices give a weak bound, never a wrong one; the programme's duals, made exact
(`tightened`), give a bound that the answer itself meets but for its rounding.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

from chainwallet.market.model import Book, Clearing, Leg, Offer

Prices = Mapping[str, Fraction]

_ROUNDS_MAX = 32  # times that prices are passed on; more is of use only where quotes cross
_NOISE = Fraction(1, 10**6)  # what differs by more than this part is not the solver's tolerance
_ROUNDED_UNITS = 1_000  # more than the roundings of one answer leave of an offer
_BITS = 128  # precision of prices that are passed on


@dataclass(frozen=True, slots=True)
class Room:
    """An offer that may be used, and the most that it can sell."""

    offer: Offer
    units: int


def rooms_of(book: Book) -> tuple[Room, ...]:
    """Every offer of the book that can still sell something."""
    stock = book.inventory_units
    found = (Room(one, min(one.sell_units_left, stock.get((one.maker, one.sell), 0))) for one in book.offers)
    return tuple(room for room in found if room.units > 0)


def within_reach(rooms: Sequence[Room], source: str) -> list[Room]:
    """The offers that money from the source can get to: no other one can be filled on a route from there."""
    sellers: defaultdict[str, set[str]] = defaultdict(set)
    for room in rooms:
        sellers[room.offer.buy].add(room.offer.sell)
    reached, waiting = {source}, [source]
    while waiting:
        new = sellers[waiting.pop()] - reached
        reached |= new
        waiting.extend(new)
    return [room for room in rooms if room.offer.buy in reached]


def most_gained(rooms: Iterable[Room], inventory_units: Mapping[tuple[str, str], int], prices: Prices) -> Fraction:
    """K(y): the most that fills could gain at these prices. A currency without a price is worth nothing."""
    gains: defaultdict[tuple[str, str], list[tuple[Fraction, int]]] = defaultdict(list)
    zero = Fraction(0)
    for room in rooms:
        offer = room.offer
        gain = prices.get(offer.sell, zero) - prices.get(offer.buy, zero) * offer.buy_units / offer.sell_units_max
        if gain > 0:
            gains[offer.maker, offer.sell].append((gain, room.units))
    total = zero
    for owner, offered in gains.items():
        left = inventory_units.get(owner, 0)
        for gain, units in sorted(offered, reverse=True):
            total += gain * min(units, left)
            left -= min(units, left)
    return total


def source_units_min(
    rooms: Sequence[Room], inventory_units: Mapping[tuple[str, str], int], prices: Prices, *, source: str,
    target: str, target_units: int,
) -> int:  # fmt: skip
    """The fewest source units for which any combination of these offers delivers `target_units`, at least."""
    gained = most_gained(rooms, inventory_units, prices)
    bound = (prices[target] * target_units - gained) / prices[source]
    return max(0, -(-bound.numerator // bound.denominator))


def target_units_max(
    rooms: Sequence[Room], inventory_units: Mapping[tuple[str, str], int], prices: Prices, *, source: str,
    target: str, source_units: int,
) -> int:  # fmt: skip
    """The most target units that any combination of these offers delivers for `source_units`, at most."""
    gained = most_gained(rooms, inventory_units, prices)
    bound = (prices[source] * source_units + gained) / prices[target]
    return bound.numerator // bound.denominator


def surplus_worth_max(book: Book, net_units: Mapping[str, int], prices: Prices, weights: Prices) -> Fraction:
    """The most that the surplus of a batch can be worth at `weights`, whatever fills are chosen.

    Prices below a currency's weight are raised to it first.
    """
    raised = {code: max(prices.get(code, Fraction(0)), weights[code]) for code in {*prices, *weights}}
    worth = sum((raised[code] * units for code, units in net_units.items()), Fraction(0))
    return worth + most_gained(rooms_of(book), book.inventory_units, raised)


def surplus_prices(book: Book, clearing: Clearing, weights: Prices) -> dict[str, Fraction]:
    """The duals of a clearing, made exact, none below its weight."""
    left_over = {
        code: weights[code]
        for code, price in clearing.prices.items()
        if code in weights and price <= float(weights[code]) * (1 + 1e-9) and clearing.surplus_units.get(code, 0) > 0
    }
    stock = book.inventory_units
    prices = tightened(rooms_of(book), stock, clearing.fills, clearing.prices, left_over, raises=True)
    return {code: max(price, weights.get(code, price)) for code, price in prices.items()}


def tightened(
    rooms: Sequence[Room], inventory_units: Mapping[tuple[str, str], int], legs: Sequence[Leg],
    prices: Mapping[str, float] | Prices, anchors: Prices, *, raises: bool = False, turning: Sequence[Room] = (),
) -> dict[str, Fraction]:  # fmt: skip
    """Prices of a solver, made exact: the offers that are filled in part tie them together.

    `anchors` are known exactly: a route's source at one; in a clearing, the currencies that are left over, at their
    weights. From there each offer in part says what its other currency is worth; the rest stays as the solver has it.
    Then no offer with room is left a bargain by the solver's tolerance: what it sells is lowered, or, where prices
    have a floor (`raises`), what it buys is raised.
    """
    sold: dict[str, int] = {}
    drawn: Counter[tuple[str, str]] = Counter()
    for leg in legs:
        sold[leg.offer_id] = leg.sold_units
        drawn[leg.maker, leg.sell] += leg.sold_units
    spent = {owner for owner, units in drawn.items() if _is_spent(units, inventory_units.get(owner, 0))}
    loose = [room.offer for room in rooms if not _is_spent(sold.get(room.offer.id, 0), room.units)]
    tied = _tied([offer for offer in loose if sold.get(offer.id)], spent, anchors)
    solved = {code: Fraction(price) for code, price in prices.items() if price > 0}
    near = {code for code, price in tied.items() if abs(solved.get(code, price) - price) <= price * _NOISE}
    exact = solved | {code: tied[code] for code in near}
    free = [offer for offer in loose if (offer.maker, offer.sell) not in spent]
    _leave_no_bargain(free, exact, None, raises=raises)
    if turning:
        passed = {code for leg in legs for code in (leg.sell, leg.buy)}
        _leave_no_bargain([*(room.offer for room in turning), *free], exact, passed, raises=raises)
    return exact


def _is_spent(units: int, most_units: int) -> bool:
    """Whether it is all gone, but for what rounding left."""
    return most_units - units <= min(_ROUNDED_UNITS, most_units // 1_000_000)


def _tied(offers: Iterable[Offer], spent: Set[tuple[str, str]], anchors: Prices) -> dict[str, Fraction]:
    """What the anchors' prices say of the currencies that the offers join to them.

    Where a maker's inventory is spent, its offers share a price of their own, below that of the currency sold.
    """
    joined: defaultdict[str | tuple[str, str], list[tuple[str | tuple[str, str], Fraction]]] = defaultdict(list)
    for offer in offers:
        owner = (offer.maker, offer.sell)
        sold = owner if owner in spent else offer.sell
        price = Fraction(offer.buy_units, offer.sell_units_max)
        joined[offer.buy].append((sold, price))
        joined[sold].append((offer.buy, 1 / price))
    exact: dict[str | tuple[str, str], Fraction] = {code: price for code, price in anchors.items()}
    waiting = deque(exact)
    while waiting:
        node = waiting.popleft()
        for other, price in joined[node]:
            if other not in exact:
                exact[other] = exact[node] * price
                waiting.append(other)
    return {node: price for node, price in exact.items() if isinstance(node, str)}


def _leave_no_bargain(
    offers: Sequence[Offer], prices: dict[str, Fraction], passed: Set[str] | None, *, raises: bool
) -> None:
    """Move prices until no offer is worth more than it costs: by noise only, or freely where no leg passes."""
    known = [one for one in offers if one.sell in prices and one.buy in prices]
    for _ in range(_ROUNDS_MAX):
        is_moved = False
        for one in known:
            sell, buy = prices[one.sell], prices[one.buy]
            gain = sell * one.sell_units_max - buy * one.buy_units
            is_free = passed is not None and one.sell not in passed
            if gain > 0 and (is_free or gain <= sell * one.sell_units_max * _NOISE):
                is_moved = True
                if raises:
                    prices[one.buy] = -_down(-sell * one.sell_units_max / one.buy_units)
                else:
                    prices[one.sell] = _down(buy * one.buy_units / one.sell_units_max)
        if not is_moved:
            return


def _down(price: Fraction) -> Fraction:
    """The price, a hair lower, as a fraction that does not grow with each step."""
    shift = _BITS - price.numerator.bit_length() + price.denominator.bit_length()
    if max(price.numerator.bit_length(), price.denominator.bit_length()) <= _BITS:
        return price
    scaled = price * 2**shift if shift >= 0 else price / 2**-shift
    return Fraction(scaled.numerator // scaled.denominator) / Fraction(2) ** shift
