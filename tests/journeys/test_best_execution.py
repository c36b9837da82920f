"""Best execution as a customer, a stranger and a maker see it: one record, checked with nothing else at hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainwallet.entrypoints.cli.main import app
from chainwallet.keys.attestations import MarketCommitment
from chainwallet.keys.errors import PolicyRefused
from chainwallet.payments import market_view
from chainwallet.payments.execution_check import ExecutionMalformed, check_execution

from .conftest import World

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def record(world: World) -> dict[str, Any]:
    """The record of a payment that three makers competed for, two of them over a third currency."""
    world.maker(("USD", "50000.00", "EUR", "46000.00"), ("USD", "9000.00", "EUR", "8370.00"))
    world.maker(("GBP", "50000.00", "EUR", "58000.00"))
    world.maker(("USD", "50000.00", "GBP", "39800.00"))
    transfer = world.transfer(
        world.quote("EUR", "USD", source="500.00"), world.funded("EUR", "600.00"), world.customer()
    )
    document: dict[str, Any] = world.get(f"/v1/transfers/{transfer['id']}/execution")
    return document


def _failed(document: dict[str, Any], **named: Any) -> list[str]:
    return [check.claim for check in check_execution(document, **named) if not check.passed]


def test_execution__of_a_priced_payment__is_proven_by_its_record(world: World, record: dict[str, Any]) -> None:
    assert _failed(record) == []
    assert _failed(record, operator=world.services.operator.address) == []
    assert len(record["ranking"]) >= 2, "the alternatives are named"
    above = [float(one["above_route_bps"]) for one in record["ranking"]]
    assert above == sorted(above)
    assert json.loads(json.dumps(record)) == record


def test_execution__many_payments_of_all_sizes__each_is_proven(world: World) -> None:
    world.maker(
        ("USD", "900.00", "EUR", "820.00"), ("USD", "5000.00", "EUR", "4700.00"), ("JPY", "900000", "EUR", "5600.00")
    )
    world.maker(("USD", "700.00", "EUR", "640.00"), ("JPY", "500000", "USD", "3400.00"))
    payer, payee = world.funded("EUR", "9000.00"), world.customer()
    for target, fixed in (("USD", {"source": "1.00"}), ("USD", {"source": "1900.00"}), ("JPY", {"target": "7"})):
        transfer = world.transfer(world.quote("EUR", target, **fixed), payer, payee)
        assert _failed(world.get(f"/v1/transfers/{transfer['id']}/execution")) == []


def _drop_unused_quotes(record: dict[str, Any]) -> None:
    used = {leg["quote_id"] for leg in record["route"]["legs"]}
    record["quotes"] = [one for one in record["quotes"] if one["id"] in used]


def _worsen_route(record: dict[str, Any]) -> None:
    record["route"]["source_units"] = str(int(record["route"]["source_units"]) + 10**6)


def _edit(*path: str | int, to: Any) -> Change:
    def change(record: dict[str, Any]) -> None:
        place: Any = record
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


LIES: dict[str, Change] = {
    "a quote left out": _drop_unused_quotes,
    "more is said to have been paid": _worsen_route,
    "a quote made dearer": _edit("quotes", 0, "buy_units", to="99000000000"),
    "less left of a quote": _edit("quotes", 0, "left_units", to="1"),
    "a maker with more in stock": _edit("stock", 0, "units", to="10"),
    "another market": _edit("market", "root", to="0x" + "ab" * 32),
    "an older market": _edit("market", "taken_at", to="1700000000"),
    "another purpose": _edit("particulars", "reference", to="something else"),
    "priced later": _edit("particulars", "market", "priced_at", to="1999999999"),
    "a lower fee": _edit("fee", "value", to="0.01"),
    "other alternatives": _edit("ranking", to=[]),
    "more arrives": _edit("order", "message", "targetAmount", to="999999999"),
}


@pytest.mark.parametrize("lie", LIES)
def test_execution__altered_in_any_part__is_disproved(record: dict[str, Any], lie: str) -> None:
    told = copy.deepcopy(record)
    LIES[lie](told)
    assert told != record
    assert _failed(told)


@pytest.mark.parametrize("broken", [{}, {"version": 2}, {"quotes": [{}]}, {"prices": {"EUR": "1"}}, {"route": None}])
def test_execution__that_is_no_record__is_refused(record: dict[str, Any], broken: dict[str, Any]) -> None:
    with pytest.raises(ExecutionMalformed):
        check_execution({**record, **broken} if broken else {})


def test_execution__under_somebody_elses_name__is_disproved(world: World, record: dict[str, Any]) -> None:
    other = world.maker(("USD", "1.00", "EUR", "1.00"))
    assert _failed(record, operator=other["address"]) == ["the operator committed to that market"]


def test_execution__of_one_currency__has_no_market(world: World) -> None:
    transfer = world.transfer(world.quote("EUR", "EUR", source="5.00"), world.funded("EUR", "9.00"), world.customer())
    world.refused("GET", f"/v1/transfers/{transfer['id']}/execution", 409, "EXECUTION_WITHOUT_MARKET")


def test_receipt__carries_the_route_its_prices_and_the_ranking(world: World, record: dict[str, Any]) -> None:
    transfer = world.transfer(world.quote("EUR", "USD", source="20.00"), world.funded("EUR", "20.00"), world.customer())
    assert world.settled(transfer["id"])["status"] == "settled"
    execution = world.get(f"/v1/transfers/{transfer['id']}/receipt")["execution"]
    assert set(execution) == {"market", "route", "prices", "ranking"}
    assert {"EUR", "USD"} <= execution["prices"].keys() & record["prices"].keys()


def test_withheld__a_makers_acknowledgement__shows_it(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An operator that prices on a market from which it keeps the best quote out, and commits to that market."""
    maker = world.maker(("USD", "50000.00", "EUR", "46000.00"))
    mid = world.services.mids.mid("USD", "EUR")
    price = f"{float(40_000 * mid) * 0.99:.2f}"  # a hundredth under mid: nobody else here is as good
    best = world.maker_quote(maker["id"], "USD", "40000.00", "EUR", price)
    assert best["acknowledgement"] == world.get(f"/v1/maker-quotes/{best['id']}/acknowledgement")
    payer, payee = world.funded("EUR", "900.00"), world.customer()

    def paid() -> dict[str, Any]:
        world.services.pricer.refresh()
        made = world.transfer(world.quote("EUR", "USD", source="100.00"), payer, payee)
        found: dict[str, Any] = world.get(f"/v1/transfers/{made['id']}/execution")
        return found

    honest = paid()
    assert _failed(honest, acknowledgement=best["acknowledgement"]) == []
    real = market_view.live_book

    def without_the_best(*arguments: Any, **named: Any) -> Any:
        book = real(*arguments, **named)
        return type(book)(book.version, tuple(o for o in book.offers if o.id != best["id"]), book.inventory_units)

    monkeypatch.setattr(market_view, "live_book", without_the_best)
    kept_out = paid()
    assert _failed(kept_out) == [], "by itself, it is true of the quotes that it admits to"
    assert _failed(kept_out, acknowledgement=best["acknowledgement"]) == ["the acknowledged quote was not withheld"]
    files = []
    for name, document in (("record", kept_out), ("acknowledgement", best["acknowledgement"])):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(document))
    run = CliRunner().invoke(app, ["verify-execution", str(files[0])])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["verify-execution", str(files[0]), "--acknowledgement", str(files[1])])
    assert run.exit_code == 1
    assert "would have cost" in run.output
    (tmp_path / "no.json").write_text("{")
    assert CliRunner().invoke(app, ["verify-execution", str(tmp_path / "no.json")]).exit_code != 0


def test_commitment__of_the_future__is_not_signed(world: World) -> None:
    with pytest.raises(PolicyRefused):
        world.services.operator.sign_attestation(world.services.domain, MarketCommitment(bytes(32), 2**40))
