"""Money: integers of 1e-6 of a currency unit ("units"), and the ISO 4217 currencies they are in.

The scale is that of the tokens on chain, so that books and chain hold the same integers. People see
and send amounts in the currency's minor unit (ISO 4217 table A.1: two digits for EUR, none for JPY).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Self

from iso4217 import Currency as Iso4217

from chainwallet.kit.errors import ChainwalletError

UNITS_PER_CURRENCY_UNIT = 1_000_000
UNIT_DIGITS = 6
MAX_UNITS = 10**24  # 1e18 currency units: far above any real amount, far below uint128 and numeric(38,0)

_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.([0-9]{1,6}))?", re.ASCII)


class UnknownCurrency(ChainwalletError):
    code = "MONEY_UNKNOWN_CURRENCY"
    status = 422


class InvalidAmount(ChainwalletError):
    code = "MONEY_INVALID_AMOUNT"
    status = 422


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency: `code` EUR, `id` 978 (the numeric code, used on chain), `minor_digits` 2."""

    code: str
    id: int
    minor_digits: int
    name: str

    @property
    def minor_units(self) -> int:
        """How many units one minor unit (a cent) is: 10_000 for EUR, 1_000_000 for JPY."""
        return int(10 ** (UNIT_DIGITS - self.minor_digits))


@cache
def _currencies() -> dict[str, Currency]:
    return {
        iso.code: Currency(iso.code, iso.number, iso.exponent, iso.currency_name)
        for iso in Iso4217
        if iso.number is not None and iso.exponent is not None and iso.exponent <= UNIT_DIGITS
    }


@cache
def _currencies_by_id() -> dict[int, Currency]:
    return {currency.id: currency for currency in _currencies().values()}


def currency(code: str) -> Currency:
    """The currency with this ISO 4217 alphabetic code; UnknownCurrency otherwise."""
    found = _currencies().get(code)
    if found is None:
        raise UnknownCurrency(f"'{code[:16]}' is not an ISO 4217 currency code; use three capital letters such as EUR.")
    return found


def currency_by_id(currency_id: int) -> Currency:
    """The currency with this ISO 4217 numeric code; UnknownCurrency otherwise."""
    found = _currencies_by_id().get(currency_id)
    if found is None:
        raise UnknownCurrency(f"{currency_id} is not an ISO 4217 numeric currency code.")
    return found


@dataclass(frozen=True, slots=True)
class Money:
    """`units` (1e-6 of a currency unit) of the currency `code`."""

    code: str
    units: int

    @classmethod
    def parse(cls, code: str, value: str, *, may_be_zero: bool = False) -> Self:
        """The amount that a person or a bank wrote, such as ("EUR", "100.00").

        Accepts ASCII digits with at most the currency's minor digits after one point; refuses signs,
        exponents, leading zeros, other scripts' digits and, unless it may be, zero itself (InvalidAmount).
        """
        iso = currency(code)
        match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise InvalidAmount(
                'An amount is a string of plain digits with a point, such as "100.00": no sign, no '
                "exponent, no grouping, at most 18 digits before the point."
            )
        fraction = match.group(1) or ""
        if len(fraction) > iso.minor_digits:
            raise InvalidAmount(
                f"{code} has {iso.minor_digits} decimal digits; '{value}' has {len(fraction)}. "
                f"Round the amount to {iso.minor_digits} digits."
            )
        units = int(value.partition(".")[0]) * UNITS_PER_CURRENCY_UNIT + int(fraction.ljust(UNIT_DIGITS, "0"))
        if units == 0 and not may_be_zero:
            raise InvalidAmount("The amount is zero; send more than nothing.")
        return cls(code, units)

    @property
    def value(self) -> str:
        """The decimal string people see, with at least the currency's minor digits: "100.00"."""
        return format_units(self.units, minor_digits=currency(self.code).minor_digits)

    def __str__(self) -> str:
        return f"{self.value} {self.code}"


def format_units(units: int, *, minor_digits: int) -> str:
    """Units as an exact decimal string with at least `minor_digits` digits after the point."""
    sign, magnitude = ("-", -units) if units < 0 else ("", units)
    whole, fraction = divmod(magnitude, UNITS_PER_CURRENCY_UNIT)
    digits = f"{fraction:06d}".rstrip("0").ljust(minor_digits, "0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def mul_div_down(x: int, y: int, z: int) -> int:
    """floor(x * y / z), exactly; all non-negative, z positive."""
    return x * y // z


def mul_div_up(x: int, y: int, z: int) -> int:
    """ceil(x * y / z), exactly; all non-negative, z positive."""
    return -(-x * y // z)


def quantise_down(units: int, code: str) -> int:
    """The largest whole number of minor units that is at most `units`, in units."""
    minor = currency(code).minor_units
    return units // minor * minor


def quantise_up(units: int, code: str) -> int:
    """The smallest whole number of minor units that is at least `units`, in units."""
    minor = currency(code).minor_units
    return -(-units // minor) * minor
