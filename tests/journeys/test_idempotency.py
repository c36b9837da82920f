"""The same request sent again, however often and however fast, has one effect and one answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .conftest import World


def at_once(world: World, requests: list[tuple[str, dict[str, Any], str]], *, path: str = "/v1/transfers") -> list[Any]:
    """Send (key, body, bearer) all at the same time; (status, text) of each answer in their order."""

    def send(request: tuple[str, dict[str, Any], str]) -> tuple[int, str]:
        key, body, auth = request
        answer = world.send("POST", path, json=body, headers={"Idempotency-Key": key}, auth=auth)
        return answer.status_code, answer.text

    with ThreadPoolExecutor(max_workers=min(len(requests), 50)) as pool:
        return list(pool.map(send, requests))


def payment(quote: Any, payer: Any, payee: Any) -> dict[str, Any]:
    return {"quote_id": quote["id"], "payer_id": payer["id"], "payee": {"customer_id": payee["id"]}}


def test_transfers__fifty_times_at_once_with_one_key__are_one_transfer(world: World) -> None:
    world.maker(("USD", "5000.00", "EUR", "4600.00"))
    payer, payee = world.funded("EUR", "1000.00"), world.customer()
    body = payment(world.quote("EUR", "USD", source="100.00"), payer, payee)
    operator = world.services.operator_key
    answers = at_once(world, [("fifty", body, operator)] * 50)
    assert {status for status, _ in answers} == {201}
    assert len({text for _, text in answers}) == 1, "all fifty answers are equal to the byte"
    transfer = json.loads(answers[0][1])
    assert world.settled(transfer["id"])["status"] == "settled"
    assert len(world.get("/v1/transfers", payer_id=payer["id"])["items"]) == 1, "one transfer"
    assert world.available(payer["id"], "EUR") == "900.00", "paid once"
    assert at_once(world, [("fifty", body, operator)]) == answers[:1], "and the same answer after it has settled"


def test_transfers__twenty_keys_ten_times_each_at_once__are_twenty_transfers(world: World) -> None:
    payer, payee = world.funded("EUR", "1000.00"), world.customer()
    bodies = [payment(world.quote("EUR", "EUR", source="10.00"), payer, payee) for _ in range(20)]
    operator = world.services.operator_key
    wanted = [(f"twenty-{n % 20}", bodies[n % 20], operator) for n in range(200)]
    answers = at_once(world, wanted)
    assert {status for status, _ in answers} == {201}
    for n in range(20):
        assert len({text for _, text in answers[n::20]}) == 1, f"key {n} got different answers"
    ids = {json.loads(text)["id"] for _, text in answers}
    assert len(ids) == 20, "twenty transfers, not one more"
    for transfer_id in ids:
        assert world.settled(transfer_id)["status"] == "settled"
    assert world.available(payer["id"], "EUR") == "800.00", "twenty times ten, once each"


def test_transfers__many_keys_for_one_quote_at_once__spend_it_once(world: World) -> None:
    payer, payee = world.funded("EUR", "1000.00"), world.customer()
    body = payment(world.quote("EUR", "EUR", source="10.00"), payer, payee)
    answers = at_once(world, [(f"one-quote-{n}", body, world.services.operator_key) for n in range(30)])
    assert sorted(status for status, _ in answers) == [201] + [409] * 29
    assert {json.loads(text)["code"] for status, text in answers if status == 409} == {"QUOTE_USED"}
    world.quiet()
    assert world.available(payer["id"], "EUR") == "990.00", "a firm quote pays once, whatever the keys"


def test_transfers__more_at_once_than_the_payer_has__stop_at_the_last_cent(world: World) -> None:
    payer, payee = world.funded("EUR", "100.00"), world.customer()
    quotes = [world.quote("EUR", "EUR", source="10.00") for _ in range(25)]
    operator = world.services.operator_key
    answers = at_once(world, [(f"race-{q['id']}", payment(q, payer, payee), operator) for q in quotes])
    assert sorted(status for status, _ in answers) == [201] * 10 + [409] * 15, "ten fit, fifteen do not"
    world.quiet()
    assert world.balance(payer["id"], "EUR") == {"available": "0.00", "held": "0.00", "settled": "0.00"}
    assert world.available(payee["id"], "EUR") == "99.90", "ten payments, each less its fee"


def test_keys__of_two_tenants__do_not_meet(world: World) -> None:
    answers = []
    for _ in range(2):
        bank = world.customer("bank")
        secret = world.key("quotes", "transfers", "read", customer_id=bank["id"])
        payer, payee = (world.customer(bank_id=bank["id"]) for _ in range(2))
        world.fund(payer["id"], "EUR", "50.00")
        asked = {"source_currency": "EUR", "target_currency": "EUR"}
        quote = world.post("/v1/quotes", asked | {"source_amount": {"currency": "EUR", "value": "10.00"}}, auth=secret)
        answers += at_once(world, [("shared-key", payment(quote, payer, payee), secret)])
    assert [status for status, _ in answers] == [201, 201], "each tenant has its own keys"
    assert len({json.loads(text)["id"] for _, text in answers}) == 2


def test_keys__of_one_tenant__outlive_the_rotation_of_its_bearer_key(world: World) -> None:
    bank = world.customer("bank")
    old, new = (world.key("quotes", "transfers", "read", customer_id=bank["id"]) for _ in range(2))
    payer, payee = (world.customer(bank_id=bank["id"]) for _ in range(2))
    world.fund(payer["id"], "EUR", "50.00")
    asked = {"source_currency": "EUR", "target_currency": "EUR"}
    quote = world.post("/v1/quotes", asked | {"source_amount": {"currency": "EUR", "value": "10.00"}}, auth=old)
    body = payment(quote, payer, payee)
    first = at_once(world, [("rotated", body, old)])
    assert first[0][0] == 201
    assert at_once(world, [("rotated", body, new)]) == first, "the answer belongs to the tenant, not to one secret"


def test_key__of_a_refused_request__is_free_again(world: World) -> None:
    payer, payee = world.customer(), world.customer()
    body = payment(world.quote("EUR", "EUR", source="10.00"), payer, payee)
    operator = world.services.operator_key
    assert at_once(world, [("refused-first", body, operator)])[0][0] == 409, "there is no money yet"
    world.fund(payer["id"], "EUR", "10.00")
    assert at_once(world, [("refused-first", body, operator)])[0][0] == 201, "the same key, once there is"


def test_deposits__twenty_times_at_once_with_one_key__come_in_once(world: World) -> None:
    customer = world.customer()
    body = {"customer_id": customer["id"], "amount": {"currency": "EUR", "value": "25.00"}}
    answers = at_once(world, [("deposit", body, world.services.operator_key)] * 20, path="/v1/deposits")
    assert {status for status, _ in answers} == {201}
    assert len(set(answers)) == 1, "all twenty answers are equal"
    world.quiet()
    assert world.available(customer["id"], "EUR") == "25.00", "one deposit"
