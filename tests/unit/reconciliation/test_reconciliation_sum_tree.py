"""The Merkle-sum tree: what is in it can be shown, and nothing else can."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chainwallet.reconciliation.sum_tree import (
    EMPTY,
    UNITS_LIMIT,
    CurrencyTotal,
    Node,
    SumRefused,
    climb,
    join,
    leaf,
    levels,
    liabilities_root,
    siblings_of,
)

EUR, USD = 978, 840
HUB, BLOCK = b"\x11" * 20, b"\x22" * 32
UNITS = st.integers(0, 2**100)
LEAVES = st.lists(UNITS, min_size=1, max_size=40)


def planted(units: list[int], currency: int = EUR) -> list[Node]:
    """A leaf for each, in the tree's order."""
    found = [leaf(at.to_bytes(32, "big"), at.to_bytes(20, "big"), currency, each) for at, each in enumerate(units)]
    return sorted(found, key=lambda node: node.hash)


def shown(leaves: list[Node], place: int) -> list[Node]:
    """The siblings that a proof of this place carries."""
    rows = levels(leaves)
    return [rows[level][beside] for level, beside in siblings_of(place, len(leaves))]


def root_of(*totals: CurrencyTotal) -> bytes:
    return liabilities_root(totals, chain_id=1, hub=HUB, block_number=7, block_hash=BLOCK)


def test_encoding__is_the_documented_one() -> None:
    one, other = leaf(bytes(32), bytes(20), EUR, 5), leaf(b"\x01" * 32, bytes(20), EUR, 7)
    assert one.hash == hashlib.sha256(bytes(1 + 32 + 20) + (978).to_bytes(2, "big") + (5).to_bytes(16, "big")).digest()
    content = one.hash + (5).to_bytes(16, "big") + other.hash + (7).to_bytes(16, "big")
    assert join(one, other) == Node(hashlib.sha256(b"\x01" + content).digest(), 12)


@given(LEAVES)
def test_tree__every_leaf__leads_to_the_top_and_the_top_is_the_sum(units: list[int]) -> None:
    leaves = planted(units)
    top = levels(leaves)[-1][0]
    assert top.units == sum(units)
    for place, node in enumerate(leaves):
        assert climb(node, place, len(leaves), shown(leaves, place)) == top


@given(LEAVES, st.data())
def test_climb__anything_of_it_changed__misses_the_top(units: list[int], data: st.DataObject) -> None:
    leaves = planted(units)
    top = levels(leaves)[-1][0]
    place = data.draw(st.integers(0, len(leaves) - 1))
    start, siblings = leaves[place], shown(leaves, place)
    step = data.draw(st.integers(0, len(siblings)))
    more = data.draw(st.integers(-(2**101), 2**101).filter(bool))
    bit = 1 << data.draw(st.integers(0, 255))
    node = start if step == len(siblings) else siblings[step]
    for changed in (
        replace(node, units=node.units + more),
        replace(node, hash=(int.from_bytes(node.hash, "big") ^ bit).to_bytes(32, "big")),
    ):
        beside = [changed if at == step else one for at, one in enumerate(siblings)]
        try:
            assert climb(changed if step == len(siblings) else start, place, len(leaves), beside) != top
        except SumRefused:
            continue


@given(LEAVES, st.data())
def test_climb__another_place_or_count__misses_the_top(units: list[int], data: st.DataObject) -> None:
    leaves = planted(units)
    top = levels(leaves)[-1][0]
    place = data.draw(st.integers(0, len(leaves) - 1))
    elsewhere, count = data.draw(st.integers(0, 80)), data.draw(st.integers(0, 80))
    assume(siblings_of(place, len(leaves)) != (siblings_of(elsewhere, count) if elsewhere < count else None))
    try:
        reached = climb(leaves[place], elsewhere, count, shown(leaves, place))
    except SumRefused:
        return
    same_turns = [at % 2 for _, at in siblings_of(elsewhere, count)] == [
        at % 2 for _, at in siblings_of(place, len(leaves))
    ]
    assert (reached == top) == same_turns, "the count is committed to with the currency, so it cannot be another"


@given(LEAVES, st.integers(1, 2**100))
def test_total__understated_by_a_parent__is_found_by_everyone_below(units: list[int], less: int) -> None:
    """An operator who keeps the hashes and lowers a sum somewhere: each leaf below it leads elsewhere."""
    assume(len(units) > 1)
    leaves = planted(units)
    top = levels(leaves)[-1][0]
    lowered = Node(top.hash, max(0, top.units - less))
    assume(lowered != top)
    for place, node in enumerate(leaves):
        assert climb(node, place, len(leaves), shown(leaves, place)) != lowered


@given(LEAVES, UNITS)
def test_hidden_account__changes_the_top_the_count_and_the_root(units: list[int], hidden: int) -> None:
    whole, without = planted([*units, hidden]), planted(units)
    tops = [levels(leaves)[-1][0] for leaves in (whole, without)]
    assert tops[0].units - tops[1].units == hidden
    roots = {root_of(CurrencyTotal(EUR, len(leaves), top)) for leaves, top in zip((whole, without), tops, strict=True)}
    assert len(roots) == 2


@given(LEAVES)
def test_swapped_currency__changes_every_leaf_and_the_root(units: list[int]) -> None:
    euros, dollars = planted(units), planted(units, USD)
    assert not {node.hash for node in euros} & {node.hash for node in dollars}
    top = levels(euros)[-1][0]
    assert root_of(CurrencyTotal(EUR, len(units), top)) != root_of(CurrencyTotal(USD, len(units), top))


@pytest.mark.parametrize("units", [-1, -(2**127), UNITS_LIMIT, 2**200])
def test_sums__negative_or_too_large__refused(units: int) -> None:
    with pytest.raises(SumRefused):
        leaf(bytes(32), bytes(20), EUR, units)
    for pair in ((Node(bytes(32), units), EMPTY), (EMPTY, Node(bytes(32), units))):
        with pytest.raises(SumRefused):
            join(*pair)
    with pytest.raises(SumRefused):
        root_of(CurrencyTotal(EUR, 1, Node(b"\x01" * 32, units)))


def test_sums__negative_hidden_beside_a_larger_one__refused() -> None:
    """A negative claim would lower the total and leave every parent's sum plausible."""
    with pytest.raises(SumRefused):
        levels([Node(b"\x01" * 32, 10), Node(b"\x02" * 32, -5)])


def test_sums__that_overflow_together__refused() -> None:
    half = Node(bytes(32), UNITS_LIMIT // 2)
    with pytest.raises(SumRefused):
        join(half, half)


@pytest.mark.parametrize(
    "totals",
    [
        [CurrencyTotal(USD, 0, EMPTY), CurrencyTotal(USD, 0, EMPTY)],
        [CurrencyTotal(EUR, 0, EMPTY), CurrencyTotal(USD, 0, EMPTY)],
        [CurrencyTotal(EUR, 1, EMPTY)],
        [CurrencyTotal(EUR, 0, Node(b"\x01" * 32, 0))],
        [CurrencyTotal(70_000, 0, EMPTY)],
    ],
    ids=["twice", "falling", "leaves without a top", "a top without leaves", "no currency"],
)
def test_root__over_what_no_statement_has__refused(totals: list[CurrencyTotal]) -> None:
    with pytest.raises(SumRefused):
        root_of(*totals)


def test_root__commits_to_chain_hub_and_block() -> None:
    usual = {"chain_id": 1, "hub": HUB, "block_number": 7, "block_hash": BLOCK}
    others = {"chain_id": 2, "hub": b"\x12" * 20, "block_number": 8, "block_hash": b"\x23" * 32}
    roots = {liabilities_root([], **{**usual, name: value}) for name, value in others.items()}  # type: ignore[arg-type]
    assert len(roots | {root_of()}) == 5


def test_proof__shows_siblings_only() -> None:
    """From a proof in a tree of 1,000, a reader learns ten sums: one neighbour's and nine of groups."""
    leaves = planted(list(range(1_000)))
    assert len(shown(leaves, 500)) == 10
