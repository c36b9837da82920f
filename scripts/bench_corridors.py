"""What corridors cost a quote and a transfer, in microseconds of one thread's processor time, as JSON."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice, product
from typing import Any

import pycountry

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.controls.corridors.decisions import CorridorMap, Facts
from chainwallet.controls.corridors.document import CorridorsData, shipped
from chainwallet.controls.identity.customers import CustomerStatus, CustomerType
from chainwallet.controls.identity.payees import Party
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket
from chainwallet.payments.terms import Stated, check_terms, make_terms, show_terms

MANY = 1_050
REPEATS, TIMES = 7, 10_000
AMOUNT = Money.parse("EUR", "123.45")


def many_corridors() -> CorridorsData:
    """Countries between two currencies, each with every kind of rule."""
    countries = sorted(country.alpha_2 for country in pycountry.countries)
    rules = {
        "source_currency": "EUR",
        "target_currency": "USD",
        "minimum": {"currency": "USD", "value": "1.00"},
        "maximum": {"currency": "USD", "value": "100000.00"},
        "purpose": {"codes": ["GDDS", "SALA"]},
        "hours": {"time_zone": "Europe/Berlin", "calendars": ["ECB", "US"]},
        "delivery": {"working_days": 1},
        "partner": {"label": "Payout partner", "rate_bps": "5"},
        "fees": {
            "standard": {
                "tiers": [{"rate_bps": "20"}, {"above": {"currency": "EUR", "value": "100.00"}, "rate_bps": "10"}]
            }
        },
        "lifetime": {"volatility_bps_a_day": 50, "charged_percent": 100},
    }
    pairs = islice(product(countries, countries), MANY)
    listed = [
        {"id": f"c{number}", "payer_country": payer, "payee_country": payee, **rules}
        for number, (payer, payee) in enumerate(pairs)
    ]
    return CorridorsData.model_validate({"corridors": [{"id": "any"}, *listed]})


def microseconds(work: Callable[[], object]) -> float:
    """Median processor time of one call."""
    found = []
    for _ in range(REPEATS):
        started = time.thread_time_ns()
        for _ in range(TIMES):
            work()
        found.append((time.thread_time_ns() - started) / TIMES / 1_000)
    return round(statistics.median(found), 2)


def measure(data: CorridorsData) -> dict[str, float]:
    mids, now, corridors = MidMarket(EcbRates().fixing()), datetime.now(UTC), CorridorMap(data, revision=1)
    last = data.corridors[-1]
    payer = Party(
        "p", CustomerType.INDIVIDUAL, CustomerStatus.ACTIVE, "0x0", None, last.payer_country or "DE", "Customer"
    )
    payee = Party(
        "q", CustomerType.INDIVIDUAL, CustomerStatus.ACTIVE, "0x1", None, last.payee_country or "DE", "Customer"
    )
    stated = Stated.of_parties(payer, payee, purpose="GDDS")
    facts = Facts(
        source="EUR",
        target="USD",
        at=now,
        amount=AMOUNT,
        payer_country=payer.country,
        payee_country=payee.country,
        payer_type=payer.type,
        purpose="GDDS",
    )

    def quote() -> dict[str, Any]:
        corridor = corridors.decide(facts, mids).corridor
        assert corridor is not None
        tariff = corridor.tariff("EUR", payer.type, mids, lifetime_s=60, standard_bps=10)
        tariff.fee(AMOUNT.units)
        return make_terms(corridor, tariff, stated, revision=1, source_units=AMOUNT.units, now=now, firm_until=now)

    terms = quote()

    def accept() -> None:
        check_terms(
            corridors, mids, terms, source="EUR", target="USD", quoted_at=now, payer=payer, payee=payee, purpose="GDDS"
        )
        show_terms(terms, "EUR")

    return {"corridors": len(data.corridors), "quote_us": microseconds(quote), "accept_us": microseconds(accept)}


if __name__ == "__main__":
    print(json.dumps({"shipped": measure(shipped()), "many": measure(many_corridors())}, indent=2))
