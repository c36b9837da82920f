"""Corridors as a bank uses them: stored, revised, quoted along, refused with everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money
from chainwallet.payments.files import InstructionDraft, receive_file, rejections

from .conftest import World

ANY = {"id": "any"}
BUSINESS = {
    "id": "eur-usd-us",
    "source_currency": "EUR",
    "target_currency": "USD",
    "payer_country": "DE",
    "payee_country": "US",
    "minimum": {"currency": "EUR", "value": "5.00"},
    "maximum": {"currency": "EUR", "value": "500.00"},
    "purpose": {"codes": ["GDDS", "SALA"]},
    "partner": {"label": "Payout partner US-1", "rate_bps": "5"},
    "fees": {
        "standard": {
            "flat": {"currency": "EUR", "value": "0.20"},
            "tiers": [
                {"rate_bps": "40"},
                {"above": {"currency": "EUR", "value": "100.00"}, "rate_bps": "12.5"},
            ],
        },
        "by_payer_type": {"business": {"tiers": [{"rate_bps": "10"}]}},
    },
    "delivery": {"working_days": 1, "by": "17:00"},
    "refund": {"policy": "original_rate", "within_hours": 48, "borne_by": "partner"},
}
QUOTED = {"payer_country": "DE", "payee_country": "US", "payer_type": "individual", "purpose": "GDDS"}


def put(world: World, *corridors: Any, status: int = 200, **more: Any) -> Any:
    """Store these corridors, and the one from anywhere to anywhere, as the next revision."""
    newest = world.get("/v1/corridors")["revision"]
    body = {"based_on": newest, "note": "a trial", "corridors": [ANY, *corridors]} | more
    answer = world.send("PUT", "/v1/corridors", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def ask(world: World, *, value: str = "100.00", side: str = "source", status: int = 201, **stated: str) -> Any:
    money = {"currency": "EUR" if side == "source" else "USD", "value": value}
    body = {"source_currency": "EUR", "target_currency": "USD", f"{side}_amount": money, **stated}
    return world.post("/v1/quotes", body, status=status)


@pytest.fixture
def corridors(world: World) -> Iterator[World]:
    """A market from EUR to USD; what is stored is put back."""
    world.maker(("USD", "2000.00", "EUR", "1800.00"))
    yield world
    put(world, risk={})


def codes(problem: Any) -> list[str]:
    return [violation["code"] for violation in problem["violations"]]


def test_nothing_stored__leads_anywhere_at_the_standard_fee(corridors: World) -> None:
    quote = ask(corridors)
    assert quote["corridor"]["id"] == "any"
    assert quote["fee"]["value"] == "0.10"
    assert [(item["kind"], item["rate_bps"]) for item in quote["fee_items"]] == [("rate", "10")]
    assert quote["refund"]["policy"] == "current_rate"
    assert quote["refund"]["borne_by"] == "payer"


def test_refused_quote__lists_everything_at_once(corridors: World) -> None:
    put(corridors, BUSINESS)
    problem = ask(corridors, value="1.00", status=422)
    assert problem["code"] == "CORRIDOR_REFUSED"
    assert codes(problem) == ["CORRIDOR_PAYER_COUNTRY_MISSING", "CORRIDOR_PAYEE_COUNTRY_MISSING"]
    problem = ask(corridors, value="100000.00", status=422, payer_country="DE", payee_country="US")
    assert codes(problem) == [
        "CORRIDOR_PURPOSE_MISSING",
        "CORRIDOR_PAYER_TYPE_MISSING",
        "CORRIDOR_ABOVE_MAXIMUM",
        "MARKET_INSUFFICIENT_LIQUIDITY",
    ]
    assert {violation["field"] for violation in problem["violations"]} == {"purpose", "payer_type", "source_amount"}
    problem = ask(corridors, value="1.00", status=422, **QUOTED | {"purpose": "RENT"})
    assert codes(problem) == ["CORRIDOR_PURPOSE_NOT_ALLOWED", "CORRIDOR_BELOW_MINIMUM"]


def test_quote__itemises_fee_delivery_and_refund(corridors: World) -> None:
    revision = put(corridors, BUSINESS)["revision"]
    quote = ask(corridors, value="300.00", **QUOTED)
    # 0.20 flat, 40 bp of 100, 12.5 bp of 200, and the partner's 5 bp of 300: 0.20 + 0.40 + 0.25 + 0.15
    assert [(item["kind"], item["amount"]["value"]) for item in quote["fee_items"]] == [
        ("flat", "0.20"),
        ("rate", "0.40"),
        ("rate", "0.25"),
        ("partner_rate", "0.15"),
    ]
    assert quote["fee"]["value"] == "1.00"
    assert quote["corridor"] == {"id": "eur-usd-us", "revision": revision}
    assert quote["delivery"]["estimated_by"].endswith("17:00:00.000Z")
    assert (quote["refund"]["policy"], quote["refund"]["borne_by"]) == ("original_rate", "partner")
    assert quote["refund"]["until"] > quote["expires_at"]
    business = ask(corridors, value="300.00", **QUOTED | {"payer_type": "business"})
    assert business["fee"]["value"] == "0.45", "10 bp of its own and 5 of the partner"
    exact = ask(corridors, value="320.00", side="target", **QUOTED)
    assert exact["target_amount"]["value"] == "320.00"


def test_transfer__keeps_its_terms_and_its_receipt_commits_to_them(corridors: World) -> None:
    world = corridors
    put(world, BUSINESS)
    payer, payee = world.funded("EUR", "200.00"), world.customer(country="US")
    quote = ask(world, **QUOTED)
    transfer = world.transfer(quote, payer, payee)
    assert transfer["purpose"] == "GDDS", "said when it was quoted"
    for part in ("corridor", "fee_items", "delivery", "refund"):
        assert transfer[part] == quote[part]
    put(world)  # other terms from now on
    done = world.settled(transfer["id"])
    assert done["status"] == "settled"
    assert done["refund"] == quote["refund"]
    receipt = world.get(f"/v1/transfers/{transfer['id']}/receipt")
    assert receipt["transfer"]["fee_items"] == quote["fee_items"]
    assert receipt["transfer"]["particulars"]["refund"] == quote["refund"], "the signed order's memo commits to it"


def test_parties_of_another_corridor__are_refused_at_acceptance(corridors: World) -> None:
    world = corridors
    put(world, BUSINESS)
    payer, payee, german = world.funded("EUR", "200.00"), world.customer(country="US"), world.customer()
    business = world.funded("EUR", "200.00", kind="business")
    quote = ask(world, **QUOTED)
    before = world.books()
    problem = world.transfer(quote, payer, german, status=422)
    assert codes(problem) == ["CORRIDOR_TERMS_DIFFER"]
    assert "payee_country DE" in problem["violations"][0]["message"]
    problem = world.transfer(quote, business, payee, status=422)
    assert "payer_type business" in problem["violations"][0]["message"]
    put(world, BUSINESS | {"enabled": False})
    assert codes(world.transfer(quote, payer, payee, status=422)) == ["CORRIDOR_DISABLED"]
    put(world, BUSINESS | {"maximum": {"currency": "EUR", "value": "6.00"}})
    after = world.books()
    assert before == after, "a refusal leaves no trace"
    assert world.transfer(quote, payer, payee)["fee"] == quote["fee"], "the price of a firm quote stays"


def test_priced_at_once__takes_the_corridor_of_its_parties(corridors: World) -> None:
    world = corridors
    put(world, BUSINESS)
    payer, payee, german = world.funded("EUR", "200.00"), world.customer(country="US"), world.customer()
    amount = {"currency": "EUR", "value": "50.00"}
    body = {
        "quote": {"source_currency": "EUR", "target_currency": "USD", "source_amount": amount},
        "payer_id": payer["id"],
        "payee": {"customer_id": payee["id"]},
    }
    assert codes(world.post("/v1/transfers", body, status=422)) == ["CORRIDOR_PURPOSE_MISSING"]
    transfer = world.post("/v1/transfers", body | {"purpose": "SALA"})
    assert transfer["corridor"]["id"] == "eur-usd-us"
    transfer = world.post("/v1/transfers", body | {"payee": {"customer_id": german["id"]}})
    assert transfer["corridor"]["id"] == "any"
    world.refused("POST", "/v1/transfers", 404, "PAYER_UNKNOWN", json=body | {"payer_id": "cus_none"})
    world.refused("POST", "/v1/transfers", 404, "PAYEE_UNKNOWN", json=body | {"payee": {"alias": "nobody-here"}})


def test_shorter_quote__is_cheaper_where_the_lifetime_is_priced(corridors: World) -> None:
    put(
        corridors,
        {"id": "dear", "source_currency": "EUR", "lifetime": {"volatility_bps_a_day": 2000, "charged_percent": 100}},
    )
    long, short = ask(corridors, value="1000.00"), ask(corridors, value="1000.00", lifetime_s=5)
    price = {
        name: next(item["amount"]["value"] for item in quote["fee_items"] if item["kind"] == "lifetime")
        for name, quote in (("long", long), ("short", short))
    }
    # 0.3989 * 20 % * sqrt(60 s / 86,400 s) of 1,000, rounded up; the root of a twelfth of it for 5 s.
    assert price == {"long": "2.11", "short": "0.61"}
    assert short["expires_at"] < long["expires_at"]


def test_valid_until__ends_a_corridor(corridors: World) -> None:
    past, future = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    over = {"id": "over", "source_currency": "EUR", "valid_until": past.isoformat(), "enabled": False}
    coming = {"id": "coming", "source_currency": "EUR", "valid_from": future.isoformat(), "enabled": False}
    put(corridors, over, coming)
    assert ask(corridors)["corridor"]["id"] == "any"
    put(corridors, over | {"valid_until": future.isoformat()}, coming)
    assert codes(ask(corridors, status=422)) == ["CORRIDOR_DISABLED"]


def test_put__keeps_every_revision_and_refuses_what_others_overtook(corridors: World) -> None:
    world = corridors
    first = put(world, BUSINESS)
    again = put(world, BUSINESS)
    assert again["revision"] == first["revision"], "what is stored already is not stored again"
    second = put(world, BUSINESS | {"enabled": False})
    assert second["revision"] == first["revision"] + 1
    kept = world.get("/v1/corridors", revision=first["revision"])
    assert kept["corridors"] == first["corridors"]
    assert kept["note"] == "a trial"
    late = {"based_on": first["revision"], "note": "late", "corridors": [ANY]}
    problem = world.refused("PUT", "/v1/corridors", 409, "CORRIDORS_CHANGED", json=late)
    assert problem["context"]["newest"] == second["revision"]
    world.get("/v1/corridors", revision=2**40, status=404)
    entries = world.scalar("SELECT count(*) FROM audit_entry WHERE action = 'corridors.stored'")
    assert entries == world.scalar("SELECT count(*) FROM corridor_revision")
    with pytest.raises(Exception, match="revisions are only ever added"):
        world.run("UPDATE corridor_revision SET note = %(note)s", note="forged")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"source_currency": "XXQ"}, "ISO 4217"),
        ({"payer_country": "de"}, "ISO 3166"),
        ({"hours": {"calendars": ["Narnia"]}}, "no calendar"),
        ({"hours": {"time_zone": "Mars/Olympus"}}, "time zone"),
        ({"hours": {"cut_off": "25:00"}}, "time of day"),
        ({"purpose": {"codes": ["FUNN"]}}, "ExternalPurpose1Code"),
        ({"fees": {"standard": {"tiers": [{"rate_bps": "2500"}]}}}, "more than"),
        ({"fees": {"standard": {"tiers": [{"rate_bps": 1.5}]}}}, "basis points"),
        ({"refund": {"policy": "original_rate", "borne_by": "payer"}}, "borne by the treasury or the partner"),
        ({"refund": {"policy": "original_rate", "borne_by": "partner"}}, "there is no partner"),
        ({"refund": {"policy": "current_rate", "borne_by": "treasury"}}, "the payer bears"),
        ({"valid_from": "2026-01-01"}, "with its zone"),
        ({"id": "any"}, "same id"),
        ({}, "same match"),
        ({"colour": "blue"}, "not a field"),
    ],
    ids=str,
)
def test_put__of_what_makes_no_sense__says_where_and_why(world: World, wrong: Any, told: str) -> None:
    before = world.get("/v1/corridors")
    problem = put(world, {"id": "wrong"} | wrong, status=422)
    assert problem["code"] == "REQUEST_INVALID"
    assert any(told in part["detail"] for part in problem["errors"]), problem["errors"]
    assert world.get("/v1/corridors") == before


def test_corridors__are_only_for_operators(world: World) -> None:
    own = world.key("read", "quotes")
    world.refused("GET", "/v1/corridors", 403, "AUTH_SCOPE_MISSING", auth=own)
    world.refused("PUT", "/v1/corridors", 403, "AUTH_SCOPE_MISSING", auth=own, json={})


def test_quotes_far_from_mid__are_not_used(world: World) -> None:
    mid = world.services.mids.mid("NOK", "EUR")
    maker = world.maker(("NOK", "10000.00", "EUR", f"{float(7_000 * mid):.2f}"))  # three tenths too good
    body = {
        "source_currency": "EUR",
        "target_currency": "NOK",
        "source_amount": {"currency": "EUR", "value": "10.00"},
    }
    world.refused("POST", "/v1/quotes", 409, "MARKET_QUOTES_OFF_MID", json=body)
    try:
        put(world, risk={"maker_deviation_bps_max": 5_000})
        assert world.post("/v1/quotes", body)["legs"][0]["maker"] == maker["id"]
    finally:
        put(world, risk={})
    world.refused("POST", "/v1/quotes", 409, "MARKET_QUOTES_OFF_MID", json=body)


@pytest.mark.parametrize("which", ["by_maker", "by_currency"])
def test_promises_beyond_a_limit__are_neither_quoted_nor_made(world: World, which: str) -> None:
    mid = world.services.mids.mid("DKK", "EUR")
    maker = world.maker(("DKK", "10000.00", "EUR", f"{float(10_010 * mid):.2f}"))
    payer, payee = world.funded("EUR", "300.00"), world.customer()
    body = {
        "source_currency": "EUR",
        "target_currency": "DKK",
        "target_amount": {"currency": "DKK", "value": "400.00"},
    }
    limit = {"currency": "DKK", "value": "1000.00"}
    try:
        put(world, risk={"exposure": {which: {"DKK" if which == "by_currency" else maker["id"]: limit}}})
        quotes = [world.post("/v1/quotes", body) for _ in range(3)]
        with world.batches_wait():
            for quote in quotes[:2]:
                world.transfer(quote, payer, payee)
            before = world.books()
            problem = world.transfer(quotes[2], payer, payee, status=409)
            assert problem["code"] == "MARKET_EXPOSURE_LIMIT", "1,200 DKK would be promised"
            assert world.books() == before, "what was reserved for it is free again"
            world.services.pricer.refresh()
            world.refused("POST", "/v1/quotes", 409, "MARKET_EXPOSURE_LIMIT", json=body)
        world.quiet()
        world.services.pricer.refresh()
        world.post("/v1/quotes", body)  # what settled made room
    finally:
        put(world, risk={})
        for quote in world.get("/v1/maker-quotes", maker_id=maker["id"])["items"]:
            assert world.send("DELETE", f"/v1/maker-quotes/{quote['id']}").status_code < 300


def test_file_of_payments__takes_the_corridors_of_its_parties(corridors: World) -> None:
    world = corridors
    put(world, BUSINESS)
    payer, payee = world.funded("EUR", "100.00"), world.customer(country="US")

    def draft(number: int, purpose: str | None) -> InstructionDraft:
        return InstructionDraft(
            end_to_end_id=f"E2E-{number}",
            payer=PayeeRef(customer_id=payer["id"]),
            payee=PayeeRef(customer_id=payee["id"]),
            source_currency="EUR",
            target_currency="USD",
            fixed_source=Money.parse("EUR", "10.00"),
            purpose=purpose,
        )

    with world.services.database.transaction() as session:
        drafts = [draft(1, "GDDS"), draft(2, None)]
        principal = Principal(OPERATOR_ID, frozenset(), None)
        file = receive_file(session, message_id=new_id("msg"), instructions=drafts, principal=principal)
    world.quiet()
    with world.services.database.transaction() as session:
        refused = rejections(session, file.id)
    assert [(one.end_to_end_id, one.code) for one in refused] == [("E2E-2", "CORRIDOR_REFUSED")]
    made = world.get("/v1/transfers", payer_id=payer["id"])["items"]
    assert [(one["end_to_end_id"], one["corridor"]["id"]) for one in made] == [("E2E-1", "eur-usd-us")]
