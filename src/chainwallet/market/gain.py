"""Who gets what netting saves: one rule, exact, the same for everyone in a batch.

Each customer was charged a spread: what the makers on the payment's own route would have earned at mid. Cleared
together, the payments pay makers less. The difference is the batch's gain. A stated part of it is given back to the
customers, in proportion to the spread that each was charged, another to the makers, in proportion to what each filled;
the treasury keeps the rest, and every rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from chainwallet.market.clearing import clear
from chainwallet.market.model import Book, Clearing, Leg, OrderFlow
from chainwallet.market.rates import Fixing, MidMarket

BPS = 10_000
UNITS_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class GainRule:
    """Parts of the gain in basis points; what neither customers nor makers get is the treasury's.

    `least_units(code)`: a share below that many units of a currency is not paid out. One above UNITS_MAX is cut there.
    """

    customers_bps: int
    makers_bps: int
    least_units: Callable[[str], int] = lambda _code: 1

    def __post_init__(self) -> None:
        if min(self.customers_bps, self.makers_bps) < 0 or self.customers_bps + self.makers_bps > BPS:
            raise ValueError("customers' and makers' parts are zero or more and together at most 10,000")


@dataclass(frozen=True, slots=True)
class Charged:
    """What a payment was charged when it was priced, in units of its source currency: spread, and fee."""

    id: str
    source: str
    spread_units: int
    fee_units: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What netting saved, in the weights' currency, and who gets it: units by payment, and by offer.

    A payment's share is in its source currency, an offer's in the currency that its maker buys.
    """

    value: Fraction
    payments: Mapping[str, int]
    offers: Mapping[str, int]

    def wanted_units(self, charged: Sequence[Charged], fills: Sequence[Leg]) -> dict[str, int]:
        """Of each currency what all shares together take."""
        sources, bought = {one.id: one.source for one in charged}, {leg.offer_id: leg.buy for leg in fills}
        wanted: Counter[str] = Counter()
        for payment, units in self.payments.items():
            wanted[sources[payment]] += units
        for offer, units in self.offers.items():
            wanted[bought[offer]] += units
        return dict(wanted)


NO_GAIN = Gain(Fraction(0), {}, {})


def spread_units(legs: Sequence[Leg], source: str, fixing: Fixing) -> int:
    """What the makers of a route earn at mid, in units of `source`, rounded down; zero if negative or without a mid."""
    net: Counter[str] = Counter()
    for leg in legs:
        net[leg.buy] += leg.bought_units
        net[leg.sell] -= leg.sold_units
    if not {source, *net} <= fixing.rates.keys():
        return 0
    earned = sum((units / fixing.rates[code] for code, units in net.items() if units), Fraction(0))
    return max(0, int(earned * fixing.rates[source]))


def share_gain(
    charged: Sequence[Charged],
    fills: Sequence[Leg],
    surplus_units: Mapping[str, int],
    weights: Mapping[str, Fraction],
    rule: GainRule,
    *,
    within_surplus: bool = True,
) -> Gain:
    """The gain of a batch and everyone's share, in whole units, rounded down.

    The gain is the spreads charged, less what makers earn from `fills`; never below zero, never more than the spreads,
    nor than what `surplus_units` is worth beyond the fees. `within_surplus`: where a currency has less left over than
    its shares would take, all customers' shares, or all makers', are scaled by one factor until they fit, customers'
    first; otherwise shares are what they would be if each currency had enough.
    """
    spreads = {one.id: one.spread_units * weights[one.source] for one in charged}
    all_spreads = sum(spreads.values(), Fraction(0))
    earned = max(Fraction(0), sum((_earned(leg, weights) for leg in fills), Fraction(0)))
    left = sum((units * weights[code] for code, units in surplus_units.items()), Fraction(0))
    fees = sum((one.fee_units * weights[one.source] for one in charged), Fraction(0))
    value = max(Fraction(0), min(all_spreads - earned, left - fees))
    if not value:
        return NO_GAIN
    improvement = value * rule.customers_bps / (BPS * all_spreads)
    filled = {leg.offer_id: Fraction(0) for leg in fills}
    for leg in fills:
        filled[leg.offer_id] += leg.sold_units * weights[leg.sell]
    rebate = value * rule.makers_bps / (BPS * sum(filled.values(), Fraction(0))) if filled else Fraction(0)
    room = dict(surplus_units) if within_surplus else None
    payments = _parts({one.id: (one.source, one.spread_units * improvement) for one in charged}, room, rule)
    bought = {leg.offer_id: leg.buy for leg in fills}
    due = {offer: (bought[offer], worth * rebate / weights[bought[offer]]) for offer, worth in filled.items()}
    return Gain(value, payments, _parts(due, room, rule))


def keep_for_shares(
    book: Book,
    flows: Sequence[OrderFlow],
    cleared: Clearing,
    charged: Sequence[Charged],
    mids: MidMarket,
    rule: GainRule,
) -> tuple[Clearing, Gain]:
    """A clearing that leaves over what the shares take in their currencies, where there is one; and the shares.

    `cleared` settles all `flows`. It keeps its surplus where that is worth most, which is seldom where the payers'
    money is; where that lacks, the batch is cleared once more with what the shares take kept back. Where makers cannot
    provide for it, the first clearing stands, and shares are scaled to it. Without a mid for a currency nobody shares.
    """
    weights = mids.weights()
    named = {code for flow in flows for code in (flow.source, flow.target)} | {leg.buy for leg in cleared.fills}
    if not named | {leg.sell for leg in cleared.fills} <= weights.keys():
        return cleared, NO_GAIN
    wished = share_gain(charged, cleared.fills, cleared.surplus_units, weights, rule, within_surplus=False)
    wanted = wished.wanted_units(charged, cleared.fills)
    if any(units > cleared.surplus_units.get(code, 0) for code, units in wanted.items()):
        cleared = _clear_keeping(book, flows, wanted, mids) or cleared
    if not {code for leg in cleared.fills for code in (leg.buy, leg.sell)} <= weights.keys():
        return cleared, NO_GAIN
    return cleared, share_gain(charged, cleared.fills, cleared.surplus_units, weights, rule)


def _clear_keeping(
    book: Book, flows: Sequence[OrderFlow], kept_units: Mapping[str, int], mids: MidMarket
) -> Clearing | None:
    """A clearing in which at least so much is left over; None if not everybody would settle."""
    # What is kept is a payment of the batch to itself: it goes out, and is left over.
    kept = [OrderFlow(f"kept/{code}", code, 1, code, units + 1) for code, units in sorted(kept_units.items())]
    again = clear(book, [*flows, *kept], mids)
    if again.set_aside:
        return None
    surplus = Counter(again.surplus_units)
    surplus.update(kept_units)
    worth = mids.weights()
    value = float(sum(units * worth[code] for code, units in kept_units.items()))
    return replace(
        again,
        surplus_units=dict(surplus),
        settled=tuple(flow.id for flow in flows),
        value=again.value + value,
        bound=None if again.bound is None else again.bound + value,
    )


def _earned(leg: Leg, weights: Mapping[str, Fraction]) -> Fraction:
    return leg.bought_units * weights[leg.buy] - leg.sold_units * weights[leg.sell]


def _parts(due: Mapping[str, tuple[str, Fraction]], room: dict[str, int] | None, rule: GainRule) -> dict[str, int]:
    """Each part scaled alike to what room there is, in whole units, where that is worth paying; room is taken."""
    needed: dict[str, Fraction] = {}
    for code, part in due.values():
        needed[code] = needed.get(code, Fraction(0)) + part
    scale = Fraction(1)
    if room is not None:
        scale = min((Fraction(room.get(code, 0)) / need for code, need in needed.items() if need), default=scale)
        scale = min(scale, Fraction(1))
    found = {name: (code, min(int(part * scale), UNITS_MAX)) for name, (code, part) in due.items()}
    kept = {name: units for name, (code, units) in found.items() if units >= max(1, rule.least_units(code))}
    if room is not None:
        for name, units in kept.items():
            room[found[name][0]] -= units
    return kept
