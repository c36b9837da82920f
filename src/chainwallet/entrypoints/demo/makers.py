"""What the demo's four makers quote around the fixing: ladders of realistic width, on both sides, fully funded.

Half-spreads are orders of magnitude that dealers quote each other's clients for spot in liquid hours: a basis
point or two between the majors, a few for the other currencies of the G10, tens for emerging ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from chainwallet.entrypoints.demo.population import Funding, Mid
from chainwallet.kit.money import UNITS_PER_CURRENCY_UNIT, quantise_down, quantise_up

HUBS = ("USD", "EUR")
USD_UNITS_MIN = 100_000 * UNITS_PER_CURRENCY_UNIT  # the smallest first level anyone shows

# Tenths of a basis point either side of mid against a hub. Size of level and width grow together.
_HALF_SPREAD_TENTHS: dict[str, int] = {
    "USD": 10, "EUR": 10, "JPY": 12, "GBP": 14, "CHF": 18, "CAD": 20, "AUD": 20, "NZD": 32, "SEK": 40, "NOK": 44,
    "DKK": 20, "HKD": 25, "SGD": 40, "CNY": 60, "ILS": 80, "MXN": 80, "PLN": 80, "CZK": 90, "KRW": 100, "HUF": 110,
    "INR": 110, "THB": 120, "ZAR": 130, "MYR": 140, "RON": 140, "BRL": 150, "PHP": 160, "IDR": 200, "ISK": 250,
    "TRY": 350,
}  # fmt: skip
_HALF_SPREAD_TENTHS_UNKNOWN = 400
# (size in tenths of a currency's flow, width in percent of the first level's)
_LEVELS = ((5, 100), (10, 150), (20, 250))

_G10 = ("AUD", "CAD", "CHF", "DKK", "EUR", "GBP", "JPY", "NOK", "NZD", "SEK", "USD")
_ASIA = ("AUD", "CNY", "HKD", "IDR", "INR", "JPY", "KRW", "MYR", "NZD", "PHP", "SGD", "THB")
_AROUND_EURO = (
    "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "GBP", "HUF", "ILS", "INR", "ISK", "NOK", "PLN", "RON", "SEK", "TRY",
    "ZAR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoMaker:
    """A maker: which currencies it makes against which hubs, and how wide, in percent of the usual half-spread."""

    alias: str
    full_name: str
    country: str
    speciality: str
    hubs: tuple[str, ...]
    currencies: tuple[str, ...] | None  # None: every currency that is not one of the G10
    width_percent: int
    crosses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class QuoteDraft:
    """The maker sells up to `sell_units` and is paid `buy_units` for all of it; in parts at the same price."""

    maker_alias: str
    sell_code: str
    sell_units: int
    buy_code: str
    buy_units: int


MAKERS = (
    DemoMaker("MAKER-1", "Maker One", "GB", "G10 and the peso, tight", ("USD", "EUR"), (*_G10, "MXN"), 90),
    DemoMaker("MAKER-2", "Maker Two", "US", "emerging currencies against the dollar", ("USD",), None, 100),
    DemoMaker(
        "MAKER-3", "Maker Three", "SG", "Asia and the Pacific", ("USD",), _ASIA, 85,
        crosses=(("HKD", "CNY"), ("SGD", "MYR"), ("JPY", "CNY"), ("AUD", "NZD")),
    ),
    DemoMaker("MAKER-4", "Maker Four", "DE", "around the euro", ("EUR",), _AROUND_EURO, 95),
)  # fmt: skip


def maker_quotes(
    mid: Mid, currencies: Collection[str], *, volumes_usd_units: Mapping[str, int] | None = None
) -> list[QuoteDraft]:
    """Every maker's ladder in every pair it makes among `currencies`, both directions, prices worse than `mid`.

    `mid(source, target)` is units of target per unit of source. `volumes_usd_units` (see `currency_volumes`)
    sizes the levels to the flow, a half, once and twice of it; where that is small, or without it, to 100,000,
    200,000 and 400,000 dollars.
    Sizes are round in the currency sold; prices are rounded up to its minor unit, in the maker's favour.
    """
    volumes = volumes_usd_units or {}
    return [
        _quote(maker, level, sell=sell, buy=buy, mid=mid, volumes=volumes)
        for maker in MAKERS
        for first, second in _pairs(maker, currencies)
        for sell, buy in ((first, second), (second, first))
        for level in _LEVELS
    ]


def maker_funding(quotes: Iterable[QuoteDraft]) -> list[Funding]:
    """What each maker must hold so that all of its quotes could be filled at once: a firm quote is a funded one."""
    needed: Counter[tuple[str, str]] = Counter()
    for quote in quotes:
        needed[quote.maker_alias, quote.sell_code] += quote.sell_units
    return [Funding(alias, code, units) for (alias, code), units in sorted(needed.items())]


def _pairs(maker: DemoMaker, currencies: Collection[str]) -> Iterator[tuple[str, str]]:
    known = set(currencies)
    wanted = maker.currencies if maker.currencies is not None else tuple(sorted(known - set(_G10)))
    seen: set[frozenset[str]] = set()
    made = [(code, hub) for hub in maker.hubs for code in wanted] + [("EUR", "USD"), *maker.crosses]
    for pair in made:
        if known.issuperset(pair) and len(set(pair)) == 2 and frozenset(pair) not in seen:
            seen.add(frozenset(pair))
            yield pair


def _quote(
    maker: DemoMaker, level: tuple[int, int], *, sell: str, buy: str, mid: Mid, volumes: Mapping[str, int]
) -> QuoteDraft:
    size_tenths, level_percent = level
    flow_usd_units = min(volumes.get(sell, 0), volumes.get(buy, 0))
    sell_units = _size(sell, size_tenths, mid, flow_usd_units)
    width = _half_spread(sell, buy) * Fraction(maker.width_percent, 100) * Fraction(level_percent, 100)
    exact = sell_units * mid(sell, buy) * (1 + width)
    buy_units = quantise_up(-(-exact.numerator // exact.denominator), buy)
    return QuoteDraft(maker.alias, sell, sell_units, buy, buy_units)


def _half_spread(one: str, other: str) -> Fraction:
    """Of the pair, as a fraction: the wider leg's, and for a cross without a hub half of the narrower one's too."""
    narrow, wide = sorted(_HALF_SPREAD_TENTHS.get(code, _HALF_SPREAD_TENTHS_UNKNOWN) for code in (one, other))
    extra = 0 if one in HUBS or other in HUBS else Fraction(narrow, 2)
    return (wide + extra) / Fraction(100_000)


def _size(sell: str, size_tenths: int, mid: Mid, flow_usd_units: int) -> int:
    """The level's size in units of `sell`, to two digits; the flow is the smaller one of the pair's currencies."""
    usd_units = max(USD_UNITS_MIN * size_tenths // _LEVELS[0][0], flow_usd_units * size_tenths // 10)
    exact = usd_units * mid("USD", sell)
    units = exact.numerator // exact.denominator
    scale = max(int(10 ** (len(str(units)) - 2)), 1)
    return quantise_down(units // scale * scale, sell)
