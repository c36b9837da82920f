"""The committed payments and a mid-market price that never moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from currency_converter import CurrencyConverter

from chainwallet.adapters.iso20022 import PaymentFile, read_pain001

PAYMENTS_FILE = Path(__file__).parents[3] / "src/chainwallet/entrypoints/demo/data/payments.pain.001.001.09.xml"


@pytest.fixture(scope="session")
def payments_path() -> Path:
    return PAYMENTS_FILE


@pytest.fixture(scope="session")
def payments() -> PaymentFile:
    return read_pain001(PAYMENTS_FILE)


@pytest.fixture(scope="session")
def mid() -> Callable[[str, str], Fraction]:
    """Units of target for one of source at one ECB fixing; crosses are exact, so they agree with each other."""
    converter = CurrencyConverter(decimal=True)

    @cache
    def per_euro(code: str) -> Fraction:
        return Fraction(converter.convert(1, "EUR", code, date=date(2026, 6, 30)))

    return lambda source, target: per_euro(target) / per_euro(source)
