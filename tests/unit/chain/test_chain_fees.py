"""Fees: enough for a few full blocks, within the cap, never below what the chain takes."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.chain.fees import bump, suggest
from chainwallet.chain.node import Node

GWEI = 10**9


class Market:
    """What `suggest` asks a node."""

    def __init__(self, *, base_wei: int, tip_wei: int) -> None:
        self._base_wei = base_wei
        self._tip_wei = tip_wei

    def base_fee_wei(self) -> int:
        return self._base_wei

    def tip_wei(self) -> int:
        return self._tip_wei


def _suggest(*, base_wei: int, tip_wei: int, cap_wei: int) -> tuple[int, int]:
    return suggest(cast(Node, Market(base_wei=base_wei, tip_wei=tip_wei)), cap_wei)


@pytest.mark.parametrize(
    ("base_wei", "tip_wei", "cap_wei", "expected"),
    [
        (10 * GWEI, GWEI, 500 * GWEI, (21 * GWEI, GWEI)),
        (300 * GWEI, GWEI, 500 * GWEI, (500 * GWEI, GWEI)),  # capped
        (600 * GWEI, GWEI, 500 * GWEI, (600 * GWEI, GWEI)),  # a fee below the base fee is never mined
        (0, 0, 500 * GWEI, (1, 0)),
        (1, 900 * GWEI, 500 * GWEI, (500 * GWEI, 500 * GWEI)),  # a tip is never above the whole
    ],
)
def test_suggest__(base_wei: int, tip_wei: int, cap_wei: int, expected: tuple[int, int]) -> None:
    assert _suggest(base_wei=base_wei, tip_wei=tip_wei, cap_wei=cap_wei) == expected


@given(st.integers(0, 10**15), st.integers(0, 10**13), st.integers(1, 10**13))
def test_suggest__any_market__is_valid_and_mineable(base_wei: int, tip_wei: int, cap_wei: int) -> None:
    max_fee_wei, priority_wei = _suggest(base_wei=base_wei, tip_wei=tip_wei, cap_wei=cap_wei)
    assert 0 <= priority_wei <= max_fee_wei
    assert max_fee_wei >= base_wei
    assert max_fee_wei <= max(cap_wei, base_wei)


@given(st.integers(0, 10**15))
def test_bump__any_fee__at_least_an_eighth_more(fee_wei: int) -> None:
    bumped_wei = bump(fee_wei)
    assert 8 * bumped_wei >= 9 * fee_wei
    assert bumped_wei > fee_wei
    assert bumped_wei <= fee_wei + fee_wei // 8 + 1
