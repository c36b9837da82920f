"""What the market is about: offers, the book of them, payments to clear, and the legs that answer.

Amounts are units (1e-6 of a currency unit). A leg is seen from the payer's side of the table: the maker
gives `sold_units` of `sell` and gets `bought_units` of `buy`, never less than its price, rounded up. The
settlement contract computes the same integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Offer:
    """A maker's signed quote: up to `sell_units_max` of `sell` at `buy_units` of `buy` for all of it.

    `sell_units_left` is what earlier fills have left of it.
    """

    id: str
    maker: str
    sell: str
    buy: str
    sell_units_max: int
    buy_units: int
    sell_units_left: int

    def __post_init__(self) -> None:
        if self.sell == self.buy or self.sell_units_max < 1 or self.buy_units < 1:
            raise ValueError(f"offer {self.id}: two different currencies and positive amounts are needed")
        if not 0 <= self.sell_units_left <= self.sell_units_max:
            raise ValueError(f"offer {self.id}: what is left lies outside what was offered")

    def bought_up(self, sold_units: int) -> int:
        """What the maker gets for `sold_units`, rounded up (the contract's formula)."""
        return -(-sold_units * self.buy_units // self.sell_units_max)

    def sold_down(self, bought_units: int) -> int:
        """The most the maker gives for at most `bought_units`: the largest x with bought_up(x) <= bought_units."""
        return bought_units * self.sell_units_max // self.buy_units

    def leg(self, sold_units: int) -> Leg:
        return Leg(self.id, self.maker, self.sell, sold_units, self.buy, self.bought_up(sold_units))


@dataclass(frozen=True, slots=True)
class Book:
    """An immutable snapshot of every open offer.

    `inventory_units[(maker, currency)]` is what a maker can still sell of a currency over all its offers
    together, normally its position on chain. A maker that is not listed has nothing to sell.
    """

    version: int
    offers: tuple[Offer, ...]
    inventory_units: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Leg:
    """One offer, filled: the maker gives `sold_units` of `sell` and gets `bought_units` of `buy`."""

    offer_id: str
    maker: str
    sell: str
    sold_units: int
    buy: str
    bought_units: int


@dataclass(frozen=True, slots=True)
class Route:
    """How one payment goes through the book: `source_units` leave, `target_units` arrive, `legs` between.

    `prices`, known when the programme was solved for it: the marginal price of each currency on the way,
    in units of `source`. `bound`, known then too: the programme's optimum before rounding, in units of the
    side that was not fixed.
    """

    source: str
    target: str
    source_units: int
    target_units: int
    legs: tuple[Leg, ...]
    prices: Mapping[str, float] | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class OrderFlow:
    """What a signed payment order does to the pool: `source_units` go in, `target_units` come out.

    Orders of one `lane` (a payer and source currency: one nonce sequence on chain) settle in the order
    given or not at all: when one is set aside, so are the later ones. `age_s` and `priority` matter to the
    objective, `payer` and `payee` where positions are limited (the banks that pay and are paid).
    """

    id: str
    source: str
    source_units: int
    target: str
    target_units: int
    lane: str | None = None
    age_s: int = 0
    priority: int = 0
    payer: str | None = None
    payee: str | None = None

    def __post_init__(self) -> None:
        if self.source_units < 1 or self.target_units < 1:
            raise ValueError(f"order {self.id}: positive amounts are needed")


@dataclass(frozen=True, slots=True)
class Objective:
    """What a batch is to settle when it cannot settle everything: the most of this, over all orders.

    An order counts what it is worth at mid, times (1 + its age in days * `age_gain_a_day`), times
    `priority_factor` to the power of its priority.
    """

    age_gain_a_day: float = 1.0
    priority_factor: float = 10.0

    def score(self, order: OrderFlow, worth: float) -> float:
        """What settling the order, worth so much at mid, counts."""
        return float(worth * (1.0 + order.age_s / 86_400 * self.age_gain_a_day) * self.priority_factor**order.priority)


class SetAside(StrEnum):
    """Why a payment does not settle in this batch."""

    NO_ROUTE = "no_route"  # no quotes lead from its source to its target
    PRICE = "price"  # at the best price in the book its source does not pay for its target
    LIQUIDITY = "liquidity"  # the quotes that would fund it are used up or too small
    POSITION = "position"  # its payer would owe more than its position allows
    LANE = "lane"  # an earlier order of its lane is set aside


@dataclass(frozen=True, slots=True)
class Clearing:
    """The answer for a batch: what each maker is asked for, what is left over, and who waits.

    `prices` are the duals: the marginal value of one unit of each currency, in the weights' currency.
    `value` is what the surplus is worth at the weights; `bound` the programme's optimum before rounding
    (None where no programme had to be solved). `score` is what the settled orders count by the objective, where
    some are set aside, and `score_bound` what no choice of orders exceeds.
    """

    fills: tuple[Leg, ...]
    surplus_units: Mapping[str, int]
    settled: tuple[str, ...]
    set_aside: Mapping[str, SetAside]
    prices: Mapping[str, float] = field(default_factory=dict)
    value: float = 0.0
    bound: float | None = None
    score: float | None = None
    score_bound: float | None = None
