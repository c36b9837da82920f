"""The currencies the service trades: those with a reference rate today, and EUR."""

from __future__ import annotations

from chainwallet.kit.money import Currency, currency
from chainwallet.market.rates import Fixing


def traded_currencies(fixing: Fixing) -> tuple[Currency, ...]:
    """The currencies of the fixing, EUR among them, in alphabetical order."""
    return tuple(currency(code) for code in sorted(fixing.rates))


def is_traded(fixing: Fixing, code: str) -> bool:
    """Whether payments in this currency can be priced against mid."""
    return code in fixing.rates
