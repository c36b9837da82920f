"""Limits of exposure hold when two services accept at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chainwallet.controls.corridors.decisions import CorridorMap
from chainwallet.controls.corridors.document import CorridorsData, shipped
from chainwallet.controls.exposure import promised_units
from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money
from chainwallet.market.model import Leg
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.quotes import leg_row

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

OPERATOR = Principal(OPERATOR_ID, frozenset(), None)


def promised_usd_units(bench: Bench) -> int:
    with bench.database.transaction() as session:
        return sum(units for (_, code), units in promised_units(session).items() if code == "USD")


@pytest.fixture
def limited(bench: Bench) -> Iterator[Bench]:
    """All makers together may promise 50 USD more than they have promised already."""
    bench.run()
    limit = Money("USD", promised_usd_units(bench) + 50_000_000)
    data = shipped().model_dump(mode="json") | {
        "risk": {"exposure": {"by_currency": {"USD": {"currency": "USD", "value": limit.value}}}}
    }
    corridors = bench.services.corridors
    usual, corridors.map = corridors.map, CorridorMap(CorridorsData.model_validate(data), revision=0)
    yield bench
    corridors.map = usual


def test_two_services__promise_no_more_than_one_may(limited: Bench) -> None:
    """Each payment is funded by a maker of its own, so that no account and no quote makes them wait for each other."""
    bench, before = limited, promised_usd_units(limited)
    offers = [bench.maker(("USD", "7.00", "EUR", "6.40"))[1][0] for _ in range(12)]
    payers = [bench.funded(EUR="20.00") for _ in offers]
    payee, priced = bench.customer(), bench.quote("EUR", "USD", receive="7.00")
    legs = [Leg(offer.id, offer.maker_id, "USD", 7_000_000, "EUR", 6_400_000) for offer in offers]
    quotes = [replace(priced, id=new_id("quo"), legs=[leg_row(leg)]) for leg in legs]
    for quote in quotes:
        bench.services.quotes.submit_wait(quote)
    requests = [
        TransferRequest(quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR)
        for quote, payer in zip(quotes, payers, strict=True)
    ]
    accept = bench.services.acceptance.accept
    later: list[object] = []

    def accept_the_others() -> None:
        with bench.database.transaction() as session:
            later.extend(accept(session, requests[4:]))

    with bench.database.transaction() as session:
        first = accept(session, requests[:4])
        other = threading.Thread(target=accept_the_others)
        other.start()
        while other.is_alive() and not _someone_waits(bench):
            other.join(timeout=0.01)
    other.join()
    assert promised_usd_units(bench) - before == 49_000_000, "seven times seven, and no eighth"
    refused = [outcome.code for outcome in [*first, *later] if isinstance(outcome, ChainwalletError)]
    assert refused == ["MARKET_EXPOSURE_LIMIT"] * 5


def _someone_waits(bench: Bench) -> bool:
    with bench.database.transaction() as session:
        waiting = session.connection().exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(waiting.scalar_one())
