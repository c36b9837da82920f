"""What one unit of each currency is worth: the weights that make currencies comparable in a programme."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from chainwallet.market.columns import Columns, Floats
from chainwallet.market.rates import MidMarket

Weights = MidMarket | Mapping[str, Fraction] | Mapping[str, float]


def weigh(columns: Columns, weights: Weights) -> Floats:
    """The weight of each currency of the book, in its order.

    A currency without one gets what the book itself says: its price in the first offer that joins it to a
    currency that has one. One that no offer joins weighs 1; nothing can be exchanged for it anyway.
    """
    given = weights.weights() if isinstance(weights, MidMarket) else weights
    known = {code: float(given[code]) for code in columns.codes if code in given}
    if len(known) < len(columns.codes):
        _derive(columns, known)
    return np.array([known.get(code, 1.0) for code in columns.codes], dtype=np.float64)


def _derive(columns: Columns, known: dict[str, float]) -> None:
    """Spread known weights along offers until nothing new is reached."""
    grew = True
    while grew:
        grew = False
        for offer in columns.offers:
            price = offer.buy_units / offer.sell_units_max
            if offer.buy in known and offer.sell not in known:
                known[offer.sell] = known[offer.buy] * price
            elif offer.sell in known and offer.buy not in known:
                known[offer.buy] = known[offer.sell] / price
            else:
                continue
            grew = True
        if not grew and not known and columns.codes:
            known[columns.codes[0]], grew = 1.0, True
