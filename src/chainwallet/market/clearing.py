"""Clearing: opposite payments meet, and makers are asked only for what is left over.

The programme (docs/market.md): choose fills within caps and inventories so that no currency runs short, and
the surplus is worth the most at mid. Its vertex is then made exact (repair.py). What is returned has passed
`verify_clearing`, whatever happened on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chainwallet.market.columns import columns_of
from chainwallet.market.imbalance import Funded, Imbalance, net_units
from chainwallet.market.model import Book, Clearing, Leg, OrderFlow, SetAside
from chainwallet.market.pool import fill_up, reasons, take_in_order
from chainwallet.market.residual import Residual
from chainwallet.market.selection import select
from chainwallet.market.verification import verify_clearing
from chainwallet.market.weighing import Weights, weigh

_SELECTIONS_MAX = 8


def clear(book: Book, orders: Sequence[OrderFlow], weights: Weights) -> Clearing:
    """Settle as many of the orders as the book can fund; ask makers for the imbalance only.

    Orders are given in the order of their acceptance. Those that cannot be funded are set aside with a
    reason; never does an order overtake an earlier one of its lane. Deterministic. All amounts are exact
    integers: `fills` at the makers' prices rounded up, `surplus_units` zero or more in every currency.
    `weights`: mid-market prices; those of currencies they lack are taken from the book.
    """
    everyone = [order.id for order in orders]
    if len(set(everyone)) != len(everyone):
        raise ValueError("two orders of a batch have the same id")
    net = net_units(orders)
    columns = columns_of(book, net)
    imbalance = Imbalance(columns, weigh(columns, weights))
    funded = imbalance.fund(net)
    settled: tuple[str, ...] = tuple(everyone)
    aside: dict[str, SetAside] = {}
    if funded is None:
        funded, some = _fund_some(imbalance, orders)
        settled = tuple(id_ for id_ in everyone if id_ in some)
        aside = reasons(funded.residual, orders, some) if len(some) < len(everyone) else {}
    surplus = {code: units for code, units in zip(columns.codes, funded.residual.surplus_units, strict=True) if units}
    clearing = Clearing(
        fills=funded.residual.legs(),
        surplus_units=surplus,
        settled=settled,
        set_aside=aside,
        prices=dict(zip(columns.codes, funded.prices.tolist(), strict=True)),
        value=sum(float(units) * float(imbalance.weights[columns.index[code]]) for code, units in surplus.items()),
        bound=funded.bound,
    )
    verify_clearing(book, orders, clearing)
    return clearing


def _fund_some(imbalance: Imbalance, orders: Sequence[OrderFlow]) -> tuple[Funded, set[str]]:
    """The optimal choice where it holds in integers, filled up one by one with those that still fit."""
    chosen: Sequence[OrderFlow] = orders
    funded: Funded | None = None
    for _ in range(_SELECTIONS_MAX):
        smaller = select(imbalance.columns, imbalance.weights, chosen)
        if len(smaller) == len(chosen):
            break  # the programme would settle them all; only the last units are missing
        chosen = smaller
        funded = imbalance.fund(net_units(chosen))
        if funded is not None:
            break
    if funded is None:
        funded = Funded(Residual(imbalance.columns), imbalance.weights, None)
        return funded, take_in_order(funded.residual, orders)
    settled = fill_up(funded.residual, orders, {order.id for order in chosen})
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
