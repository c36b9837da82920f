"""The reference maker on a running service: a market at once, renewed when it is taken from, gone when it stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest

from chainwallet.client import Client
from chainwallet.entrypoints.cli.making import MakerOptionInvalid, MakerOptions, plan_of
from chainwallet.entrypoints.maker.bot import MakerBot, Plan, fund_maker, open_maker, service_worths
from chainwallet.entrypoints.maker.quoting import Style
from chainwallet.kit.money import Money

from .conftest import OPERATOR_KEY, World
from .test_makers import ladders

PLAN = Plan(
    (("EUR", "HUF"), ("EUR", "RON")), Style(Fraction(10), 2, Fraction(500)), size_units=1_000_000_000, refresh_s=2
)


@contextmanager
def quoting(url: str, maker_id: str, plan: Plan = PLAN) -> Iterator[MakerBot]:
    with Client(url, OPERATOR_KEY) as client:
        bot = MakerBot(client, maker_id, plan, lambda: service_worths(client))
        thread = threading.Thread(target=bot.run)
        thread.start()
        try:
            yield bot
        finally:
            bot.stop.set()
            thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def maker(world: World, url: str) -> Any:
    with Client(url, OPERATOR_KEY) as client:
        maker_id = open_maker(client, "bot-under-test", "Maker Bot", "DE")
        assert open_maker(client, "bot-under-test", "Maker Bot", "DE") == maker_id, "found again"
        fund_maker(client, maker_id, PLAN.currencies, service_worths(client), 20_000_000_000)
        world.quiet()
        fund_maker(client, maker_id, PLAN.currencies, service_worths(client), 20_000_000_000)
    world.quiet()
    return {"id": maker_id}


def test_market__is_there_at_once_and_gone_when_the_bot_stops(world: World, url: str, maker: Any) -> None:
    with quoting(url, maker["id"]):
        world.until(lambda: len(ladders(world, maker)) == 4, "every pair is quoted both ways")
        world.services.market_changed()
        payer, payee = world.funded("RON", "3000.00"), world.customer()
        quote = world.quote("RON", "HUF", source="2000.00")
        assert Fraction(quote["cost_bps"]) <= 45, "two steps of 10 bps and some skew, and the fee"
        before = ladders(world, maker)
        world.settled(world.transfer(quote, payer, payee)["id"])

        def is_renewed() -> bool:
            now = ladders(world, maker)
            return len(now) == 4 and all(now[pair] != before[pair] for pair in ("HUF-EUR", "RON-EUR"))

        world.until(is_renewed, "what was taken is quoted anew")
        after = ladders(world, maker)
        assert _price(after["HUF-EUR"]) > _price(before["HUF-EUR"]), "forints are scarcer, so dearer"
        assert _price(after["RON-EUR"]) < _price(before["RON-EUR"]), "lei are plenty, so cheaper"
    world.until(lambda: ladders(world, maker) == {}, "the market ends with its maker")


def _price(levels: list[tuple[str, str, str]]) -> Fraction:
    sell, buy, _ = levels[0]
    return Fraction(buy) / Fraction(sell)


def test_due__says_nothing_twice_and_renews_what_grows_old(world: World, url: str, maker: Any) -> None:
    sent: list[Any] = []

    class Line:
        def send_ladder(self, sell: str, buy: str, **fields: Any) -> None:
            sent.append((sell, buy, fields))

    with Client(url, OPERATOR_KEY) as client:
        bot = MakerBot(client, maker["id"], PLAN, lambda: service_worths(client))
        for pair, levels in bot.due().items():
            bot._send(Line(), pair, levels)  # type: ignore[arg-type]
        assert len(sent) == 4
        assert bot.due() == {}, "nothing drifted"
        for posted in bot._posted.values():
            posted.expires_at -= (posted.expires_at - posted.expires_at.replace(year=2020)) / 1
        assert len(bot.due()) == 4, "what is about to expire is renewed"
    versions = [fields["version"] for _, _, fields in sent]
    assert versions == sorted(set(versions))


def options(**given: Any) -> MakerOptions:
    usual = {
        "url": "http://127.0.0.1:9", "key": "cw_x", "pairs": "EUR-USD", "spread_bps": 10, "levels": 3, "size": "1000",
        "skew_bps": 5, "lasts_s": 600, "maker_id": None, "alias": "m", "fund": None, "rates": "service",
    }  # fmt: skip
    return MakerOptions(**(usual | given))


def test_options__make_a_plan() -> None:
    plan = plan_of(options(pairs="eur/usd, GBP-JPY", spread_bps=2.5))
    assert plan.pairs == (("EUR", "USD"), ("GBP", "JPY"))
    assert plan.style == Style(Fraction(5, 2), 3, Fraction(5))
    assert plan.size_units == Money.parse("EUR", "1000").units


@pytest.mark.parametrize(
    "given", [{"pairs": "EURUSD"}, {"pairs": "EUR-EUR"}, {"pairs": "EUR-USD,USD-EUR"}, {"spread_bps": -1}]
)
def test_options__that_make_no_market__are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(MakerOptionInvalid):
        plan_of(options(**given))
