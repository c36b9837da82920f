"""Confirmations count the including block."""

from __future__ import annotations

import pytest

from chainwallet.chain.finality import confirmations_of, final_number


@pytest.mark.parametrize(("block", "head", "expected"), [(5, 5, 1), (5, 9, 5), (9, 5, 0), (0, 0, 1)])
def test_confirmations_of__(block: int, head: int, expected: int) -> None:
    assert confirmations_of(block, head_number=head) == expected


@pytest.mark.parametrize(("head", "depth", "expected"), [(10, 1, 10), (10, 3, 8), (0, 1, 0), (1, 3, None)])
def test_final_number__(head: int, depth: int, expected: int | None) -> None:
    assert final_number(head, confirmations=depth) == expected
    if expected is not None:
        assert confirmations_of(expected, head_number=head) == depth
        assert confirmations_of(expected + 1, head_number=head) < depth
