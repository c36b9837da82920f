"""Makers as users: ladders replaced and withdrawn over REST, with a key that we keep and with one that they keep."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_account import Account

from chainwallet.client import signing

from .conftest import World


def soon(seconds: float = 3_600) -> str:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


def ladder(version: int, *levels: tuple[str, str], expires_at: str | None = None) -> dict[str, Any]:
    """`levels` are (sell, buy)."""
    parts = [{"sell": sell, "buy": buy} for sell, buy in levels]
    return {"version": version, "expires_at": expires_at or soon(), "levels": parts}


def put(world: World, maker: Any, pair: str, body: Any, *, auth: str | None = None) -> Any:
    options = {"auth": auth} if auth else {}
    response = world.send("PUT", f"/v1/makers/{maker['id']}/ladders/{pair}", json=body, **options)
    assert response.status_code == 200, response.text
    return response.json()


def refuse(world: World, maker: Any, pair: str, body: Any, status: int, code: str, **options: Any) -> Any:
    return world.refused("PUT", f"/v1/makers/{maker['id']}/ladders/{pair}", status, code, json=body, **options)


def ladders(world: World, maker: Any) -> dict[str, list[tuple[str, str, str]]]:
    """(sell, buy, reserved) of the levels of each live ladder."""
    items = world.get(f"/v1/makers/{maker['id']}/ladders")["items"]
    return {
        f"{one['sell']}-{one['buy']}": [(level["sell"], level["buy"], level["reserved"]) for level in one["levels"]]
        for one in items
    }


def rejections(world: World, maker: Any) -> dict[tuple[str, str, str], tuple[int | None, int]]:
    """(version, count) by pair and code."""
    items = world.get(f"/v1/makers/{maker['id']}/rejections")["items"]
    return {(one["sell"], one["buy"], one["code"]): (one["version"], one["count"]) for one in items}


def test_ladder__is_replaced_whole_by_its_newest_version(world: World, maker: Any) -> None:
    shown = put(world, maker, "USD-EUR", ladder(1, ("100.00", "92.00"), ("200.00", "185.00")))
    assert [level["sell"] for level in shown["levels"]] == ["100.00", "200.00"]
    assert ladders(world, maker) == {"USD-EUR": [("100.00", "92.00", "0.00"), ("200.00", "185.00", "0.00")]}
    put(world, maker, "USD-EUR", ladder(7, ("150.00", "137.00")))
    assert ladders(world, maker) == {"USD-EUR": [("150.00", "137.00", "0.00")]}
    put(world, maker, "USD-EUR", ladder(8))
    assert ladders(world, maker) == {}, "a ladder without levels withdraws"


@pytest.mark.parametrize("version", [6, 7], ids=["older", "equal"])
def test_ladder__that_is_not_newer__is_refused_and_changes_nothing(world: World, maker: Any, version: int) -> None:
    put(world, maker, "USD-EUR", ladder(7, ("150.00", "137.00")))
    problem = refuse(world, maker, "USD-EUR", ladder(version, ("1.00", "1.00")), 409, "MAKER_LADDER_STALE")
    assert problem["context"] == {"version": 7}
    assert ladders(world, maker) == {"USD-EUR": [("150.00", "137.00", "0.00")]}
    assert rejections(world, maker) == {("USD", "EUR", "MAKER_LADDER_STALE"): (version, 1)}


def test_ladder__replaced_under_an_accepted_payment__keeps_what_is_reserved(world: World, maker: Any) -> None:
    put(world, maker, "USD-EUR", ladder(1, ("1000.00", "900.00")))
    payer, payee = world.funded("EUR", "500.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "USD", target="100.00"), payer, payee)
        put(world, maker, "USD-EUR", ladder(2, ("500.00", "480.00")))
        listed = world.send("GET", f"/v1/maker-quotes?maker_id={maker['id']}&status=withdrawn").json()
        old = listed["items"][0]
        assert (old["reserved"], old["filled"]) == ("100.00", "0.00")
        assert ladders(world, maker) == {"USD-EUR": [("500.00", "480.00", "0.00")]}
    assert world.settled(transfer["id"])["status"] == "settled"
    assert world.available(payee["id"], "USD") == "100.00"


def test_ladder__withdrawn__is_gone_and_its_version_stays_taken(world: World, maker: Any) -> None:
    put(world, maker, "USD-EUR", ladder(3, ("100.00", "92.00")))
    put(world, maker, "USD-GBP", ladder(3, ("100.00", "80.00")))
    one = world.send("DELETE", f"/v1/makers/{maker['id']}/ladders/USD-EUR")
    assert one.json() == {"withdrawn": 1}
    world.refused("DELETE", f"/v1/makers/{maker['id']}/ladders/USD-EUR", 404, "MAKER_LADDER_UNKNOWN")
    refuse(world, maker, "USD-EUR", ladder(3, ("1.00", "1.00")), 409, "MAKER_LADDER_STALE")
    assert world.send("DELETE", f"/v1/makers/{maker['id']}/ladders").json() == {"withdrawn": 1}
    assert ladders(world, maker) == {}


def test_ladder__sells_no_more_than_its_maker_has(world: World, maker: Any) -> None:
    put(world, maker, "USD-NOK", ladder(1, ("5000.00", "50000.00")))
    problem = world.quote("NOK", "USD", status=409, target="1000.01")
    assert problem["code"] == "MARKET_INSUFFICIENT_LIQUIDITY"
    assert problem["context"]["most_units"] == 1_000_000_000, "its inventory, not its ladder"
    assert world.quote("NOK", "USD", target="1000.00")["target_amount"]["value"] == "1000.00"


@pytest.mark.parametrize(
    ("pair", "body", "status", "code"),
    [
        ("USD-USD", ladder(1, ("1.00", "1.00")), 422, "MAKER_QUOTE_SAME_CURRENCY"),
        ("USD-EUR", ladder(1, ("1.00", "1.00"), expires_at="2020-01-01T00:00:00Z"), 422, "MAKER_QUOTE_EXPIRY_INVALID"),
        ("USD-EUR", ladder(1, ("0.00", "1.00")), 422, "MONEY_INVALID_AMOUNT"),
        ("USD-EUR", ladder(1, ("1.001", "1.00")), 422, "MONEY_INVALID_AMOUNT"),
        ("USD-XYZ", ladder(1, ("1.00", "1.00")), 422, "MONEY_UNKNOWN_CURRENCY"),
        ("USD-KES", ladder(1, ("1.00", "1.00")), 422, "MARKET_NO_MID"),
        (
            "USD-EUR",
            {**ladder(1), "levels": [{"sell": "1.00", "buy": "1.00", "nonce": 1}]},
            422,
            "MAKER_SIGNATURE_INVALID",
        ),
    ],
    ids=["same", "expired", "zero", "fraction", "unknown", "no-mid", "signed"],
)
def test_ladder__that_makes_no_sense__is_refused_and_counted(
    world: World, maker: Any, pair: str, body: Any, status: int, code: str
) -> None:
    refuse(world, maker, pair, body, status, code)
    refuse(world, maker, pair, body, status, code)
    sell, _, buy = pair.partition("-")
    assert rejections(world, maker) == {(sell, buy, code): (1, 2)}
    assert ladders(world, maker) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"version": 0, "expires_at": "2030-01-01T00:00:00Z", "levels": []},
        {"version": 2**53, "expires_at": "2030-01-01T00:00:00Z", "levels": []},
        {"version": "1", "expires_at": "2030-01-01T00:00:00Z", "levels": []},
        {"version": 1, "levels": []},
        {"version": 1, "expires_at": "2030-01-01T00:00:00Z", "levels": [{"sell": "1.00", "buy": "1.00"}] * 21},
        {"version": 1, "expires_at": "2030-01-01T00:00:00Z", "levels": [{"sell": 1, "buy": "1.00"}]},
    ],
    ids=["zero", "beyond-json", "text", "no-expiry", "too-many", "number"],
)
def test_ladder__malformed__is_refused(world: World, maker: Any, body: Any) -> None:
    refuse(world, maker, "USD-EUR", body, 422, "REQUEST_INVALID")


def test_rights__a_maker_sees_and_quotes_for_itself_only(world: World, maker: Any) -> None:
    other = world.customer("maker")
    mine, reader = world.key("maker", customer_id=maker["id"]), world.key("read", customer_id=maker["id"])
    put(world, maker, "USD-EUR", ladder(1, ("1.00", "1.00")), auth=mine)
    refuse(world, other, "USD-EUR", ladder(1, ("1.00", "1.00")), 404, "CUSTOMER_UNKNOWN", auth=mine)
    refuse(world, maker, "USD-EUR", ladder(2, ("1.00", "1.00")), 403, "AUTH_SCOPE_MISSING", auth=reader)
    payer = world.customer()
    refuse(world, payer, "USD-EUR", ladder(1, ("1.00", "1.00")), 422, "MAKER_NOT_A_MAKER")
    for path in ("ladders", "rejections", "fills", "exposure", "profit"):
        world.refused("GET", f"/v1/makers/{other['id']}/{path}", 404, "CUSTOMER_UNKNOWN", auth=mine)


def test_frozen_maker__offers_nothing_until_it_may_go_on(world: World, maker: Any) -> None:
    put(world, maker, "USD-EUR", ladder(1, ("1.00", "1.00")))
    single = world.maker_quote(maker["id"], "USD", "5.00", "EUR", "5.00")
    world.post(f"/v1/customers/{maker['id']}/freeze", {"reason": "a trial"}, status=200)
    assert ladders(world, maker) == {}
    listed = world.get("/v1/maker-quotes", maker_id=maker["id"])["items"]
    assert {one["status"] for one in listed} == {"withdrawn"}
    assert single["id"] in {one["id"] for one in listed}
    refuse(world, maker, "USD-EUR", ladder(2, ("1.00", "1.00")), 409, "MAKER_NOT_ACTIVE")
    world.post(f"/v1/customers/{maker['id']}/unfreeze", {"reason": "over"}, status=200)
    put(world, maker, "USD-EUR", ladder(2, ("1.00", "1.00")))


def test_views__tell_a_maker_what_was_filled_what_it_has_out_and_what_it_earned(world: World, maker: Any) -> None:
    views = f"/v1/makers/{maker['id']}"
    put(world, maker, "USD-EUR", ladder(1, ("400.00", "380.00"), ("800.00", "768.00")))
    payer, payee = world.funded("EUR", "1000.00"), world.customer()
    with world.batches_wait():
        transfer = world.transfer(world.quote("EUR", "USD", target="300.00"), payer, payee)
        assert world.get(f"{views}/exposure")["items"] == [
            {"currency": "USD", "inventory": "1000.00", "reserved": "300.00", "offered": "900.00", "limit": "700.00"}
        ]
        assert world.get(f"{views}/fills")["items"] == []
    batch_id = world.settled(transfer["id"])["settlement"]["batch_id"]
    (fill,) = world.get(f"{views}/fills")["items"]
    assert (fill["sold"]["value"], fill["bought"]["value"], fill["status"]) == ("300.00", "285.00", "settled")
    assert (fill["batch_id"], fill["maker_id"]) == (batch_id, maker["id"])
    assert fill["tx_hash"] == world.get(f"/v1/batches/{batch_id}")["tx_hash"]
    profit = world.get(f"{views}/profit", currency="USD")
    mid = world.services.mids.mid("EUR", "USD")
    earned = 285_000_000 * mid.numerator // mid.denominator - 300_000_000
    assert profit["realised"] == profit["marked"], "no newer fixing than the one of today"
    assert profit["realised"]["value"] == f"{earned // 10**6}.{earned % 10**6:06d}".rstrip("0")
    assert (profit["fills"], profit["unpriced_fills"]) == (1, 0)
    assert [(one["currency"], one["net"]) for one in profit["items"]] == [("EUR", "285.00"), ("USD", "-300.00")]
    assert world.get(f"{views}/profit", since="2090-01-01T00:00:00Z")["fills"] == 0
    world.refused("GET", f"{views}/profit?currency=XYZ", 422, "MONEY_UNKNOWN_CURRENCY")
    world.refused("GET", f"{views}/profit?currency=KES", 422, "MARKET_NO_MID")


def test_fills__come_in_pages_and_once_each_in_the_outbox(world: World, maker: Any) -> None:
    put(world, maker, "USD-EUR", ladder(1, ("500.00", "475.00")))
    payer, payee = world.funded("EUR", "1000.00"), world.customer()
    for _ in range(3):
        world.settled(world.transfer(world.quote("EUR", "USD", target="10.00"), payer, payee)["id"])
    first = world.get(f"/v1/makers/{maker['id']}/fills", limit=2)
    rest = world.get(f"/v1/makers/{maker['id']}/fills", limit=2, cursor=first["next_cursor"])
    batches = [one["batch_id"] for one in first["items"] + rest["items"]]
    assert batches == sorted(set(batches), reverse=True)
    assert (len(batches), rest["next_cursor"]) == (3, None)
    told = world.scalar(
        "SELECT array_agg((payload->>'batch_id')::int ORDER BY seq) FROM outbox_event"
        " WHERE type = 'maker_quote.filled' AND audience @> ARRAY[%(maker)s::text]",
        maker=maker["id"],
    )
    assert told == batches[::-1]


class OwnKey:
    """A maker that keeps its key: what it signs, and the bodies that carry it."""

    def __init__(self, world: World) -> None:
        self.account = Account.create()
        self.chain = world.get("/v1/chain")

    def claim(self, *, deadline: int | None = None, key: Any = None, address: str | None = None) -> dict[str, Any]:
        deadline = deadline or int(time.time()) + 600
        address = address or self.account.address
        document = signing.account_claim(self.chain, address=address, deadline=deadline)
        return {
            "address": address,
            "deadline": deadline,
            "signature": signing.sign(document, (key or self.account).key.hex()),
        }

    def level(
        self, sell: str, buy: str, until: str, *, nonce: int, key: Any = None, signed: Any = ()
    ) -> dict[str, Any]:
        """A USD-EUR level; `signed` differs from what is sent where a test wants it to."""
        terms = {"sell": sell, "buy": buy, "until": until} | dict(signed)
        document = signing.maker_quote(
            self.chain,
            maker=self.account.address,
            sell={"currency": "USD", "value": terms["sell"]},
            buy={"currency": "EUR", "value": terms["buy"]},
            nonce=nonce,
            deadline=int(datetime.fromisoformat(terms["until"]).timestamp()),
        )
        signature = signing.sign(document, (key or self.account).key.hex())
        return {"sell": sell, "buy": buy, "nonce": nonce, "signature": signature}


def test_own_key__a_maker_signs_by_itself_and_its_quotes_settle(world: World) -> None:
    own = OwnKey(world)
    maker = world.customer("maker", external_key=own.claim())
    assert (maker["address"], maker["custody"]) == (own.account.address, "external")
    world.fund(maker["id"], "USD", "1000.00")
    until = soon()
    levels = [own.level("300.00", "290.00", until, nonce=1), own.level("700.00", "690.00", until, nonce=2)]
    put(world, maker, "USD-EUR", {"version": 1, "expires_at": until, "levels": levels})
    payer, payee = world.funded("EUR", "500.00"), world.customer()
    transfer = world.settled(world.transfer(world.quote("EUR", "USD", target="400.00"), payer, payee)["id"])
    assert transfer["status"] == "settled", "the hub takes the signatures"
    assert world.available(maker["id"], "USD") == "600.00"
    world.send("DELETE", f"/v1/makers/{maker['id']}/ladders")
    body = {"maker_id": maker["id"], "sell": {"currency": "USD", "value": "1.00"}, "expires_at": until}
    world.refused(
        "POST",
        "/v1/maker-quotes",
        409,
        "CUSTOMER_SIGNS_ITSELF",
        json={**body, "buy": {"currency": "EUR", "value": "1.00"}},
    )


def test_own_key__what_we_would_have_to_sign__is_refused_at_the_door(world: World) -> None:
    maker = world.customer("maker", external_key=OwnKey(world).claim())
    world.fund(maker["id"], "EUR", "100.00")
    quote = world.quote("EUR", "EUR", source="10.00")
    body = {"quote_id": quote["id"], "payer_id": maker["id"], "payee": {"customer_id": world.customer()["id"]}}
    world.refused("POST", "/v1/transfers", 409, "CUSTOMER_SIGNS_ITSELF", json=body)
    leave = {"amount": {"currency": "EUR", "value": "1.00"}, "recipient": "0x" + "99" * 20}
    path = f"/v1/customers/{maker['id']}/exits"
    world.refused("POST", path, 409, "CUSTOMER_SIGNS_ITSELF", json=leave)
    assert world.balance(maker["id"], "EUR") == {"available": "100.00", "held": "0.00", "settled": "100.00"}


def test_own_key__what_it_did_not_sign__is_refused(world: World) -> None:
    own, stranger = OwnKey(world), Account.create()
    maker, until = world.customer("maker", external_key=own.claim()), soon()
    wrong = {
        "unsigned": {"sell": "1.00", "buy": "1.00"},
        "another's": own.level("1.00", "1.00", until, nonce=1, key=stranger),
        "another amount": own.level("1.00", "1.00", until, nonce=1, signed={"sell": "0.99"}),
        "another price": own.level("1.00", "0.01", until, nonce=1, signed={"buy": "1.00"}),
        "another deadline": own.level("1.00", "1.00", until, nonce=1, signed={"until": soon(60)}),
        "no signature at all": {"sell": "1.00", "buy": "1.00", "nonce": 1, "signature": "0x" + "00" * 65},
    }
    for number, (what, level) in enumerate(wrong.items(), start=1):
        body = {"version": number, "expires_at": until, "levels": [level]}
        problem = refuse(world, maker, "USD-EUR", body, 422, "MAKER_SIGNATURE_INVALID")
        assert problem["detail"], what
    assert rejections(world, maker) == {("USD", "EUR", "MAKER_SIGNATURE_INVALID"): (len(wrong), len(wrong))}


def test_own_key__the_same_quote_twice__is_refused(world: World) -> None:
    own = OwnKey(world)
    maker, until = world.customer("maker", external_key=own.claim()), soon()
    level = own.level("1.00", "1.00", until, nonce=1)
    refuse(
        world, maker, "USD-EUR", {"version": 1, "expires_at": until, "levels": [level, level]}, 409, "MAKER_QUOTE_KNOWN"
    )
    put(world, maker, "USD-EUR", {"version": 2, "expires_at": until, "levels": [level]})
    refuse(world, maker, "USD-EUR", {"version": 3, "expires_at": until, "levels": [level]}, 409, "MAKER_QUOTE_KNOWN")
    put(world, maker, "USD-EUR", {"version": 3, "expires_at": until, "levels": []})


def test_own_key__is_proven_or_not_taken(world: World) -> None:
    own, stranger = OwnKey(world), Account.create()
    now = int(time.time())
    body = {"type": "maker", "full_name": "Maker X", "country": "DE"}
    for claim in (
        own.claim(key=stranger),
        own.claim(deadline=now - 10),
        own.claim(deadline=now + 7_200),
        own.claim() | {"signature": "0x" + "00" * 65},
        own.claim() | {"deadline": now + 601},
    ):
        wanted = {**body, "external_key": claim}
        world.refused("POST", "/v1/customers", 422, "CUSTOMER_KEY_UNPROVEN", json=wanted)
    individual = {**body, "type": "individual", "external_key": own.claim()}
    world.refused("POST", "/v1/customers", 422, "CUSTOMER_INVALID", json=individual)
    world.post("/v1/customers", {**body, "external_key": own.claim()})
    again = {**body, "external_key": own.claim()}
    world.refused("POST", "/v1/customers", 409, "CUSTOMER_ADDRESS_TAKEN", json=again)
