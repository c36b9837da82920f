"""A maker's stream over a real socket: floods of ladders in, the newest applied; fills and reserved amounts out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from chainwallet.client import ApiError, Client
from chainwallet.client.stream import MakerStream, StreamEnded

from .conftest import OPERATOR_KEY, World
from .test_makers import ladder, ladders, put, rejections, soon

Open = Callable[..., AbstractContextManager["Line"]]


class Line:
    """One end of a stream, with what has been heard on it."""

    def __init__(self, stream: MakerStream) -> None:
        self.stream = stream

    def say(self, sell: str, buy: str, version: int, *levels: tuple[str, str], **more: Any) -> None:
        body = {"type": "ladder", "sell": sell, "buy": buy, **ladder(version, *levels), **more}
        self.stream.send_text(json.dumps(body))

    def hear(self, kind: str) -> Any:
        """The next message of a kind."""
        while True:
            message = self.stream.receive(timeout_s=30)
            assert message is not None, f"no {kind} was heard"
            if message["type"] == kind:
                return message

    def acknowledged(self, pair: str, version: int) -> list[Any]:
        """Every acknowledgement up to the one of this version."""
        found = [self.hear("ack")]
        while found[-1]["applied"].get(pair) != version:
            found.append(self.hear("ack"))
        return found


@pytest.fixture
def line(url: str) -> Callable[..., AbstractContextManager[Line]]:
    @contextmanager
    def open_one(maker: Any, *, auth: str = OPERATOR_KEY, **options: Any) -> Iterator[Line]:
        with Client(url, auth) as client, client.maker_stream(maker["id"], **options) as stream:
            yield Line(stream)

    return open_one


def test_flood__only_the_newest_version_of_each_pair_is_applied(world: World, line: Open, maker: Any) -> None:
    with line(maker) as one:
        assert one.hear("hello")["limits"]["tick_ms"] == 100
        for version in range(1, 1_501):
            one.say("USD", "EUR", version, (f"{version}.00", f"{version}.00"))
            one.say("USD", "GBP", version, ("1.00", "1.00"))
        told = one.acknowledged("USD-EUR", 1_500)
        told += [] if told[-1]["applied"].get("USD-GBP") == 1_500 else one.acknowledged("USD-GBP", 1_500)
    assert sum(ack["received"] for ack in told) == 3_000
    assert max(ack["received"] for ack in told) <= 1_000, "then reading waits for the tick"
    assert len(told) < 100, "thousands of messages, a few transactions"
    assert all(not ack["rejected"] for ack in told)
    for pair in ("USD-EUR", "USD-GBP"):
        versions = [ack["applied"][pair] for ack in told if pair in ack["applied"]]
        assert versions == sorted(set(versions))
    assert ladders(world, maker)["USD-EUR"] == [("1500.00", "1500.00", "0.00")]


def test_refusals__are_told_and_counted_and_change_nothing(world: World, line: Open, maker: Any) -> None:
    put(world, maker, "USD-EUR", ladder(10, ("5.00", "5.00")))
    with line(maker) as one:
        one.say("USD", "EUR", 10, ("1.00", "1.00"))
        (refused,) = one.hear("ack")["rejected"]
        assert (refused["sell"], refused["buy"], refused["version"]) == ("USD", "EUR", 10)
        assert (refused["code"], refused["context"]) == ("MAKER_LADDER_STALE", {"version": 10})
        one.say("USD", "EUR", 11, ("1.001", "1.00"))
        assert one.hear("ack")["rejected"][0]["code"] == "MONEY_INVALID_AMOUNT"
        one.say("USD", "EUR", 12, ("1.00", "1.00"), colour="blue")
        assert one.hear("ack")["rejected"][0]["code"] == "REQUEST_INVALID"
        one.stream.send_text("{")
        assert one.hear("ack")["rejected"][0]["code"] == "REQUEST_MALFORMED"
        one.stream.send_text(b"\x00")
        assert one.hear("ack")["rejected"][0]["code"] == "REQUEST_MALFORMED"
        one.say("USD", "EUR", 12, ("2.00", "2.00"))
        assert one.hear("ack")["applied"] == {"USD-EUR": 12}, "the stream goes on"
    assert ladders(world, maker) == {"USD-EUR": [("2.00", "2.00", "0.00")]}
    counted = rejections(world, maker)
    assert counted["USD", "EUR", "MAKER_LADDER_STALE"] == (10, 1)
    assert counted["USD", "EUR", "MONEY_INVALID_AMOUNT"] == (11, 1)


def test_fills_and_reserved_amounts__are_told_as_they_happen_and_again_from_a_position(
    world: World, line: Open, maker: Any
) -> None:
    payer, payee = world.funded("EUR", "500.00"), world.customer()
    with line(maker) as one:
        start = one.hear("hello")["position"]
        one.say("USD", "EUR", 1, ("1000.00", "950.00"))
        one.acknowledged("USD-EUR", 1)
        world.services.market_changed()
        with world.batches_wait():
            transfer = world.transfer(world.quote("EUR", "USD", target="100.00"), payer, payee)
            assert one.hear("reserved")["reserved"] == {"USD": "100.00"}
        world.settled(transfer["id"])
        fill = one.hear("fill")
        assert fill["sold"] == {"currency": "USD", "value": "100.00"}
        assert fill["bought"] == {"currency": "EUR", "value": "95.00"}
    shown = world.get(f"/v1/makers/{maker['id']}/fills")["items"][0]
    assert {key: fill[key] for key in shown} == shown
    with line(maker, after=start) as again:
        assert again.hear("fill")["id"] == fill["id"]


def test_cancel_on_disconnect__withdraws_everything(world: World, line: Open, maker: Any) -> None:
    put(world, maker, "USD-GBP", ladder(1, ("5.00", "5.00")))
    with line(maker, cancel_on_disconnect=True) as one:
        for version in range(1, 50):
            one.say("USD", "EUR", version, ("5.00", "5.00"))
        one.hear("ack")
    world.until(lambda: ladders(world, maker) == {}, "all is withdrawn")
    time.sleep(0.3)  # longer than a tick: what was on its way must not come to life
    assert ladders(world, maker) == {}


def test_disconnect__otherwise_leaves_the_ladders(world: World, line: Open, maker: Any) -> None:
    with line(maker) as one:
        one.say("USD", "EUR", 1, ("5.00", "5.00"))
        one.acknowledged("USD-EUR", 1)
    assert ladders(world, maker) == {"USD-EUR": [("5.00", "5.00", "0.00")]}


@pytest.mark.parametrize(
    ("whose", "status", "code"),
    [
        ("nobody", 401, "AUTH_KEY_INVALID"),
        ("reader", 403, "AUTH_SCOPE_MISSING"),
        ("other", 404, "CUSTOMER_UNKNOWN"),
    ],
)
def test_door__refuses_as_any_request(world: World, line: Open, maker: Any, whose: str, status: int, code: str) -> None:
    keys = {
        "nobody": lambda: "cw_" + "x" * 43,
        "reader": lambda: world.key("read", customer_id=maker["id"]),
        "other": lambda: world.key("maker", customer_id=world.customer("maker")["id"]),
    }
    with pytest.raises(ApiError) as denied, line(maker, auth=keys[whose]()):
        pass
    assert (denied.value.status, denied.value.code) == (status, code)


def test_door__an_id_that_cannot_be_stored__is_refused(world: World, line: Open) -> None:
    with pytest.raises(ApiError) as denied, line({"id": "cus%00"}):
        pass
    assert (denied.value.status, denied.value.code) == (400, "REQUEST_MALFORMED")


def test_plain_request__is_told_to_upgrade(world: World, maker: Any) -> None:
    world.refused("GET", f"/v1/makers/{maker['id']}/stream", 426, "STREAM_UPGRADE_REQUIRED")


@pytest.mark.parametrize("how", ["revoked", "frozen"])
def test_stream__of_who_may_no_longer__ends_with_the_code(world: World, line: Open, maker: Any, how: str) -> None:
    secret = world.key("maker", customer_id=maker["id"])
    with line(maker, auth=secret) as one:
        one.hear("hello")
        if how == "revoked":
            (key_id,) = [
                key["id"] for key in world.get("/v1/api-keys", limit=200)["items"] if secret.startswith(key["prefix"])
            ]
            world.send("DELETE", f"/v1/api-keys/{key_id}")
        else:
            world.post(f"/v1/customers/{maker['id']}/freeze", {"reason": "a trial"}, status=200)
        one.say("USD", "EUR", 1, ("5.00", "5.00"))
        with pytest.raises(StreamEnded) as ended:
            one.hear("fill")
    assert ended.value.code == 1008
    assert ended.value.reason == {"revoked": "AUTH_KEY_INVALID", "frozen": "MAKER_NOT_ACTIVE"}[how]


def test_expiry__of_a_streamed_ladder_holds(world: World, line: Open, maker: Any) -> None:
    with line(maker) as one:
        one.say("USD", "EUR", 1, ("5.00", "5.00"), expires_at=soon(-1))
        assert one.hear("ack")["rejected"][0]["code"] == "MAKER_QUOTE_EXPIRY_INVALID"
