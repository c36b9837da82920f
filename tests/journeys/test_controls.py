"""Payments that the rules stop: declined by name, or held for a person who lets them go on or sends them back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from .conftest import World, refusal


def freeze(world: World, customer: Any, *, undo: bool = False) -> None:
    path = f"/v1/customers/{customer['id']}/{'unfreeze' if undo else 'freeze'}"
    world.post(path, {"reason": "a journey"}, status=200)


def declined(world: World, payer: Any, payee: Any, code: str, *, value: str = "10.00", target: str = "EUR") -> Any:
    """Pay what must be declined by this rule, with nothing held and nothing moved."""
    before = world.balance(payer["id"], "EUR")
    transfer = world.transfer(world.quote("EUR", target, source=value), payer, payee)
    assert transfer["status"] == "declined", "the rules' verdict is a transfer's end, not an error"
    assert transfer["failure"]["code"] == code
    assert transfer["failure"]["detail"].endswith(".")
    assert [step["status"] for step in transfer["timeline"]] == ["created", "declined"]
    assert world.balance(payer["id"], "EUR") == before, "a declined payment holds nothing"
    world.refused("POST", f"/v1/transfers/{transfer['id']}/cancel", 409, "TRANSFER_NOT_CANCELLABLE")
    world.refused("POST", f"/v1/transfers/{transfer['id']}/approve", 409, "TRANSFER_NOT_IN_REVIEW")
    world.refused("POST", f"/v1/transfers/{transfer['id']}/decline", 409, "TRANSFER_NOT_IN_REVIEW")
    world.refused("GET", f"/v1/transfers/{transfer['id']}/receipt", 409, "RECEIPT_NOT_READY")
    return transfer


def test_payer__frozen__pays_nobody_until_unfrozen(world: World) -> None:
    payer, payee = world.funded("EUR", "50.00"), world.customer()
    freeze(world, payer)
    declined(world, payer, payee, "COMPLIANCE_PAYER_NOT_ACTIVE")
    freeze(world, payer, undo=True)
    done = world.settled(world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"])
    assert done["status"] == "settled"


def test_payee__frozen__is_paid_by_nobody_and_the_payer_is_not_told_why(world: World) -> None:
    payer, payee = world.funded("EUR", "50.00"), world.customer()
    freeze(world, payee)
    transfer = declined(world, payer, payee, "COMPLIANCE_PAYEE_NOT_ACTIVE")
    assert "frozen" not in transfer["failure"]["detail"]


def test_payee__frozen_and_named_by_address__is_the_same_payee(world: World) -> None:
    payer, payee = world.funded("EUR", "50.00"), world.customer()
    freeze(world, payee)
    body = {"payer_id": payer["id"], "payee": {"address": payee["address"].lower()}}
    body["quote_id"] = world.quote("EUR", "EUR", source="10.00")["id"]
    assert world.post("/v1/transfers", body)["failure"]["code"] == "COMPLIANCE_PAYEE_NOT_ACTIVE"


def test_parties__one_and_the_same__only_exchange(world: World) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    payer = world.funded("EUR", "50.00")
    declined(world, payer, payer, "COMPLIANCE_SAME_PARTY")
    done = world.settled(world.transfer(world.quote("EUR", "USD", source="10.00"), payer, payer)["id"])
    assert done["status"] == "settled", "exchanging one's own money is a payment like any other"
    assert world.available(payer["id"], "USD") == done["target_amount"]["value"]


def test_payment__above_the_limit_of_its_payers_kind__is_declined_and_a_cent_less_is_not(world: World) -> None:
    payer, payee = world.funded("EUR", "250000.00"), world.customer()
    declined(world, payer, payee, "RISK_PAYMENT_LIMIT", value="100000.01")
    done = world.settled(world.transfer(world.quote("EUR", "EUR", source="100000.00"), payer, payee)["id"])
    assert done["status"] == "settled", "the limit itself is allowed"


@dataclass
class Busy:
    """A payer who has paid so much within the hour that whatever comes next is looked at by a person."""

    payer: Any
    payee: Any


@pytest.fixture(scope="module")
def busy(world: World) -> Busy:
    payer, payee = world.funded("EUR", "200000.00"), world.customer()
    for _ in range(19):
        transfer = world.transfer(world.quote("EUR", "EUR", source="5300.00"), payer, payee)
        assert transfer["status"] == "accepted", "nineteen payments are not yet many"
    world.quiet()
    return Busy(payer, payee)


def reviewed(world: World, busy: Busy, target: str = "EUR", value: str = "100.00") -> Any:
    transfer = world.transfer(world.quote("EUR", target, source=value), busy.payer, busy.payee)
    assert transfer["status"] == "in_review"
    assert world.balance(busy.payer["id"], "EUR")["held"] == value, "the money is held while a person looks"
    return transfer


def test_review__approved__settles_at_the_amounts_that_were_quoted(world: World, busy: Busy) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    before = world.balance(busy.payer["id"], "EUR")
    paid_before = world.available(busy.payee["id"], "USD")
    transfer = reviewed(world, busy, "USD", "5400.00")
    approved = world.post(f"/v1/transfers/{transfer['id']}/approve", None, status=200)
    assert approved["status"] == "accepted"
    done = world.settled(transfer["id"])
    assert done["status"] == "settled"
    assert done["target_amount"] == transfer["target_amount"], "what was quoted"
    after = world.balance(busy.payer["id"], "EUR")
    given_back = Decimal((done.get("improvement") or {"value": "0"})["value"])
    assert Decimal(before["settled"]) - Decimal(after["settled"]) == 5400 - given_back, "once, and no more"
    assert after["held"] == "0.00"
    arrived = Decimal(world.available(busy.payee["id"], "USD")) - Decimal(paid_before)
    assert arrived == Decimal(transfer["target_amount"]["value"]), "exactly the target arrived"
    world.refused("POST", f"/v1/transfers/{transfer['id']}/approve", 409, "TRANSFER_NOT_IN_REVIEW")


@pytest.mark.parametrize(("verb", "end"), [("decline", "declined"), ("cancel", "cancelled")])
def test_review__declined_or_cancelled__releases_the_money(world: World, busy: Busy, verb: str, end: str) -> None:
    before = world.balance(busy.payer["id"], "EUR")
    transfer = reviewed(world, busy)
    ended = world.post(f"/v1/transfers/{transfer['id']}/{verb}", None, status=200)
    assert ended["status"] == end
    assert ended.get("failure", {}).get("code") == ("REVIEW_DECLINED" if end == "declined" else None)
    assert world.balance(busy.payer["id"], "EUR") == before, "all of it is available again"
    world.refused("POST", f"/v1/transfers/{transfer['id']}/approve", 409, "TRANSFER_NOT_IN_REVIEW")
    world.refused("POST", f"/v1/transfers/{transfer['id']}/decline", 409, "TRANSFER_NOT_IN_REVIEW")


def test_review__the_payee_was_frozen_meanwhile__cannot_be_approved(world: World, busy: Busy) -> None:
    before = world.balance(busy.payer["id"], "EUR")
    transfer = reviewed(world, busy)
    freeze(world, busy.payee)
    try:
        world.refused("POST", f"/v1/transfers/{transfer['id']}/approve", 403, "COMPLIANCE_PAYEE_NOT_ACTIVE")
        assert world.get(f"/v1/transfers/{transfer['id']}")["status"] == "in_review", "it waits for a decision"
    finally:
        freeze(world, busy.payee, undo=True)
    world.post(f"/v1/transfers/{transfer['id']}/decline", None, status=200)
    assert world.balance(busy.payer["id"], "EUR") == before


def test_review__the_makers_are_gone__says_so_and_keeps_waiting(world: World, busy: Busy) -> None:
    maker = world.customer("maker")
    world.fund(maker["id"], "DKK", "1000.00")
    quote = world.maker_quote(maker["id"], "DKK", "1000.00", "EUR", "134.50")
    before = world.balance(busy.payer["id"], "EUR")
    transfer = reviewed(world, busy, "DKK", "50.00")
    world.send("DELETE", f"/v1/maker-quotes/{quote['id']}")
    path = f"/v1/transfers/{transfer['id']}"
    assert world.refused("POST", f"{path}/approve", 409, "QUOTE_LIQUIDITY_GONE")["retryable"]
    assert world.get(path)["status"] == "in_review"
    assert world.balance(busy.payer["id"], "EUR")["held"] == "50.00", "still held, once"
    world.post(f"{path}/cancel", None, status=200)
    assert world.balance(busy.payer["id"], "EUR") == before


def test_review__cancelled_while_it_is_being_approved__stays_approved(world: World, busy: Busy) -> None:
    """The cancel began before the approval's commit: it must neither release the hold nor lose the order."""
    transfer = reviewed(world, busy)
    path = f"/v1/transfers/{transfer['id']}/cancel"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%UPDATE transfer%%'"
    with ThreadPoolExecutor(max_workers=1) as pool:
        with world.services.database.transaction() as session:
            world.services.acceptance.approve(session, transfer["id"])
            cancel = pool.submit(world.send, "POST", path)
            world.until(lambda: world.scalar(waits) > 0, "the cancel waits for the approval")
        refusal(cancel.result(), 409, "TRANSFER_NOT_CANCELLABLE")
    assert world.settled(transfer["id"])["status"] == "settled", "its order settled, and so says the transfer"
    assert world.balance(busy.payer["id"], "EUR")["held"] == "0.00"
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_review__approved_cancelled_and_declined_at_once__has_one_end(world: World, busy: Busy) -> None:
    before = world.balance(busy.payer["id"], "EUR")
    with world.batches_wait():
        quotes = [world.quote("EUR", "EUR", source="10.00") for _ in range(5)]
        ids = [world.transfer(quote, busy.payer, busy.payee)["id"] for quote in quotes]
        paths = [f"/v1/transfers/{one}/{verb}" for one in ids for verb in ("approve", "cancel", "decline")]
        with ThreadPoolExecutor(max_workers=10) as pool:
            answers = list(pool.map(lambda path: world.send("POST", path).status_code, paths))
        assert set(answers) <= {200, 409}
    ends = [world.settled(one)["status"] for one in ids]
    live = "SELECT count(*) FROM payment_order WHERE id = ANY(%(ids)s) AND status <> 'withdrawn'"
    assert world.scalar(live, ids=ids) == ends.count("settled"), "no order lives on after its transfer ended"
    after = world.balance(busy.payer["id"], "EUR")
    paid = Decimal(before["settled"]) - Decimal(after["settled"])
    assert paid == 10 * ends.count("settled"), "ten for each that settled"
    assert after["held"] == "0.00"
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_order__that_can_no_longer_be_mined_in_time__fails_and_gives_the_money_back(world: World) -> None:
    payer, payee = world.funded("EUR", "20.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "EUR", source="15.00"), payer, payee)
        world.run(
            "UPDATE payment_order SET deadline = extract(epoch FROM now())::bigint WHERE id = %(id)s", id=transfer["id"]
        )
        failed = world.settled(transfer["id"])
    assert failed["status"] == "failed"
    assert failed["failure"]["code"] == "TRANSFER_EXPIRED"
    assert world.balance(payer["id"], "EUR") == {"available": "20.00", "held": "0.00", "settled": "20.00"}
