"""A book as arrays: one column of the programme per offer that can still sell something."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chainwallet.market.model import Book, Offer

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Column q sells currency `sell[q]`, buys `buy[q]`, up to `cap_units[q]` of what it sells.

    `price[q]` is what it buys per unit that it sells. `group[q]` is the row of `group_units` that it shares
    with the maker's other offers of the same currency, or -1 where that inventory cannot bind.
    """

    codes: tuple[str, ...]
    index: dict[str, int]
    offers: tuple[Offer, ...]
    cap_units: tuple[int, ...]
    group_units: tuple[int, ...]
    sell: Ints
    buy: Ints
    group: Ints

    @cached_property
    def price(self) -> Floats:
        return np.array([offer.buy_units / offer.sell_units_max for offer in self.offers], dtype=np.float64)

    @cached_property
    def cap(self) -> Floats:
        return np.array(self.cap_units, dtype=np.float64)

    def scaled_limits(self, scale: Floats, spare_units: int = 0) -> Floats:
        """The inventory rows' upper bounds, at `scale` units of the programme per unit of each currency."""
        limits = np.array(self.group_units, dtype=np.float64)
        limits -= np.minimum(spare_units, limits // 1_000)
        return limits * scale[self.group_sell] if self.group_units else limits

    @cached_property
    def sell_of(self) -> list[int]:
        return list(self.sell.tolist())

    @cached_property
    def buy_of(self) -> list[int]:
        return list(self.buy.tolist())

    @cached_property
    def group_sell(self) -> list[int]:
        """The currency of each inventory row."""
        sold = dict(zip(self.group_of, self.sell_of, strict=True))
        return [sold[group] for group in range(len(self.group_units))]

    @cached_property
    def group_of(self) -> list[int]:
        return list(self.group.tolist())


def columns_of(book: Book, more_codes: Iterable[str] = ()) -> Columns:
    """The columns of a book. Offers that can sell nothing are left out; `more_codes` are given rows as well."""
    offers, stock = book.offers, book.inventory_units
    owners = [(offer.maker, offer.sell) for offer in offers]
    have = [stock.get(owner, 0) for owner in owners]
    caps = [min(offer.sell_units_left, units) for offer, units in zip(offers, have, strict=True)]
    if min(caps, default=1) <= 0:
        kept = [column for column, units in enumerate(caps) if units > 0]
        offers = tuple([offers[column] for column in kept])
        owners, caps = [owners[column] for column in kept], [caps[column] for column in kept]
    sold, bought = [offer.sell for offer in offers], [offer.buy for offer in offers]
    names = tuple(sorted({*more_codes, *sold, *bought}))
    index = {code: row for row, code in enumerate(names)}
    group, limits = _binding_groups(owners, caps, stock)
    return Columns(
        codes=names,
        index=index,
        offers=offers,
        cap_units=tuple(caps),
        group_units=limits,
        sell=np.array([index[code] for code in sold], dtype=np.int32),
        buy=np.array([index[code] for code in bought], dtype=np.int32),
        group=group,
    )


def _binding_groups(
    owners: list[tuple[str, str]], caps: list[int], stock: Mapping[tuple[str, str], int]
) -> tuple[Ints, tuple[int, ...]]:
    """A row for each inventory that is smaller than what the offers drawing on it promise together."""
    promised: defaultdict[tuple[str, str], int] = defaultdict(int)
    for owner, units in zip(owners, caps, strict=True):
        promised[owner] += units
    binding = [owner for owner, units in promised.items() if units > stock[owner]]
    row = {owner: number for number, owner in enumerate(binding)}
    group = np.array([row.get(owner, -1) for owner in owners], dtype=np.int32)
    return group, tuple([stock[owner] for owner in binding])
