"""Cancelling: before a batch takes a payment everything held comes back to the cent; after that it is too late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from .conftest import World


def reserved(world: World, maker_id: str) -> str:
    return str(world.get("/v1/maker-quotes", maker_id=maker_id)["items"][0]["reserved"])


def test_cancel__before_a_batch_took_it__gives_everything_back(world: World) -> None:
    maker = world.maker(("CHF", "5000.00", "EUR", "5100.00"))
    payer, payee = world.funded("EUR", "200.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "CHF", source="123.45"), payer, payee)
        held = world.balance(payer["id"], "EUR")
        assert held == {"available": "76.55", "held": "123.45", "settled": "200.00"}, "the whole source is held"
        assert Decimal(reserved(world, maker["id"])) > 0, "the maker's quote is reserved"
        assert world.balance(maker["id"], "CHF")["held"] != "0.00", "and the money behind it"
        cancelled = world.post(f"/v1/transfers/{transfer['id']}/cancel", None, status=200)
        assert cancelled["status"] == "cancelled"
        assert [step["status"] for step in cancelled["timeline"]] == ["created", "accepted", "cancelled"]
        back = world.balance(payer["id"], "EUR")
        assert back == {"available": "200.00", "held": "0.00", "settled": "200.00"}, "to the cent"
        assert reserved(world, maker["id"]) == "0.00", "the maker's quote is free again"
        assert world.balance(maker["id"], "CHF") == {"available": "5000.00", "held": "0.00", "settled": "5000.00"}
    world.quiet()
    assert world.get(f"/v1/transfers/{transfer['id']}")["status"] == "cancelled", "and so it stays"
    assert world.available(payee["id"], "CHF") == "0.00", "the payee got nothing"
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_cancel__twice__is_refused_the_second_time_and_gives_nothing_back_again(world: World) -> None:
    payer, payee = world.funded("EUR", "20.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "EUR", source="15.00"), payer, payee)
        path = f"/v1/transfers/{transfer['id']}/cancel"
        world.post(path, None, status=200)
        problem = world.refused("POST", path, 409, "TRANSFER_NOT_CANCELLABLE")
        assert problem["context"] == {"status": "cancelled"}
    assert world.balance(payer["id"], "EUR") == {"available": "20.00", "held": "0.00", "settled": "20.00"}


def test_cancel__after_it_settled__is_refused(world: World) -> None:
    payer, payee = world.funded("EUR", "20.00"), world.customer()
    transfer = world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)
    world.settled(transfer["id"])
    before = world.books()
    path = f"/v1/transfers/{transfer['id']}/cancel"
    problem = world.refused("POST", path, 409, "TRANSFER_NOT_CANCELLABLE")
    assert problem["context"] == {"status": "settled"}
    assert world.books() == before, "what is settled stays settled"


def test_cancel__of_nothing__is_unknown(world: World) -> None:
    world.refused("POST", "/v1/transfers/trf_nothing/cancel", 404, "TRANSFER_UNKNOWN")


def test_cancel__the_money_can_be_spent_again_and_the_next_order_settles(world: World) -> None:
    payer, payee = world.funded("EUR", "20.00"), world.customer()
    with world.batches_wait():
        first = world.transfer(world.quote("EUR", "EUR", source="20.00"), payer, payee)
        world.post(f"/v1/transfers/{first['id']}/cancel", None, status=200)
        second = world.transfer(world.quote("EUR", "EUR", source="20.00"), payer, payee)
    assert world.settled(second["id"])["status"] == "settled", "a nonce that was skipped holds nothing up"
    assert world.available(payer["id"], "EUR") == "0.00"
    assert world.available(payee["id"], "EUR") == "19.98", "20.00 less ten basis points"


def test_cancel__while_batches_run__either_way_no_money_is_lost(world: World) -> None:
    """Cancels race the settle worker; each payment is either wholly back or wholly there."""
    payer, payee = world.funded("EUR", "300.00"), world.customer()
    ids = [world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"] for _ in range(20)]

    def cancel(transfer_id: str) -> int:
        return world.send("POST", f"/v1/transfers/{transfer_id}/cancel").status_code

    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(cancel, ids))
    assert set(answers) <= {200, 409}
    world.quiet()
    ends = {transfer_id: world.settled(transfer_id)["status"] for transfer_id in ids}
    for transfer_id, answer in zip(ids, answers, strict=True):
        assert ends[transfer_id] == ("cancelled" if answer == 200 else "settled"), "the answer is what happened"
    settled = list(ends.values()).count("settled")
    balance = world.balance(payer["id"], "EUR")
    assert balance["held"] == "0.00", "nothing stays held"
    assert balance["available"] == f"{300 - 10 * settled}.00", "what was cancelled is back, to the cent"
    assert world.available(payee["id"], "EUR") == f"{settled * Decimal('9.99'):.2f}", (
        "what settled is there, to the cent"
    )
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_quote_of_a_maker__withdrawn_while_reserved__still_pays(world: World) -> None:
    maker = world.customer("maker")
    world.fund(maker["id"], "NOK", "10000.00")
    quote = world.maker_quote(maker["id"], "NOK", "10000.00", "EUR", "900.00")
    payer, payee = world.funded("EUR", "50.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "NOK", source="50.00"), payer, payee)
        gone = world.send("DELETE", f"/v1/maker-quotes/{quote['id']}")
        assert gone.json()["status"] == "withdrawn"
        world.refused(
            "POST",
            "/v1/quotes",
            422,
            "MARKET_NO_ROUTE",
            json={
                "source_currency": "EUR",
                "target_currency": "NOK",
                "source_amount": {"currency": "EUR", "value": "1.00"},
            },
        )
    assert world.settled(transfer["id"])["status"] == "settled", "a firm quote stays firm"
    assert world.available(payee["id"], "NOK") == transfer["target_amount"]["value"], "to the last øre"
