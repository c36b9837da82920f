"""Returns: a settled payment goes back by the policy that its payer was promised, whole and once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from chainwallet.chain.receipts import verify_with
from chainwallet.entrypoints.workers import give_back
from chainwallet.payments.execution_check import check_execution

from .conftest import World

ANY = {"id": "any"}


def promise(world: World, policy: str, *, account: str | None = None) -> None:
    """Refunds from EUR to USD by this policy from now on."""
    refund: dict[str, Any] = {"policy": policy, "borne_by": "treasury" if policy == "original_rate" else "payer"}
    if account is not None:
        refund["account"] = account
    corridor = {"id": "eur-usd", "source_currency": "EUR", "target_currency": "USD", "refund": refund}
    store(world, ANY, corridor)


def store(world: World, *corridors: Any) -> None:
    newest = world.get("/v1/corridors")["revision"]
    body = {"based_on": newest, "note": "a trial", "corridors": corridors}
    assert world.send("PUT", "/v1/corridors", json=body).status_code == 200


@pytest.fixture
def market(world: World) -> Iterator[World]:
    """A market both ways between EUR and USD, about at mid; what is promised is put back."""
    world.maker(("USD", "5750.00", "EUR", "5000.00"), ("EUR", "5000.00", "USD", "5850.00"))
    yield world
    store(world, ANY)


def paid(world: World, **amounts: str) -> tuple[Any, Any, Any]:
    """A settled payment of EUR that arrives in USD, its payer, who has nothing left, and its payee."""
    payer, payee = world.funded("EUR", "100.00"), world.customer()
    transfer = world.transfer(world.quote("EUR", "USD", **(amounts or {"source": "100.00"})), payer, payee)
    return world.settled(transfer["id"]), payer, payee


def send_back(world: World, transfer: Any, *, reason: str = "CUST", **options: Any) -> Any:
    return world.post(f"/v1/transfers/{transfer['id']}/return", {"reason": reason}, **options)


def returned(world: World, transfer: Any) -> Any:
    path = f"/v1/transfers/{transfer['id']}"
    world.until(lambda: world.get(path)["status"] == "returned", "the money is back")
    return world.get(path)


def net(transfer: Any) -> Decimal:
    """What the makers had: the source without the fee."""
    return Decimal(transfer["source_amount"]["value"]) - Decimal(transfer["fee"]["value"])


def test_return__at_the_rate_of_the_day__brings_what_the_money_is_worth_and_takes_no_fee(market: World) -> None:
    transfer, payer, payee = paid(market)
    back = send_back(market, transfer, auth=market.key("transfers", customer_id=payee["id"]))
    assert (back["return_of"], back["return_reason"]) == (transfer["id"], "CUST")
    assert back["fee"]["value"] == "0.00"
    assert back["source_amount"] == transfer["target_amount"]
    done = returned(market, transfer)
    assert done["returned_by"] == [back["id"]]
    assert [step["status"] for step in done["timeline"]][-2:] == ["settled", "returned"]
    assert market.available(payee["id"], "USD") == "0.00"
    assert market.available(payer["id"], "EUR") == back["target_amount"]["value"]
    assert market.get(f"/v1/transfers/{back['id']}")["status"] == "settled"
    assert market.get("/v1/reconciliation")["status"] == "balanced"


def test_return__is_proven_like_any_payment_and_its_signature_names_what_it_returns(market: World) -> None:
    transfer, _, _ = paid(market)
    back = send_back(market, transfer)
    returned(market, transfer)
    receipt = market.get(f"/v1/transfers/{back['id']}/receipt")
    assert receipt["transfer"]["particulars"]["return_of"] == transfer["id"]
    assert all(check.passed for check in verify_with(receipt, market.services.node))
    said = receipt["transfer"]
    forged = {**receipt, "transfer": {**said, "particulars": {**said["particulars"], "return_of": "trf_other"}}}
    assert not all(check.passed for check in verify_with(forged, market.services.node))
    record = market.get(f"/v1/transfers/{back['id']}/execution")
    assert [check for check in check_execution(record) if not check.passed] == []
    first = market.get(f"/v1/transfers/{transfer['id']}/receipt")
    assert all(check.passed for check in verify_with(first, market.services.node)), "what was paid stays proven"


def test_return__in_one_currency__brings_what_arrived(world: World) -> None:
    payer, payee = world.funded("EUR", "10.00"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"])
    send_back(world, transfer)
    returned(world, transfer)
    assert world.available(payer["id"], "EUR") == "9.99", "all but the fee of the first payment"
    assert world.available(payee["id"], "EUR") == "0.00"


def test_return__in_the_target_currency__brings_the_target_amount(market: World) -> None:
    promise(market, "target_currency")
    transfer, payer, _ = paid(market)
    send_back(market, transfer)
    returned(market, transfer)
    assert market.available(payer["id"], "USD") == transfer["target_amount"]["value"]
    assert market.available(payer["id"], "EUR") == "0.00"


@pytest.mark.parametrize(("price", "gains"), [("1.20", False), ("1.12", True)])
def test_return__at_the_original_rate__is_paid_out_by_who_promised_it(
    market: World, price: str, *, gains: bool
) -> None:
    bearer = market.funded("USD", "500.00", "business")
    promise(market, "original_rate", account=bearer["id"])
    transfer, payer, payee = paid(market)
    market.run("UPDATE maker_quote SET status = 'withdrawn' WHERE status = 'open'")
    market.maker(("EUR", "1000.00", "USD", str(1000 * Decimal(price))))
    back = send_back(market, transfer)
    assert back["payee"]["customer_id"] == bearer["id"], "the bearer takes the money first"
    done = returned(market, transfer)
    first, second = [market.get(f"/v1/transfers/{one}") for one in done["returned_by"]]
    assert (first["id"], second["payer_id"]) == (back["id"], bearer["id"])
    assert second["payee"]["customer_id"] == payer["id"]
    assert (first["return_reason"], second["return_reason"]) == ("CUST", "CUST")
    assert Decimal(market.available(payer["id"], "EUR")) == net(transfer), "to the cent, whatever the rate"
    assert market.available(payee["id"], "USD") == "0.00"
    worth = Decimal(market.available(bearer["id"], "USD")) - 500
    assert worth == Decimal(first["target_amount"]["value"]) - Decimal(second["source_amount"]["value"])
    assert (worth > 0) is gains, "what the rate has moved is theirs, either way"


def test_return__that_cannot_be_paid_out_yet__is_paid_when_it_can_and_once(
    market: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(give_back, "TRY_AGAIN_S", 0.0)
    bearer = market.customer("business")  # with nothing of its own
    promise(market, "original_rate", account=bearer["id"])
    transfer, payer, _ = paid(market)
    market.run("UPDATE maker_quote SET status = 'withdrawn' WHERE status = 'open'")
    market.maker(("EUR", "1000.00", "USD", "1200.00"))
    back = send_back(market, transfer)
    assert market.settled(back["id"])["status"] == "settled"
    assert market.get(f"/v1/transfers/{transfer['id']}")["status"] == "settled", "its payer has nothing yet"
    market.refused("POST", f"/v1/transfers/{transfer['id']}/return", 409, "TRANSFER_RETURN_UNDER_WAY", json={})
    with market.services.database.transaction() as session:
        owed = market.services.returns.owed
        assert transfer["id"] in owed(session)
        assert transfer["id"] not in owed(session, besides=[transfer["id"]]), "it waits, and holds up nobody behind it"
    market.fund(bearer["id"], "USD", "50.00")
    assert len(returned(market, transfer)["returned_by"]) == 2
    assert Decimal(market.available(payer["id"], "EUR")) == net(transfer)


def test_return__after_the_promise_ended__is_at_the_rate_of_the_day(market: World) -> None:
    promise(market, "original_rate")
    transfer, payer, _ = paid(market)
    market.refused("POST", f"/v1/transfers/{transfer['id']}/return", 409, "RETURN_UNFUNDED", json={})
    late = """UPDATE transfer SET terms = jsonb_set(terms, '{refund,until}', '"2026-01-01T00:00:00.000Z"')
              WHERE id = %(id)s"""
    market.run(late, id=transfer["id"])
    back = send_back(market, transfer)
    returned(market, transfer)
    assert market.available(payer["id"], "EUR") == back["target_amount"]["value"]


def test_return__asked_for_again__has_one_effect(market: World) -> None:
    transfer, payer, _ = paid(market)
    first = send_back(market, transfer, key="once-and-for-all")
    assert send_back(market, transfer, key="once-and-for-all") == first
    path = f"/v1/transfers/{transfer['id']}/return"
    market.refused(
        "POST", path, 409, "IDEMPOTENCY_KEY_REUSED", json={}, headers={"Idempotency-Key": "once-and-for-all"}
    )
    problem = market.refused("POST", path, 409, "TRANSFER_RETURN_UNDER_WAY", json={})
    assert problem["context"] == {"return_id": first["id"]}
    done = returned(market, transfer)
    assert done["returned_by"] == [first["id"]]
    problem = market.refused("POST", path, 409, "TRANSFER_NOT_RETURNABLE", json={})
    assert problem["context"] == {"status": "returned"}
    assert market.available(payer["id"], "EUR") == first["target_amount"]["value"]


def test_return__cancelled__may_be_asked_for_again(market: World) -> None:
    transfer, _, _ = paid(market)
    with market.batches_wait():
        back = send_back(market, transfer)
        market.post(f"/v1/transfers/{back['id']}/cancel", None, status=200)
    again = send_back(market, transfer)
    assert returned(market, transfer)["returned_by"] == [again["id"]]


def test_return__by_anyone_but_the_payee_its_bank_or_the_operator__is_refused(market: World) -> None:
    bank = market.customer("bank")
    payer = market.funded("EUR", "100.00")
    payee = market.customer(bank_id=bank["id"])
    transfer = market.settled(market.transfer(market.quote("EUR", "USD", source="100.00"), payer, payee)["id"])
    path, before = f"/v1/transfers/{transfer['id']}/return", market.books()
    keys = {
        "its payer": (market.key("transfers", customer_id=payer["id"]), 403, "AUTH_SCOPE_MISSING"),
        "a stranger": (market.key("transfers", customer_id=market.customer()["id"]), 404, "TRANSFER_UNKNOWN"),
        "who may only read": (market.key("read", customer_id=payee["id"]), 403, "AUTH_SCOPE_MISSING"),
    }
    for auth, status, code in keys.values():
        market.refused("POST", path, status, code, json={}, auth=auth)
    assert market.books() | {"idempotency keys": 0} == before | {"idempotency keys": 0}, "nothing moved"
    send_back(market, transfer, auth=market.key("transfers", customer_id=bank["id"]))
    returned(market, transfer)


def test_return__of_what_cannot_go_back__is_refused_and_moves_nothing(world: World) -> None:
    payer, payee = world.funded("EUR", "40.00"), world.customer()
    with world.batches_wait():
        waiting = world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)
        world.refused("POST", f"/v1/transfers/{waiting['id']}/return", 409, "TRANSFER_NOT_RETURNABLE", json={})
    world.settled(waiting["id"])
    body = {"payer_id": payer["id"], "payee": {"address": "0x" + "ab" * 20}}
    away = world.post("/v1/transfers", body | {"quote_id": world.quote("EUR", "EUR", source="5.00")["id"]})
    spent = world.transfer(world.quote("EUR", "EUR", source="5.00"), payer, payee)
    for one in (away, spent):
        world.settled(one["id"])
    world.refused("POST", f"/v1/transfers/{away['id']}/return", 409, "TRANSFER_NOT_RETURNABLE", json={})
    world.refused("POST", "/v1/transfers/trf_none/return", 404, "TRANSFER_UNKNOWN", json={})
    world.refused("POST", f"/v1/transfers/{spent['id']}/return", 422, "REQUEST_INVALID", json={"reason": "XXXX"})
    path = f"/v1/transfers/{spent['id']}/return"
    world.refused("POST", path, 400, "IDEMPOTENCY_KEY_MISSING", json={}, headers={"Idempotency-Key": None})
    rest = world.available(payee["id"], "EUR")
    cost = world.transfer(world.quote("EUR", "EUR", source=rest), payee, world.customer())
    world.settled(cost["id"])
    before = world.books()
    world.refused("POST", path, 409, "LEDGER_INSUFFICIENT_FUNDS", json={})
    assert world.books() | {"idempotency keys": 0} == before | {"idempotency keys": 0}


def test_return__of_a_return__is_refused(world: World) -> None:
    payer, payee = world.funded("EUR", "10.00"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"])
    back = send_back(world, transfer)
    returned(world, transfer)
    world.refused("POST", f"/v1/transfers/{back['id']}/return", 409, "TRANSFER_NOT_RETURNABLE", json={})


def test_return__from_a_payee_who_is_frozen__is_refused_with_the_reason(world: World) -> None:
    payer, payee = world.funded("EUR", "10.00"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"])
    world.run("UPDATE customer SET status = 'frozen' WHERE id = %(id)s", id=payee["id"])
    before = world.books()
    path = f"/v1/transfers/{transfer['id']}/return"
    world.refused("POST", path, 403, "COMPLIANCE_PAYER_NOT_ACTIVE", json={})
    assert world.books() | {"idempotency keys": 0} == before | {"idempotency keys": 0}


def test_return__of_more_than_the_payee_may_pay_otherwise__goes_back(world: World) -> None:
    """Limits were the first payment's: who received much by mistake can give it back."""
    payer, payee = world.funded("EUR", "160000.00", "business"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "EUR", source="160000.00"), payer, payee)["id"])
    quote = world.quote("EUR", "EUR", source=transfer["target_amount"]["value"])
    assert world.transfer(quote, payee, payer)["status"] == "declined", "as a payment of its own"
    send_back(world, transfer)
    returned(world, transfer)
