"""A customer pays another, across currencies, from the first account to the proven receipt."""

from __future__ import annotations

from xml.etree import ElementTree

from chainwallet.chain.receipts import verify_with

from .conftest import World


def test_payment__across_currencies__arrives_exactly_and_is_proven(world: World) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    payer = world.funded("EUR", "500.00")
    payee = world.customer(alias=f"payee-{payer['id'][-6:]}")
    quote = world.quote("EUR", "USD", source="100.00")
    assert quote["source_amount"] == {"currency": "EUR", "value": "100.00"}
    assert quote["fee"] == {"currency": "EUR", "value": "0.10"}, "ten basis points, contained in the source"
    assert quote["legs"], "a maker stands behind it"
    transfer = world.transfer(quote, payer, payee)
    assert transfer["status"] == "accepted"
    done = world.settled(transfer["id"])
    assert done["status"] == "settled"
    assert [step["status"] for step in done["timeline"]] == ["created", "accepted", "submitted", "settled"]
    assert world.available(payer["id"], "EUR") == "400.00", "exactly the source amount left"
    assert world.available(payee["id"], "USD") == quote["target_amount"]["value"], "exactly the target arrived"
    receipt = world.get(f"/v1/transfers/{transfer['id']}/receipt")
    checks = verify_with(receipt, world.services.node)
    assert all(check.passed for check in checks), checks
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_batch__as_a_picture__shows_its_currencies_and_needs_nothing_from_outside(world: World) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    payer, payee = world.funded("EUR", "500.00"), world.customer()
    done = world.settled(world.transfer(world.quote("EUR", "USD", source="100.00"), payer, payee)["id"])
    answer = world.send("GET", f"/v1/batches/{done['settlement']['batch_id']}/picture.svg")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    drawing = ElementTree.fromstring(answer.content)
    assert {"EUR", "USD"} <= {text for node in drawing.iter() if (text := (node.text or "").strip())}
    assert b"href" not in answer.content
    assert b"<script" not in answer.content
    world.refused("GET", f"/v1/batches/{2**62}/picture.svg", 404, "SETTLEMENT_BATCH_UNKNOWN")


def test_payment__fixed_target__the_payee_gets_it_to_the_cent(world: World) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    payer = world.funded("EUR", "500.00")
    payee = world.customer()
    quote = world.quote("EUR", "USD", target="123.45")
    assert quote["target_amount"]["value"] == "123.45"
    assert world.settled(world.transfer(quote, payer, payee)["id"])["status"] == "settled"
    assert world.available(payee["id"], "USD") == "123.45"


def test_payment__one_currency__has_no_legs(world: World) -> None:
    payer = world.funded("EUR", "50.00")
    payee = world.customer()
    quote = world.quote("EUR", "EUR", source="50.00")
    assert quote["legs"] == []
    assert quote["target_amount"]["value"] == "49.95"
    assert world.settled(world.transfer(quote, payer, payee)["id"])["status"] == "settled"
    assert world.available(payee["id"], "EUR") == "49.95"


def test_receipt__altered_in_any_part__is_disproved(world: World) -> None:
    payer = world.funded("EUR", "50.00")
    payee = world.customer()
    transfer = world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)
    world.settled(transfer["id"])
    receipt = world.get(f"/v1/transfers/{transfer['id']}/receipt")
    assert all(check.passed for check in verify_with(receipt, world.services.node))

    def fails(**changes: object) -> list[str]:
        return [c.claim for c in verify_with({**receipt, **changes}, world.services.node) if not c.passed]

    said = receipt["transfer"]
    assert fails(transfer={**said, "source_amount": {"currency": "EUR", "value": "9.00"}})
    assert fails(transfer={**said, "particulars": {**said["particulars"], "reference": "something else"}})
    order = receipt["order"]
    assert fails(order={**order, "message": {**order["message"], "targetAmount": "1"}})
    signature = receipt["signature"]
    assert fails(signature=signature[:-2] + ("1b" if signature.endswith("1c") else "1c"))
    place = receipt["settlement"]
    assert fails(settlement={**place, "log_index": place["log_index"] + 1})
    assert fails(settlement={**place, "block_number": place["block_number"] + 1})
    assert fails(settlement={**place, "tx_hash": "0x" + "ab" * 32})
    assert fails(settlement={**place, "chain_id": place["chain_id"] + 1})


def test_balances__while_a_payment_is_on_its_way__add_up(world: World) -> None:
    payer = world.funded("EUR", "50.00")
    payee = world.customer()
    transfer = world.transfer(world.quote("EUR", "EUR", source="20.00"), payer, payee)
    seen = world.get(f"/v1/customers/{payer['id']}/balances")["items"][0]
    assert float(seen["available"]["value"]) + float(seen["held"]["value"]) == float(seen["settled"]["value"])
    world.settled(transfer["id"])
    assert world.available(payer["id"], "EUR") == "30.00"
