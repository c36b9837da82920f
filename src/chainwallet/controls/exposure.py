"""Limits of exposure: how much makers may have promised that is not settled yet, by currency and by maker.

What a maker has promised is what of its money is held for accepted payments. If it cannot deliver, or the currency
cannot be had, that is what is open; so it is limited before it is promised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sqlmodel import Session

from chainwallet.controls.corridors.document import ExposureData
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket

EVERYONE_ELSE = "*"
_LOCK = 0x6578706F  # "expo": where there are limits, one transaction at a time adds to what is promised

Promises = Mapping[tuple[str, str], int]
"""Units by (maker's customer id, currency)."""


@dataclass(frozen=True, slots=True)
class ExposureLimits:
    """The most that may be promised, each worth so much at mid."""

    by_currency: Mapping[str, Money]
    by_maker: Mapping[str, Money]

    @classmethod
    def of(cls, data: ExposureData) -> ExposureLimits:
        return cls(
            {code: limit.money for code, limit in data.by_currency.items()},
            {maker: limit.money for maker, limit in data.by_maker.items()},
        )

    def __bool__(self) -> bool:
        return bool(self.by_currency or self.by_maker)

    def maker_limit(self, maker: str) -> Money | None:
        return self.by_maker.get(maker, self.by_maker.get(EVERYONE_ELSE))

    def left_units(
        self, keys: Iterable[tuple[str, str]], promised: Promises, mids: MidMarket
    ) -> dict[tuple[str, str], int]:
        """How much more each maker may promise of each currency; keys without a limit are absent."""
        by_maker, by_currency = _worth(promised, self, mids)
        left = {}
        for maker, code in keys:
            rooms = [
                (limit.units - worth[key]) * mids.mid(limit.code, code)
                for limit, worth, key in (
                    (self.maker_limit(maker), by_maker, maker),
                    (self.by_currency.get(code), by_currency, code),
                )
                if limit is not None
            ]
            if rooms:
                room = max(min(rooms), Fraction(0))
                left[maker, code] = room.numerator // room.denominator
        return left

    def first_exceeded(self, more: Promises, promised: Promises, mids: MidMarket) -> str | None:
        """The maker or the currency whose limit `more` would exceed; None where none would be.

        A limit that is exceeded already, because mid moved or it was lowered, refuses only what adds to it.
        """
        total = defaultdict(int, promised)
        for key, units in more.items():
            total[key] += units
        by_maker, by_currency = _worth(total, self, mids)
        for maker in sorted({maker for maker, _ in more}):
            limit = self.maker_limit(maker)
            if limit is not None and by_maker[maker] > limit.units:
                return maker
        for code in sorted({code for _, code in more}):
            if code in self.by_currency and by_currency[code] > self.by_currency[code].units:
                return code
        return None


def _worth(
    promised: Promises, limits: ExposureLimits, mids: MidMarket
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    """What is promised by maker and by currency, each in its limit's currency, exact."""
    by_maker: dict[str, Fraction] = defaultdict(Fraction)
    by_currency: dict[str, Fraction] = defaultdict(Fraction)
    for (maker, code), units in promised.items():
        limit = limits.maker_limit(maker)
        if limit is not None:
            by_maker[maker] += units * mids.mid(code, limit.code)
        if code in limits.by_currency:
            by_currency[code] += units * mids.mid(code, limits.by_currency[code].code)
    return by_maker, by_currency


def promised_units(session: Session, *, alone: bool = False) -> dict[tuple[str, str], int]:
    """What makers have promised and not delivered. `alone`: nobody else adds to it until this transaction ends.

    Take that lock after those of accounts, as the last one.
    """
    connection = session.connection()
    if alone:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    rows = connection.exec_driver_sql(
        """SELECT a.owner_id, a.currency, a.held_units FROM account a JOIN customer c ON c.id = a.owner_id
           WHERE c.type = 'maker' AND a.kind = 'customer' AND a.held_units > 0"""
    )
    return {(maker, code): int(units) for maker, code, units in rows}
