"""Rates that grow old stop quoting and nothing else; what nobody asks for any more is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from chainwallet.adapters.rates.ecb import EcbDailyRates, EcbRates
from chainwallet.entrypoints.workers.housekeep import purge_step, rates_step, replaced_step
from chainwallet.kit.clock import utc_now
from chainwallet.kit.money import Money
from chainwallet.market.errors import MarketRateStale
from chainwallet.payments.pricing import Pricer, PriceRequest
from chainwallet.records.idempotency import Claim, claim

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

ONE_EURO = PriceRequest("EUR", "EUR", fixed_source=Money.parse("EUR", "1.00"))


@pytest.fixture
def bank() -> Iterator[Callable[[bytes], str]]:
    """Serves one document over HTTP; its address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(document: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/daily.xml"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def daily(day: date, rates: dict[str, Fraction]) -> bytes:
    cubes = "".join(f'<Cube currency="{code}" rate="{float(rate):.10g}"/>' for code, rate in rates.items())
    return f'<Envelope><Cube><Cube time="{day.isoformat()}">{cubes}</Cube></Cube></Envelope>'.encode()


def test_rates__refreshed__are_the_mid_from_then_on(
    bench: Bench, bank: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = EcbRates().fixing()
    newer = {code: rate * 2 if code == "USD" else rate for code, rate in shipped.rates.items() if code != "EUR"}
    newer["USD"] = shipped.rates["USD"] * Fraction(101, 100)
    today = utc_now().date()
    rates = EcbDailyRates(EcbRates(), url=bank(daily(today, newer)))
    monkeypatch.setattr(bench.services, "rates", rates)
    pricer = Pricer(bench.database, rates, fee_bps=10, ttl_s=60, rates_age_max_days=5)
    if today - shipped.date > timedelta(days=5):
        with pytest.raises(MarketRateStale):
            pricer.price(ONE_EURO)
    assert not rates_step(bench.services)
    assert bench.services.mids.fixing.date == today
    assert float(bench.services.mids.mid("EUR", "USD")) == pytest.approx(float(shipped.rates["USD"]) * 1.01)
    assert pricer.price(ONE_EURO).target_units == 990_000


def test_rates__not_to_be_had__leave_the_last_good_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.services, "rates", EcbDailyRates(EcbRates(), url="http://127.0.0.1:9/nothing"))
    assert not rates_step(bench.services), "no error: the worker stays healthy and tries again"
    assert bench.services.mids.fixing == EcbRates().fixing()


def test_rates__too_old__stop_quoting_only_where_newer_ones_are_expected(bench: Bench) -> None:
    class Old:
        def fixing(self, on: Any = None) -> Any:
            return EcbRates().fixing(utc_now().date() - timedelta(days=60))

    with pytest.raises(MarketRateStale) as refused:
        Pricer(bench.database, Old(), fee_bps=10, ttl_s=60, rates_age_max_days=5).price(ONE_EURO)
    assert refused.value.retryable
    assert Pricer(bench.database, Old(), fee_bps=10, ttl_s=60).price(ONE_EURO).target_units == 990_000


def test_purge__forgets_what_is_old_and_unused_and_nothing_else(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    used, unused, fresh = (bench.quote("EUR", "EUR", send="1.00") for _ in range(3))
    bench.pay(payer, payee, used)
    with bench.database.transaction() as session:
        for key in ("old", "new"):
            claim(session, [Claim("operator", "POST /v1/transfers", key, b"1" * 32, "trf_1", 201, "{}")])
        run = session.connection().exec_driver_sql
        age = {"old": utc_now() - timedelta(days=31), "quotes": [used.id, unused.id]}
        run("UPDATE quote SET expires_at = %(old)s WHERE id = ANY(%(quotes)s)", age)
        run("UPDATE idempotency_key SET created_at = %(old)s WHERE key = 'old'", age)
    assert not purge_step(bench.services), "there is no more"
    assert {row[0] for row in bench.rows("SELECT id FROM quote")} >= {used.id, fresh.id}
    assert unused.id not in {row[0] for row in bench.rows("SELECT id FROM quote")}
    keys = {row[0] for row in bench.rows("SELECT key FROM idempotency_key")}
    assert "new" in keys
    assert "old" not in keys


def test_markets__that_nobody_was_quoted_on__are_forgotten_soon_and_others_kept(bench: Bench) -> None:
    bench.maker(("USD", "100.00", "EUR", "90.00"))
    quoted = bench.quote("EUR", "USD", send="1.00")
    bench.maker(("USD", "200.00", "EUR", "180.00"))
    fresh = bench.services.pricer.view.name
    assert quoted.market_root is not None
    assert fresh is not None
    five_minutes_ago = "taken_at - interval '5 minutes'"
    bench.rows(f"UPDATE quote SET market_taken_at = market_{five_minutes_ago} RETURNING id")
    bench.rows(
        f"UPDATE market_snapshot SET taken_at = {five_minutes_ago} WHERE root <> :it RETURNING root", it=fresh.root
    )
    assert not replaced_step(bench.services)
    kept = {row[0] for row in bench.rows("SELECT root FROM market_snapshot")}
    assert {quoted.market_root, fresh.root} <= kept
    quoted_on = {row[0] for row in bench.rows("SELECT market_root FROM quote WHERE market_root IS NOT NULL")}
    assert kept - {fresh.root} <= quoted_on
