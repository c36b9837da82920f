"""Newer rates over HTTP: taken when they are good, refused when not, and the last good ones stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chainwallet.adapters.rates.ecb import EcbDailyRates, RatesRefused, RatesUnavailable, parse_daily
from chainwallet.market.rates import Fixing

OLD = Fixing(date(2026, 10, 30), {"EUR": Fraction(1), "USD": Fraction("1.1172"), "JPY": Fraction("175.68")})
RECORDED = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
                 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
	<Cube><Cube time='{day}'>
		<Cube currency='USD' rate='{usd}'/>
		<Cube currency='JPY' rate='{jpy}'/>
	</Cube></Cube>
</gesmes:Envelope>"""


def answer(day: str = "2026-11-02", usd: str = "1.1201", jpy: str = "176.02") -> bytes:
    return RECORDED.format(day=day, usd=usd, jpy=jpy).encode()


class Older:
    def fixing(self, on: date | None = None) -> Fixing:
        return OLD


class Bank:
    """A server on the loopback that answers what it is told to."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, answer(), dict[str, str]()
        self.stalls = threading.Event()
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if bank.stalls.is_set():
                    bank.released.wait(5)
                self.send_response(bank.status)
                for name, value in bank.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(bank.body)))
                self.end_headers()
                with suppress(ConnectionError):  # the client may have hung up
                    self.wfile.write(bank.body)

            def log_message(self, *_: object) -> None:
                pass

        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/eurofxref-daily.xml"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def bank() -> Iterator[Bank]:
    server = Bank()
    yield server
    server.close()


def test_refresh__takes_the_newer_rates(bank: Bank) -> None:
    rates = EcbDailyRates(Older(), url=bank.url)
    assert rates.fixing() == OLD
    newer = rates.refresh()
    assert newer == Fixing(
        date(2026, 11, 2), {"EUR": Fraction(1), "USD": Fraction("1.1201"), "JPY": Fraction("176.02")}
    )
    assert rates.fixing() == newer
    assert rates.fixing(date(2026, 11, 5)) == newer
    assert rates.fixing(date(2026, 10, 31)) == OLD
    assert rates.refresh() == newer


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (answer(usd="1.7000"), "USD would move"),
        (answer(usd="0.5000"), "USD would move"),
        (answer(jpy="1.7602"), "JPY would move"),
        (answer(day="2026-10-29"), "older"),
        (answer(day="yesterday"), "no rate"),
        (answer(usd="0"), "no rate"),
        (answer(usd="-1.1"), "no rate"),
        (answer(usd="1e0"), "no rate"),
        (answer(usd="NaN"), "no rate"),
        (answer().replace(b"<Cube currency='JPY' rate='176.02'/>", b""), "lack JPY"),
        (answer().replace(b"'JPY'", b"'USD'"), "one day"),
        (answer().replace(b"'JPY'", b"'EUR'"), "no rate"),
        (answer()[:-20], "well-formed"),
        (b"", "well-formed"),
        (b"<html>Down for maintenance</html>", "one day"),
        (answer().replace(b"<gesmes:Envelope", b"<!DOCTYPE x [<!ENTITY a 'b'>]><gesmes:Envelope", 1), "well-formed"),
        (answer() + b" " * 70_000, "too long"),
    ],
)
def test_refresh__given_absurd_rates__keeps_the_last_good_ones(bank: Bank, body: bytes, says: str) -> None:
    rates = EcbDailyRates(Older(), url=bank.url)
    good = rates.refresh()
    bank.body = body
    with pytest.raises(RatesRefused, match=says):
        rates.refresh()
    assert rates.fixing() == good


@pytest.mark.parametrize("status", [204, 301, 403, 404, 500, 503])
def test_refresh__answered_with_an_error__keeps_the_last_good_ones(bank: Bank, status: int) -> None:
    bank.status, bank.headers = status, {"Location": "http://127.0.0.1:1/elsewhere"}
    rates = EcbDailyRates(Older(), url=bank.url)
    with pytest.raises(RatesUnavailable, match=str(status)) as refused:
        rates.refresh()
    assert refused.value.retryable
    assert rates.fixing() == OLD


def test_refresh__without_an_answer__gives_up_in_time(bank: Bank) -> None:
    bank.stalls.set()
    rates = EcbDailyRates(Older(), url=bank.url, timeout_s=0.1)
    with pytest.raises(RatesUnavailable, match="ReadTimeout"):
        rates.refresh()
    assert rates.fixing() == OLD


def test_refresh__without_a_server__says_so(bank: Bank) -> None:
    bank.close()
    with pytest.raises(RatesUnavailable, match="ConnectError"):
        EcbDailyRates(Older(), url=bank.url).refresh()
    bank.close = lambda: None  # type: ignore[method-assign]


def test_parse_daily__is_exact() -> None:
    assert parse_daily(answer(usd="1.10")).rates["USD"] == Fraction(11, 10)
