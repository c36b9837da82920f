"""Whatever is wrong with a request that would move money: it is refused by name, and nothing has moved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import World, refusal

IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
HUNDRED = {"currency": "EUR", "value": "100.00"}


@dataclass
class Stage:
    """Who takes part, all funded and quiet."""

    maker: Any
    payer: Any
    payee: Any

    def good(self, route: str) -> dict[str, Any]:
        """A body that the route would take; for transfers, but for its quote."""
        return {
            "/v1/quotes": {"source_currency": "EUR", "target_currency": "USD", "source_amount": HUNDRED},
            "/v1/deposits": {"customer_id": self.payer["id"], "amount": HUNDRED},
            "/v1/maker-quotes": {
                "maker_id": self.maker["id"],
                "sell": {"currency": "USD", "value": "110.00"},
                "buy": HUNDRED,
                "expires_at": IN_AN_HOUR,
            },
            "/v1/transfers": {
                "quote_id": "quo_01JD3ZK8G7V5N2Q0X4Y6W8R1TA",
                "payer_id": self.payer["id"],
                "payee": {"customer_id": self.payee["id"]},
            },
        }[route]


ROUTES = ("/v1/quotes", "/v1/deposits", "/v1/maker-quotes", "/v1/transfers")
MOVING = ROUTES[1:]


@pytest.fixture(scope="module")
def stage(world: World) -> Iterator[Stage]:
    """Ends with the whole chain compared: nothing that these tests sent may have left a trace there."""
    maker = world.maker(("USD", "50000.00", "EUR", "46000.00"))
    yield Stage(maker, world.funded("EUR", "500.00"), world.customer())
    assert world.get("/v1/reconciliation")["status"] == "balanced"


@pytest.fixture
def unmoved(world: World, stage: Stage) -> Iterator[Stage]:
    """The books are the same to the last count, before and after."""
    world.quiet()
    before = world.books()
    yield stage
    after = world.books()
    for what, figure in before.items():
        assert after[what] == figure, f"a refused request changed: {what}"


def eur(value: Any) -> dict[str, Any]:
    return {"currency": "EUR", "value": value}


AMOUNTS: dict[str, tuple[Any, str]] = {
    "three decimals of EUR": (eur("1.001"), "MONEY_INVALID_AMOUNT"),
    "seven decimals": (eur("1.0000001"), "MONEY_INVALID_AMOUNT"),
    "decimals of JPY": ({"currency": "JPY", "value": "100.5"}, "MONEY_INVALID_AMOUNT"),
    "four decimals of KWD": ({"currency": "KWD", "value": "1.0001"}, "MONEY_INVALID_AMOUNT"),
    "negative": (eur("-1.00"), "MONEY_INVALID_AMOUNT"),
    "plus": (eur("+1.00"), "MONEY_INVALID_AMOUNT"),
    "JSON float": (eur(1.5), "MONEY_INVALID_AMOUNT"),
    "JSON integer": (eur(1), "MONEY_INVALID_AMOUNT"),
    "JSON exponent": (eur(1e30), "MONEY_INVALID_AMOUNT"),
    "null": (eur(None), "MONEY_INVALID_AMOUNT"),
    "array": (eur(["1.00"]), "MONEY_INVALID_AMOUNT"),
    "exponent": (eur("1e3"), "MONEY_INVALID_AMOUNT"),
    "boolean": (eur(True), "MONEY_INVALID_AMOUNT"),
    "ten to the thirtieth": (eur("1" + "0" * 30), "MONEY_INVALID_AMOUNT"),
    "a million digits at most": (eur("9" * 5_000), "MONEY_INVALID_AMOUNT"),
    "Arabic-Indic digits": (eur("١٠٠"), "MONEY_INVALID_AMOUNT"),
    "full-width digits": (eur("１００"), "MONEY_INVALID_AMOUNT"),
    "zero": (eur("0"), "MONEY_INVALID_AMOUNT"),
    "zero cents": (eur("0.00"), "MONEY_INVALID_AMOUNT"),
    "nothing": (eur(""), "MONEY_INVALID_AMOUNT"),
    "space": (eur(" 1.00"), "MONEY_INVALID_AMOUNT"),
    "line break": (eur("1.00\n"), "MONEY_INVALID_AMOUNT"),
    "comma": (eur("1,00"), "MONEY_INVALID_AMOUNT"),
    "grouping": (eur("1_000"), "MONEY_INVALID_AMOUNT"),
    "leading zero": (eur("01.00"), "MONEY_INVALID_AMOUNT"),
    "no digit before the point": (eur(".50"), "MONEY_INVALID_AMOUNT"),
    "no digit after the point": (eur("5."), "MONEY_INVALID_AMOUNT"),
    "NaN": (eur("NaN"), "MONEY_INVALID_AMOUNT"),
    "hexadecimal": (eur("0x10"), "MONEY_INVALID_AMOUNT"),
    "unknown currency": ({"currency": "EUX", "value": "1.00"}, "MONEY_UNKNOWN_CURRENCY"),
    "small letters": ({"currency": "eur", "value": "1.00"}, "MONEY_UNKNOWN_CURRENCY"),
    "no currency": ({"currency": "", "value": "1.00"}, "MONEY_UNKNOWN_CURRENCY"),
    "numeric code": ({"currency": "978", "value": "1.00"}, "MONEY_UNKNOWN_CURRENCY"),
    "currency as a number": ({"currency": 978, "value": "1.00"}, "REQUEST_INVALID"),
    "value missing": ({"currency": "EUR"}, "REQUEST_INVALID"),
    "unknown field": ({"currency": "EUR", "value": "1.00", "scale": 2}, "REQUEST_INVALID"),
    "amount as a string": ("100.00 EUR", "REQUEST_INVALID"),
    "amount as a number": (100, "REQUEST_INVALID"),
}


def with_amount(place: str, stage: Stage, amount: Any) -> tuple[str, dict[str, Any]]:
    """A good body with the amount at one place changed; a quote's currency goes along with it."""
    route, field = place.split()
    body = stage.good(route) | {field: amount}
    if route == "/v1/quotes":
        side = field.partition("_")[0]
        code = amount.get("currency") if isinstance(amount, dict) else "EUR"
        body.pop("source_amount" if side == "target" else "target_amount", None)
        body[f"{side}_currency"] = code if isinstance(code, str) else "EUR"
    return route, body


@pytest.mark.parametrize(
    "place",
    [
        "/v1/quotes source_amount",
        "/v1/quotes target_amount",
        "/v1/deposits amount",
        "/v1/maker-quotes sell",
        "/v1/maker-quotes buy",
    ],
)
def test_amounts__wrong_in_any_way__are_refused_and_nothing_moves(world: World, unmoved: Stage, place: str) -> None:
    quotes = world.scalar("SELECT count(*) FROM quote")
    for kind, (amount, code) in AMOUNTS.items():
        route, body = with_amount(place, unmoved, amount)
        headers = {"Idempotency-Key": f"bad-{place}-{kind}".replace(" ", "-")}
        problem = refusal(world.send("POST", route, json=body, headers=headers), 422, code)
        assert problem["errors"], f"{kind}: no place is named"
        assert not problem["retryable"], f"{kind}: sending it again cannot help"
    assert world.scalar("SELECT count(*) FROM quote") == quotes, "a refused request left a quote"


QUOTES: dict[str, tuple[dict[str, Any], str]] = {
    "no amount": ({"source_amount": None}, "MONEY_INVALID_AMOUNT"),
    "both amounts": ({"target_amount": {"currency": "USD", "value": "100.00"}}, "MONEY_INVALID_AMOUNT"),
    "amount in another currency": ({"source_currency": "GBP"}, "MONEY_INVALID_AMOUNT"),
    "target amount in the source currency": (
        {"source_amount": None, "target_amount": HUNDRED},
        "MONEY_INVALID_AMOUNT",
    ),
    "unknown source": ({"source_currency": "EUX"}, "MONEY_UNKNOWN_CURRENCY"),
    "unknown target": ({"target_currency": "usd"}, "MONEY_UNKNOWN_CURRENCY"),
    "metal": ({"target_currency": "XAU"}, "MONEY_UNKNOWN_CURRENCY"),
    "nobody trades it": ({"target_currency": "AFN"}, "MARKET_NO_ROUTE"),
    "nobody prices it": (
        {"source_currency": "AFN", "target_currency": "AFN", "source_amount": {"currency": "AFN", "value": "10.00"}},
        "MARKET_NO_MID",
    ),
    "less than the fee": ({"target_currency": "EUR", "source_amount": eur("0.01")}, "MONEY_INVALID_AMOUNT"),
    "currency missing": ({"target_currency": None}, "REQUEST_INVALID"),
    "unknown field": ({"amount": HUNDRED}, "REQUEST_INVALID"),
}


@pytest.mark.parametrize("kind", QUOTES)
def test_quotes__that_make_no_sense__are_refused(world: World, unmoved: Stage, kind: str) -> None:
    changes, code = QUOTES[kind]
    world.refused("POST", "/v1/quotes", 422, code, json=unmoved.good("/v1/quotes") | changes)


def test_quotes__for_more_than_the_makers_have__say_how_much_there_is(world: World, unmoved: Stage) -> None:
    body = unmoved.good("/v1/quotes") | {"source_amount": eur("999999999999999999.99")}
    problem = world.refused("POST", "/v1/quotes", 409, "MARKET_INSUFFICIENT_LIQUIDITY", json=body)
    assert problem["retryable"], "makers may offer more later"
    assert 0 < int(problem["context"]["most_units"]) < 10**24


RAW: dict[str, tuple[Callable[[str], bytes], dict[str, str], int, str]] = {
    "no JSON": (lambda text: text[:-1].encode(), {}, 400, "REQUEST_MALFORMED"),
    "two documents": (lambda text: (text + text).encode(), {}, 400, "REQUEST_MALFORMED"),
    "a key twice": (lambda text: f"{text[:-1]}, {text[1:]}".encode(), {}, 400, "REQUEST_MALFORMED"),
    "NaN": (lambda text: f'{text[:-1]}, "x": NaN}}'.encode(), {}, 400, "REQUEST_MALFORMED"),
    "UTF-16": (lambda text: text.encode("utf-16"), {}, 400, "REQUEST_MALFORMED"),
    "byte order mark": (lambda text: text.encode("utf-8-sig"), {}, 400, "REQUEST_MALFORMED"),
    "nested too deep": (lambda _: b"[" * 5_000, {}, 400, "REQUEST_MALFORMED"),
    "an array": (lambda text: f"[{text}]".encode(), {}, 422, "REQUEST_INVALID"),
    "null": (lambda _: b"null", {}, 422, "REQUEST_INVALID"),
    "nothing": (lambda _: b"", {}, 422, "REQUEST_INVALID"),
    "an empty object": (lambda _: b"{}", {}, 422, "REQUEST_INVALID"),
    "unknown field": (lambda text: f'{text[:-1]}, "force": true}}'.encode(), {}, 422, "REQUEST_INVALID"),
    "a form": (lambda text: text.encode(), {"Content-Type": "application/x-www-form-urlencoded"}, 415, ""),
    "text": (lambda text: text.encode(), {"Content-Type": "text/plain"}, 415, ""),
    "Latin-1": (lambda text: text.encode(), {"Content-Type": "application/json; charset=latin-1"}, 415, ""),
    "compressed": (lambda text: text.encode(), {"Content-Encoding": "gzip"}, 415, ""),
    "too large": (lambda text: text.encode().ljust(65 * 1024), {}, 413, "REQUEST_TOO_LARGE"),
}


@pytest.mark.parametrize("route", ROUTES)
def test_bodies__that_can_be_misread__are_refused_before_anyone_reads_them(
    world: World, unmoved: Stage, route: str
) -> None:
    text = json.dumps(unmoved.good(route))
    for kind, (change, headers, status, code) in RAW.items():
        sent = {"Content-Type": "application/json", "Idempotency-Key": f"raw-{kind}".replace(" ", "-")} | headers
        answer = world.send("POST", route, content=change(text), headers=sent)
        problem = refusal(answer, status, code or "REQUEST_MEDIA_TYPE")
        assert problem["instance"].startswith("urn:chainwallet:request:"), kind


@pytest.mark.parametrize("route", MOVING)
@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "IDEMPOTENCY_KEY_MISSING"),
        ("", "IDEMPOTENCY_KEY_INVALID"),
        ("two words", "IDEMPOTENCY_KEY_INVALID"),
        ("k" * 256, "IDEMPOTENCY_KEY_INVALID"),
        ("tab\tinside", "IDEMPOTENCY_KEY_INVALID"),
    ],
)
def test_idempotency_keys__missing_or_malformed__are_asked_for(
    world: World, unmoved: Stage, route: str, key: str | None, code: str
) -> None:
    world.refused("POST", route, 400, code, json=unmoved.good(route), headers={"Idempotency-Key": key})


@pytest.mark.parametrize("route", MOVING)
def test_idempotency_keys__used_with_another_body__are_refused(world: World, stage: Stage, route: str) -> None:
    body = stage.good(route)
    other = dict(body)
    if route == "/v1/transfers":
        body["quote_id"], other["quote_id"] = (world.quote("EUR", "EUR", source="1.00")["id"] for _ in range(2))
    else:
        field = "amount" if route == "/v1/deposits" else "buy"
        other[field] = eur("100.01")
    first = world.post(route, body, key=f"reused{route}")
    world.quiet()
    before = world.books()
    sent = {"Idempotency-Key": f"reused{route}"}
    world.refused("POST", route, 409, "IDEMPOTENCY_KEY_REUSED", json=other, headers=sent)
    assert world.post(route, body, key=f"reused{route}") == first, "the first answer, again"
    assert world.books() == before, "neither the other body nor the replay moved anything"


MAKERS: dict[str, tuple[Callable[[Stage], dict[str, Any]], int, str]] = {
    "not a maker": (lambda s: {"maker_id": s.payer["id"]}, 422, "MAKER_NOT_A_MAKER"),
    "unknown maker": (lambda _: {"maker_id": "cus_nobody"}, 404, "CUSTOMER_UNKNOWN"),
    "malformed maker": (lambda _: {"maker_id": "cus one"}, 422, "REQUEST_INVALID"),
    "for itself": (lambda _: {"sell": HUNDRED}, 422, "MAKER_QUOTE_SAME_CURRENCY"),
    "past": (lambda _: {"expires_at": "2020-01-01T00:00:00Z"}, 422, "MAKER_QUOTE_EXPIRY_INVALID"),
    "in eight days": (
        lambda _: {"expires_at": (datetime.now(UTC) + timedelta(days=8)).isoformat()},
        422,
        "MAKER_QUOTE_EXPIRY_INVALID",
    ),
    "in the year 9999": (lambda _: {"expires_at": "9999-12-31T23:59:59Z"}, 422, "MAKER_QUOTE_EXPIRY_INVALID"),
    "without a zone": (lambda _: {"expires_at": "2030-01-01T00:00:00"}, 422, "REQUEST_INVALID"),
    "beyond the last year": (lambda _: {"expires_at": "9999-12-31T23:59:59-23:59"}, 422, "REQUEST_INVALID"),
    "no such day": (lambda _: {"expires_at": "2030-02-30T00:00:00Z"}, 422, "REQUEST_INVALID"),
    "a number": (lambda _: {"expires_at": 1_900_000_000}, 422, "REQUEST_INVALID"),
    "not issued": (lambda _: {"sell": {"currency": "AFN", "value": "1.00"}}, 422, "MARKET_NO_MID"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_maker_quotes__that_make_no_sense__are_refused(world: World, unmoved: Stage, kind: str) -> None:
    changes, status, code = MAKERS[kind]
    body = unmoved.good("/v1/maker-quotes") | changes(unmoved)
    world.refused("POST", "/v1/maker-quotes", status, code, json=body)


DEPOSITS: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown customer": ({"customer_id": "cus_nobody"}, 404, "CUSTOMER_UNKNOWN"),
    "malformed customer": ({"customer_id": "../operator"}, 422, "REQUEST_INVALID"),
    "not issued": ({"amount": {"currency": "AFN", "value": "1.00"}}, 422, "DEPOSIT_CURRENCY_NOT_ISSUED"),
}


@pytest.mark.parametrize("kind", DEPOSITS)
def test_deposits__that_make_no_sense__are_refused(world: World, unmoved: Stage, kind: str) -> None:
    changes, status, code = DEPOSITS[kind]
    world.refused("POST", "/v1/deposits", status, code, json=unmoved.good("/v1/deposits") | changes)


PARTIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown payer": ({"payer_id": "cus_nobody"}, 404, "PAYER_UNKNOWN"),
    "malformed payer": ({"payer_id": "*"}, 422, "REQUEST_INVALID"),
    "unknown payee": ({"payee": {"customer_id": "cus_nobody"}}, 404, "PAYEE_UNKNOWN"),
    "unknown alias": ({"payee": {"alias": "nobody-has-this"}}, 404, "PAYEE_UNKNOWN"),
    "malformed alias": ({"payee": {"alias": "no spaces"}}, 422, "CUSTOMER_INVALID"),
    "unknown IBAN": ({"payee": {"iban": "GB82WEST12345698765432"}}, 404, "PAYEE_UNKNOWN"),
    "IBAN with a wrong check digit": ({"payee": {"iban": "GB83WEST12345698765432"}}, 422, "CUSTOMER_INVALID"),
    "short address": ({"payee": {"address": "0x1234"}}, 422, "CUSTOMER_INVALID"),
    "address with a wrong checksum": (
        {"payee": {"address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD".replace("aA", "Aa")}},
        422,
        "CUSTOMER_INVALID",
    ),
    "the zero address": ({"payee": {"address": "0x" + "0" * 40}}, 404, "PAYEE_UNKNOWN"),
    "no name of the payee": ({"payee": {}}, 422, "PAYEE_AMBIGUOUS"),
    "two names of the payee": ({"payee": {"alias": "one-1", "customer_id": "cus_1"}}, 422, "PAYEE_AMBIGUOUS"),
    "payee as a string": ({"payee": "cus_1"}, 422, "REQUEST_INVALID"),
    "control characters": ({"reference": "one\ntwo"}, 422, "REQUEST_INVALID"),
    "a reference too long": ({"reference": "r" * 141}, 422, "REQUEST_INVALID"),
    "unknown quote": ({"quote_id": "quo_nothing"}, 404, "QUOTE_UNKNOWN"),
    "malformed quote": ({"quote_id": "quo_1; DROP TABLE quote"}, 422, "REQUEST_INVALID"),
    "a maker's quote": ({"quote_id": "mkq_01JD3ZK8G7V5N2Q0X4Y6W8R1TA"}, 404, "QUOTE_UNKNOWN"),
}


@pytest.mark.parametrize("kind", PARTIES)
def test_transfers__that_make_no_sense__are_refused_and_the_quote_stays_good(
    world: World, unmoved: Stage, kind: str
) -> None:
    changes, status, code = PARTIES[kind]
    quote = world.quote("EUR", "USD", source="10.00")
    body = unmoved.good("/v1/transfers") | {"quote_id": quote["id"]} | changes
    world.refused("POST", "/v1/transfers", status, code, json=body)
    assert world.scalar("SELECT count(*) FROM transfer WHERE quote_id = %(id)s", id=quote["id"]) == 0, (
        "the quote is used up"
    )


def test_transfers__with_a_quote_that_expired__are_refused(world: World, unmoved: Stage) -> None:
    quote = world.quote("EUR", "USD", source="10.00")
    world.run("UPDATE quote SET expires_at = now() - interval '1 second' WHERE id = %(id)s", id=quote["id"])
    body = unmoved.good("/v1/transfers") | {"quote_id": quote["id"]}
    world.refused("POST", "/v1/transfers", 409, "QUOTE_EXPIRED", json=body)


def test_transfers__with_a_quote_that_was_used__are_refused(world: World, stage: Stage) -> None:
    quote = world.quote("EUR", "USD", source="10.00")
    world.settled(world.transfer(quote, stage.payer, stage.payee)["id"])
    before = world.books()
    body = stage.good("/v1/transfers") | {"quote_id": quote["id"]}
    world.refused("POST", "/v1/transfers", 409, "QUOTE_USED", json=body)
    assert world.books() == before, "a quote pays once"


@pytest.mark.parametrize(("source", "target"), [("EUR", "EUR"), ("EUR", "USD")])
def test_transfers__beyond_the_payers_money__are_refused_and_say_what_there_is(
    world: World, unmoved: Stage, source: str, target: str
) -> None:
    available = world.available(unmoved.payer["id"], "EUR")
    quote = world.quote(source, target, source="5000.00")
    body = unmoved.good("/v1/transfers") | {"quote_id": quote["id"]}
    problem = world.refused("POST", "/v1/transfers", 409, "LEDGER_INSUFFICIENT_FUNDS", json=body)
    assert available in problem["detail"], "what there is"
    assert "5000.00" in problem["detail"], "and what it takes"


def test_transfers__one_cent_beyond_the_payers_money__are_refused_and_all_of_it_goes(world: World) -> None:
    payer, payee = world.funded("EUR", "10.00"), world.customer()
    over = world.quote("EUR", "EUR", source="10.01")
    world.transfer(over, payer, payee, status=409)
    assert world.balance(payer["id"], "EUR") == {"available": "10.00", "held": "0.00", "settled": "10.00"}
    done = world.settled(world.transfer(world.quote("EUR", "EUR", source="10.00"), payer, payee)["id"])
    assert done["status"] == "settled"
    assert world.available(payer["id"], "EUR") == "0.00", "to the last cent"
    assert world.available(payee["id"], "EUR") == "9.99", "the fee of ten basis points is rounded up to a cent"
