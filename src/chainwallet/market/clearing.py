"""Clearing: opposite payments meet, and makers are asked only for what is left over.

The programme (docs/market.md): choose fills within caps and inventories so that no currency runs short, and
the surplus is worth the most at mid. Its vertex is then made exact (repair.py). What is returned has passed
`verify_clearing`, whatever happened on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chainwallet.market.columns import columns_of
from chainwallet.market.imbalance import Funded, Imbalance, net_units
from chainwallet.market.model import Book, Clearing, Leg, Objective, OrderFlow
from chainwallet.market.pool import fill_up, reasons, take_in_order
from chainwallet.market.positions import Limits, Positions
from chainwallet.market.residual import Residual
from chainwallet.market.selection import Selection
from chainwallet.market.verification import verify_clearing
from chainwallet.market.weighing import Weights, weigh

_SELECTIONS_MAX = 8
_PATIENCE = 1e-6  # the part of its score that an order may lose to an equal, earlier one
_VALUE = Objective()


def clear(
    book: Book,
    orders: Sequence[OrderFlow],
    weights: Weights,
    *,
    objective: Objective = _VALUE,
    positions: Limits | None = None,
) -> Clearing:
    """Settle all of the orders or, where they cannot be funded, the best choice; ask makers for the imbalance only.

    Orders are given in the order of their acceptance. Those that cannot be funded are set aside with a
    reason; never does an order overtake an earlier one of its lane. Deterministic. All amounts are exact
    integers: `fills` at the makers' prices rounded up, `surplus_units` zero or more in every currency.
    `weights`: mid-market prices; those of currencies they lack are taken from the book. `objective`: what makes one
    choice better than another. `positions`: how much more (participant, currency) may pay than it is paid.
    """
    everyone = [order.id for order in orders]
    if len(set(everyone)) != len(everyone):
        raise ValueError("two orders of a batch have the same id")
    net = net_units(orders)
    columns = columns_of(book, net)
    imbalance = Imbalance(columns, weigh(columns, weights))
    limits = positions or {}
    funded = imbalance.fund(net) if _are_held(limits, orders) else None
    chosen: _Chosen | None = None
    if funded is None:
        chosen = _fund_some(imbalance, orders, objective, limits)
        funded = chosen.funded
    surplus = {code: units for code, units in zip(columns.codes, funded.residual.surplus_units, strict=True) if units}
    clearing = Clearing(
        fills=funded.residual.legs(),
        surplus_units=surplus,
        settled=tuple(everyone if chosen is None else (id_ for id_ in everyone if id_ in chosen.settled)),
        set_aside={} if chosen is None else reasons(funded.residual, orders, chosen.settled, Positions(limits)),
        prices=dict(zip(columns.codes, funded.prices.tolist(), strict=True)),
        value=sum(float(units) * float(imbalance.weights[columns.index[code]]) for code, units in surplus.items()),
        bound=funded.bound,
        score=None if chosen is None else chosen.score,
        score_bound=None if chosen is None else chosen.score_bound,
    )
    verify_clearing(book, orders, clearing, limits)
    return clearing


def _are_held(limits: Limits, orders: Sequence[OrderFlow]) -> bool:
    positions = Positions(limits)
    positions.take(orders)
    return not positions.exceeded()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A choice that is funded exactly."""

    funded: Funded
    settled: set[str]
    score: float
    score_bound: float


def _fund_some(imbalance: Imbalance, orders: Sequence[OrderFlow], objective: Objective, limits: Limits) -> _Chosen:
    """The best of what the relaxation and the search choose, each filled up with the orders that still fit."""
    selection = Selection(imbalance.columns, imbalance.weights, objective, Positions(limits))
    relaxed = selection.relaxed(orders)
    searched = selection.chosen(orders)
    bound = min(relaxed.score_max, searched.score_max) if searched is not None else relaxed.score_max
    found = [_fund_choice(imbalance, selection, orders, relaxed.orders, limits)]
    if searched is not None:
        found.append(_fund_choice(imbalance, selection, orders, searched.orders, limits))
    funded, settled = max(found, key=lambda one: selection.score([order for order in orders if order.id in one[1]]))
    score = selection.score([order for order in orders if order.id in settled])
    return _Chosen(funded, settled, score, max(score, bound / (1.0 - _PATIENCE)))


def _fund_choice(
    imbalance: Imbalance, selection: Selection, orders: Sequence[OrderFlow], chosen: Sequence[OrderFlow], limits: Limits
) -> tuple[Funded, set[str]]:
    """The choice where it holds in integers, or a smaller one, filled up one by one with those that still fit."""
    funded: Funded | None = None
    for _ in range(_SELECTIONS_MAX):
        funded = imbalance.fund(net_units(chosen)) if _are_held(limits, chosen) else None
        smaller = selection.relaxed(chosen).orders if funded is None and chosen else chosen
        if funded is not None or len(smaller) == len(chosen):
            break  # the programme would settle them all; only the last units are missing
        chosen = smaller
    positions = Positions(limits)
    if funded is None:
        funded = Funded(Residual(imbalance.columns), imbalance.weights, None)
        return funded, take_in_order(funded.residual, orders, positions)
    positions.take(chosen)
    settled = fill_up(funded.residual, orders, {order.id for order in chosen}, positions)
    # where more settle than the programme was solved for, its optimum is not theirs
    return (funded if len(settled) == len(chosen) else replace(funded, bound=None)), settled


def clear_alone(book: Book, orders: Sequence[OrderFlow]) -> tuple[Leg, ...]:
    """What the same orders would take from makers if each settled alone, one after another, nothing netted.

    The counterfactual that netting is measured against: each order goes along the best paths that have room
    left, makers are paid fill by fill. Orders that the room cannot fund are skipped.
    """
    traded = {code for order in orders for code in (order.source, order.target)}
    residual = Residual(columns_of(book, traded))
    index = residual.columns.index
    fills: list[Leg] = []
    for order in orders:
        residual.begin()
        residual.add(order.target, -order.target_units)
        if order.source == order.target or residual.cover(index[order.target], index[order.source], on_credit=True):
            fills.extend(residual.close())
        else:
            residual.rollback()
            residual.add(order.target, order.target_units)
    return tuple(fills)
