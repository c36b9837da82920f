"""Four makers: enough quotes, of realistic width, never crossed, every currency reachable, every quote funded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction

import pytest

from chainwallet.adapters.iso20022 import PaymentFile
from chainwallet.entrypoints.demo.corridors import country_currencies
from chainwallet.entrypoints.demo.makers import HUBS, MAKERS, QuoteDraft, maker_funding, maker_quotes
from chainwallet.entrypoints.demo.population import currency_volumes
from chainwallet.kit.money import currency

Mid = Callable[[str, str], Fraction]
CURRENCIES = sorted(set(country_currencies().values()))


@pytest.fixture(scope="module")
def quotes(payments: PaymentFile, mid: Mid) -> list[QuoteDraft]:
    return maker_quotes(mid, CURRENCIES, volumes_usd_units=currency_volumes(payments.instructions, mid))


def width(quote: QuoteDraft, mid: Mid) -> Fraction:
    """How far above mid the maker is paid, as a fraction."""
    return quote.buy_units / (quote.sell_units * mid(quote.sell_code, quote.buy_code)) - 1


def test_four_makers__three_to_six_hundred_quotes(quotes: list[QuoteDraft]) -> None:
    assert len(MAKERS) == 4
    assert 300 <= len(quotes) <= 600
    assert {quote.maker_alias for quote in quotes} == {maker.alias for maker in MAKERS}


def test_every_quote_is_above_mid__so_no_loop_of_fills_gains(quotes: list[QuoteDraft], mid: Mid) -> None:
    for quote in quotes:
        assert width(quote, mid) > 0, quote


def test_widths__are_realistic_by_group(quotes: list[QuoteDraft], mid: Mid) -> None:
    best: dict[frozenset[str], Fraction] = defaultdict(lambda: Fraction(1))
    for quote in quotes:
        pair = frozenset((quote.sell_code, quote.buy_code))
        best[pair] = min(best[pair], width(quote, mid))
    in_bps = {pair: float(best_width * 10_000) for pair, best_width in best.items()}
    assert in_bps[frozenset(("EUR", "USD"))] < 2
    assert 0.5 < in_bps[frozenset(("JPY", "USD"))] < 3
    assert 1 < in_bps[frozenset(("AUD", "USD"))] < 6
    assert 5 < in_bps[frozenset(("MXN", "USD"))] < 20
    assert max(in_bps.values()) < 60


def test_levels__more_size_costs_more(quotes: list[QuoteDraft], mid: Mid) -> None:
    ladders: dict[tuple[str, str, str], list[QuoteDraft]] = defaultdict(list)
    for quote in quotes:
        ladders[quote.maker_alias, quote.sell_code, quote.buy_code].append(quote)
    for (maker, sell, buy), ladder in ladders.items():
        assert len(ladder) == 3
        assert (maker, buy, sell) in ladders, "both directions"
        by_size = sorted(ladder, key=lambda quote: quote.sell_units)
        widths = [width(quote, mid) for quote in by_size]
        assert widths == sorted(widths)


def test_every_currency_is_quoted_against_a_hub_by_two_makers_or_more(quotes: list[QuoteDraft]) -> None:
    makers: dict[str, set[str]] = defaultdict(set)
    for quote in quotes:
        if quote.buy_code in HUBS:
            makers[quote.sell_code].add(quote.maker_alias)
    assert {code for code in CURRENCIES if len(makers[code]) < 2} == set()
    assert makers["USD"] & makers["EUR"], "the hubs are joined"


def test_amounts__are_whole_minor_units_and_positive(quotes: list[QuoteDraft]) -> None:
    for quote in quotes:
        for code, units in ((quote.sell_code, quote.sell_units), (quote.buy_code, quote.buy_units)):
            assert units > 0
            assert units % currency(code).minor_units == 0


def test_funding__backs_every_quote_in_full(quotes: list[QuoteDraft]) -> None:
    needed: Counter[tuple[str, str]] = Counter()
    for quote in quotes:
        needed[quote.maker_alias, quote.sell_code] += quote.sell_units
    assert {(need.alias, need.code): need.units for need in maker_funding(quotes)} == needed


def test_depth__covers_each_currency_whole_flow_each_way(
    quotes: list[QuoteDraft], payments: PaymentFile, mid: Mid
) -> None:
    volumes = currency_volumes(payments.instructions, mid)
    depth: Counter[str] = Counter()
    for quote in quotes:
        if quote.buy_code in HUBS:
            depth[quote.sell_code] += int(quote.sell_units * mid(quote.sell_code, "USD"))
    for code, volume in volumes.items():
        assert depth[code] > volume, code


def test_a_subset_of_currencies__is_quoted_alone(mid: Mid) -> None:
    few = maker_quotes(mid, ["EUR", "USD", "MXN"])
    assert {code for quote in few for code in (quote.sell_code, quote.buy_code)} == {"EUR", "USD", "MXN"}
    assert len(few) == len(set(few))
    assert maker_quotes(mid, ["JPY"]) == []
