"""What of a book may be used: quotes near mid, and of each maker and currency no more than the limits leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chainwallet.market.errors import MarketNoMid
from chainwallet.market.model import Book, Offer
from chainwallet.market.rates import MidMarket

BPS = 10_000


def near_mid(book: Book, mids: MidMarket, *, deviation_bps_max: int) -> Book:
    """The book without the offers whose price lies further than that from mid, on either side.

    One that is too good is as suspect as one that is too dear: a slip of a maker's, or a rate that has moved and is
    not known here yet. What cannot be measured, because the fixing lacks a currency, is left out too.
    """
    fair: dict[tuple[str, str], tuple[int, int] | None] = {}
    kept = []
    for offer in book.offers:
        pair = (offer.sell, offer.buy)
        if pair not in fair:
            fair[pair] = _mid(mids, offer)
        mid = fair[pair]
        if mid is not None:
            due, asked = offer.sell_units_max * mid[0], offer.buy_units * mid[1]
            if abs(asked - due) * BPS <= deviation_bps_max * due:
                kept.append(offer)
    return book if len(kept) == len(book.offers) else replace(book, offers=tuple(kept))


def within_stock(book: Book, stock_units: Mapping[tuple[str, str], int]) -> Book:
    """The book with at most `stock_units` of each (maker, currency) that it names to be sold."""
    inventory = dict(book.inventory_units)
    for key, units in stock_units.items():
        if units < inventory.get(key, 0):
            inventory[key] = max(units, 0)
    return book if inventory == book.inventory_units else replace(book, inventory_units=inventory)


def _mid(mids: MidMarket, offer: Offer) -> tuple[int, int] | None:
    try:
        return mids.mid(offer.sell, offer.buy).as_integer_ratio()
    except MarketNoMid:
        return None
