"""Lists: every item once, in order, whatever the size of the page; and no cursor but our own."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import World

LISTS = (
    "/v1/transfers",
    "/v1/deposits",
    "/v1/customers",
    "/v1/maker-quotes",
    "/v1/batches",
    "/v1/api-keys",
    "/v1/webhooks",
)


@pytest.fixture(scope="module")
def filled(world: World) -> World:
    """At least five of everything, and nothing that still changes."""
    maker = world.customer("maker")
    payer, payee = world.funded("EUR", "100.00"), world.customer()
    for number in range(5):
        world.maker_quote(maker["id"], "ZAR", "10.00", "EUR", f"{number + 1}.00")
        world.fund(payer["id"], "EUR", "1.00")
        world.settled(world.transfer(world.quote("EUR", "EUR", source="2.00"), payer, payee)["id"])
        world.key("read")
        world.post("/v1/webhooks", {"url": "http://127.0.0.1:9/pages", "events": ["batch.settled"]})
    world.quiet()
    return world


def walk(world: World, path: str, limit: int, **query: Any) -> list[Any]:
    """Every item of a list, page by page."""
    items: list[Any] = []
    cursor: dict[str, str] = {}
    for _ in range(500):
        answer = world.send("GET", path, params={"limit": limit, **cursor, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert len(page["items"]) == limit, "a page that is not the last is full"
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError(f"{path} has no end")


@pytest.mark.parametrize("path", LISTS)
def test_list__page_by_page__is_the_whole_list_in_order(filled: World, path: str) -> None:
    whole = walk(filled, path, 200)
    assert len(whole) >= 3
    ids = [one["id"] for one in whole]
    assert len(set(ids)) == len(ids), "nothing twice"
    assert ids == sorted(ids) or ids == sorted(ids, reverse=True), "in one order"
    assert [one["id"] for one in walk(filled, path, 7)] == ids
    assert len(filled.get(path, limit=len(ids) if len(ids) <= 200 else 200)["items"]) == min(len(ids), 200)


def test_list__page_that_ends_with_the_list__has_no_next(filled: World) -> None:
    payer = filled.funded("EUR", "10.00")
    payee = filled.customer()
    for _ in range(2):
        filled.settled(filled.transfer(filled.quote("EUR", "EUR", source="2.00"), payer, payee)["id"])
    page = filled.get("/v1/transfers", payer_id=payer["id"], limit=2)
    assert len(page["items"]) == 2
    assert page["next_cursor"] is None, "nothing follows, so nothing is promised"
    assert len(walk(filled, "/v1/transfers", 1, payer_id=payer["id"])) == 2
    assert filled.get("/v1/transfers", payer_id=payee["id"]) == {"items": [], "next_cursor": None}


def test_transfers__by_status__are_only_those(filled: World) -> None:
    for status in ("settled", "declined"):
        assert {one["status"] for one in walk(filled, "/v1/transfers", 50, status=status)} <= {status}
    filled.refused("GET", "/v1/transfers?status=paid", 422, "REQUEST_INVALID")


@pytest.mark.parametrize("path", LISTS)
def test_cursor__that_is_not_ours__is_refused(filled: World, path: str) -> None:
    good = filled.get(path, limit=1)["next_cursor"]
    flipped = good[:3] + ("A" if good[3] != "A" else "B") + good[4:]
    for cursor in (flipped, good[:-2], good + "AA", good + "=", "", "x", "null", "..", "%00", "' OR 1=1 --", "١٢٣"):
        filled.refused("GET", path, 400, "CURSOR_INVALID", params={"cursor": cursor, "limit": 1})
    filled.refused("GET", path, 422, "REQUEST_INVALID", params={"cursor": "A" * 201})


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "201", "1.5", "all", "", "1e2", "9" * 40])
def test_limit__out_of_range__is_refused(filled: World, path: str, limit: str) -> None:
    filled.refused("GET", path, 422, "REQUEST_INVALID", params={"limit": limit})


def test_cursor__of_another_list__is_refused_where_ids_are_numbers(filled: World) -> None:
    other = filled.get("/v1/transfers", limit=1)["next_cursor"]
    filled.refused("GET", "/v1/batches", 400, "CURSOR_INVALID", params={"cursor": other})


@pytest.mark.parametrize("number", ["0", "-1", "9" * 19, "9" * 40, "1.5", "one"])
def test_batch__whose_number_cannot_be__is_refused(filled: World, number: str) -> None:
    filled.refused("GET", f"/v1/batches/{number}", 422, "REQUEST_INVALID")


def test_batch__whose_number_was_never_used__is_unknown(filled: World) -> None:
    filled.refused("GET", f"/v1/batches/{2**62}", 404, "SETTLEMENT_BATCH_UNKNOWN")


def test_batch__holds_its_transfers(filled: World) -> None:
    newest = filled.get("/v1/batches", limit=1)["items"][0]
    whole = filled.get(f"/v1/batches/{newest['id']}")
    assert len(whole["transfers"]) == whole["payments"] == newest["payments"]
    for transfer_id in whole["transfers"]:
        assert filled.get(f"/v1/transfers/{transfer_id}")["settlement"]["batch_id"] == newest["id"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/transfers/a%00b",
        "/v1/customers/%00",
        "/v1/customers/%00/balances",
        "/v1/deposits/%00",
        "/v1/transfers?payer_id=%00",
        "/v1/deposits?customer_id=a%00",
        "/v1/maker-quotes?maker_id=%00",
        "/v1/payment-files/%00",
    ],
)
def test_address__with_the_character_nul__is_refused_by_name(filled: World, path: str) -> None:
    filled.refused("GET", path, 400, "REQUEST_MALFORMED")
