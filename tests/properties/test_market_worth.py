"""What netting is worth, on days drawn from the World Bank's corridors."""

from __future__ import annotations

import pytest
from scripts.market_worth import Day, draw_day, every_pair_quoted, measure

PAYMENTS = 600


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("balanced", [False, True], ids=["remittances", "balanced"])
def test_netting__costs_never_more_and_on_balanced_days_a_third_at_most(balanced: bool, seed: int) -> None:
    day = draw_day(balanced=balanced, payments=PAYMENTS, seed=seed)
    figures = measure(day)
    assert figures["set_aside"] == 0
    assert figures["netted_bps"] <= figures["unnetted_bps"]
    assert figures["netted_bps"] <= min(figures["best_maker_bps"], figures["greedy_router_bps"])
    assert figures["liquidity_of_gross"] <= figures["liquidity_alone_of_gross"]
    if balanced:
        assert figures["netted_to_unnetted"] <= 1 / 3


@pytest.mark.parametrize("balanced", [False, True], ids=["remittances", "balanced"])
def test_netting__asks_makers_for_the_net_positions_and_no_more(balanced: bool) -> None:
    day = draw_day(balanced=balanced, payments=PAYMENTS, seed=3)
    direct = Day(day.orders, every_pair_quoted(day.book, day.mids), day.mids)
    assert abs(measure(direct)["volume_over_least"]) <= 0.02
