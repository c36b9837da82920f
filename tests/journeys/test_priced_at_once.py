"""A payment priced and executed in one request: as firm as a quote, bounded by its limit, done once."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import World


def order(world: World, **quote: Any) -> dict[str, Any]:
    payer, payee = world.funded("EUR", "500.00"), world.customer()
    price = {"source_currency": "EUR", "target_currency": "USD"} | quote
    return {"quote": price, "payer_id": payer["id"], "payee": {"customer_id": payee["id"]}}


def eur(value: str) -> dict[str, str]:
    return {"currency": "EUR", "value": value}


def usd(value: str) -> dict[str, str]:
    return {"currency": "USD", "value": value}


@pytest.fixture(autouse=True)
def maker(world: World) -> None:
    world.maker(("USD", "50000.00", "EUR", "46000.00"))


def test_fixed_source__settles_at_the_price_of_a_quote(world: World) -> None:
    quoted = world.quote("EUR", "USD", source="100.00")
    body = order(world, source_amount=eur("100.00"), limit_amount=quoted["target_amount"])
    transfer = world.post("/v1/transfers", body)
    assert transfer["target_amount"] == quoted["target_amount"]
    assert transfer["fee"] == quoted["fee"]
    assert world.settled(transfer["id"])["status"] == "settled"
    assert world.available(body["payee"]["customer_id"], "USD") == quoted["target_amount"]["value"]
    assert world.available(body["payer_id"], "EUR") == "400.00"


def test_fixed_target__takes_no_more_than_the_limit(world: World) -> None:
    quoted = world.quote("EUR", "USD", target="100.00")
    body = order(world, target_amount=usd("100.00"), limit_amount=quoted["source_amount"])
    transfer = world.post("/v1/transfers", body)
    assert transfer["source_amount"] == quoted["source_amount"]
    assert world.settled(transfer["id"])["status"] == "settled"


@pytest.mark.parametrize(
    ("fixed", "limit"),
    [({"source_amount": eur("100.00")}, usd("5000.00")), ({"target_amount": usd("100.00")}, eur("1.00"))],
    ids=["too little arrives", "too much leaves"],
)
def test_limit_not_met__nothing_moves_and_the_key_is_free(
    world: World, fixed: dict[str, Any], limit: dict[str, str]
) -> None:
    body = order(world, **fixed, limit_amount=limit)
    headers = {"Idempotency-Key": f"limit-{body['payer_id']}"}
    refused = world.refused("POST", "/v1/transfers", 409, "QUOTE_LIMIT_NOT_MET", json=body, headers=headers)
    assert "limit" in refused["detail"]
    assert world.balance(body["payer_id"], "EUR")["held"] == "0.00"
    del body["quote"]["limit_amount"]
    assert world.send("POST", "/v1/transfers", json=body, headers=headers).status_code == 201


def test_sent_again__has_one_effect_whatever_the_price_is_by_then(world: World) -> None:
    body = order(world, source_amount=eur("100.00"))
    first = world.post("/v1/transfers", body, key=f"again-{body['payer_id']}")
    world.maker(("USD", "50000.00", "EUR", "40000.00"))  # a much better price
    assert world.post("/v1/transfers", body, key=f"again-{body['payer_id']}") == first
    assert len(world.get("/v1/transfers", payer_id=body["payer_id"])["items"]) == 1


@pytest.mark.parametrize("kind", ["both", "neither"])
def test_quote_and_quote_id__exactly_one_is_given(world: World, kind: str) -> None:
    body = order(world, source_amount=eur("100.00"))
    if kind == "both":
        body["quote_id"] = world.quote("EUR", "USD", source="100.00")["id"]
    else:
        del body["quote"]
    world.refused("POST", "/v1/transfers", 422, "QUOTE_AMBIGUOUS", json=body)


def test_makers_far_from_mid__nothing_is_quoted_rather_than_sold_dear(world: World) -> None:
    mid = world.services.mids.mid("SEK", "EUR")
    body = {"source_currency": "EUR", "target_currency": "SEK", "source_amount": eur("100.00")}
    maker = world.maker(("SEK", "100000.00", "EUR", f"{float(200_000 * mid):.2f}"))  # twice the mid
    world.refused("POST", "/v1/quotes", 409, "MARKET_QUOTES_OFF_MID", json=body)
    world.maker_quote(maker["id"], "SEK", "100000.00", "EUR", f"{float(115_000 * mid):.2f}")
    refused = world.refused("POST", "/v1/quotes", 409, "QUOTE_TOO_COSTLY", json=body)
    assert "basis points" in refused["detail"]
    world.refused("POST", "/v1/transfers", 409, "QUOTE_TOO_COSTLY", json=order(world, **body))


def test_limit_in_the_fixed_currency__is_refused(world: World) -> None:
    body = order(world, source_amount=eur("100.00"), limit_amount=eur("1.00"))
    world.refused("POST", "/v1/transfers", 422, "MONEY_INVALID_AMOUNT", json=body)
