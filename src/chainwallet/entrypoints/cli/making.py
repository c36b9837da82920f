"""`chainwallet maker`: the reference maker against a running service."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.client import Client
from chainwallet.entrypoints.maker.bot import MakerBot, Pair, Plan, Worths, fund_maker, open_maker, service_worths
from chainwallet.entrypoints.maker.quoting import Style
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency


class MakerOptionInvalid(ChainwalletError):
    """An option of `chainwallet maker` makes no sense."""

    code = "MAKER_OPTION_INVALID"
    status = 422


@dataclass(frozen=True, slots=True)
class MakerOptions:
    """What the command line says; sizes are in euros."""

    url: str
    key: str
    pairs: str
    spread_bps: float
    levels: int
    size: str
    skew_bps: float
    lasts_s: float
    maker_id: str | None
    alias: str
    fund: str | None
    rates: str


def make_market(options: MakerOptions, *, say: Callable[[str], None]) -> None:
    """Quote until told to stop (SIGTERM, SIGINT); what is quoted ends with it."""
    plan = plan_of(options)
    with Client(options.url, options.key) as client:
        worths = _worths(options.rates, client)
        maker_id = options.maker_id or open_maker(client, options.alias, "Reference maker", "DE")
        missing = [code for code in plan.currencies if code not in worths()]
        if missing:
            raise MakerOptionInvalid(f"There is no mid-market rate for {', '.join(missing)}; leave out these pairs.")
        if options.fund is not None:
            fund_maker(client, maker_id, plan.currencies, worths(), _euros(options.fund))
        say(f"maker {maker_id} quotes {len(plan.directions)} ladders on {options.url}")
        bot = MakerBot(client, maker_id, plan, worths)
        _stop_with(bot.stop)
        bot.run()


def plan_of(options: MakerOptions) -> Plan:
    """MAKER_OPTION_INVALID, MONEY_*."""
    try:
        style = Style(Fraction(str(options.spread_bps)), options.levels, Fraction(str(options.skew_bps)))
    except ValueError as error:
        raise MakerOptionInvalid(f"These options do not make a ladder: {error}.") from error
    return Plan(_pairs(options.pairs), style, _euros(options.size), lasts_s=options.lasts_s)


def _pairs(text: str) -> tuple[Pair, ...]:
    found = []
    for part in text.split(","):
        one, dash, other = part.strip().upper().replace("/", "-").partition("-")
        if not dash or one == other:
            raise MakerOptionInvalid(f"'{part}' is no pair; name two currencies, such as EUR-USD.")
        found.append((currency(one).code, currency(other).code))
    if len({frozenset(pair) for pair in found}) < len(found):
        raise MakerOptionInvalid("A pair is named twice; each is quoted both ways already.")
    return tuple(found)


def _worths(kind: str, client: Client) -> Callable[[], Worths]:
    if kind == "service":
        return lambda: service_worths(client)
    if kind != "ecb":
        raise MakerOptionInvalid("Rates come from 'service' (its mid) or from 'ecb' (the fixing that ships).")
    source = EcbRates()
    return lambda: {code: 1 / rate for code, rate in source.fixing().rates.items()}


def _euros(value: str) -> int:
    return Money.parse("EUR", value).units


def _stop_with(stop: threading.Event) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: stop.set())
