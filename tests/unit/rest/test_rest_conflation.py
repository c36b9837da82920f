"""Conflation: whatever arrives, a tick has the newest version of each pair, and memory is bounded by pairs."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chainwallet.entrypoints.rest.conflation import Conflation, Pair

CODES = ("EUR", "USD", "GBP", "JPY")
MESSAGES = st.lists(
    st.tuples(st.sampled_from(CODES), st.sampled_from(CODES), st.integers(-2, 9), st.integers(0, 3)), max_size=60
)


def text(sell: str, buy: str, version: object, tag: int = 0) -> str:
    return json.dumps({"type": "ladder", "sell": sell, "buy": buy, "version": version, "tag": tag})


@given(MESSAGES, st.integers(1, 4))
def test_ticks__have_the_newest_of_each_pair_once__and_refuse_the_rest(
    sent: list[tuple[str, str, int, int]], ladders_max: int
) -> None:
    conflation = Conflation(ladders_max=ladders_max)
    newest: dict[Pair, tuple[int, int]] = {}
    overtaken: dict[Pair, int] = {}
    for sell, buy, version, tag in sent:
        conflation.offer(text(sell, buy, version, tag))
        if (sell, buy) not in newest or newest[sell, buy][0] < version:
            newest[sell, buy] = (version, tag)
        else:
            overtaken[sell, buy] = version
    assert conflation.received == len(sent)
    first = True
    while not conflation.is_empty:
        tick = conflation.take()
        assert len(tick.newest) <= ladders_max
        assert tick.received == (len(sent) if first else 0)
        assert {pair: version for pair, (version, _) in tick.refused.items() if pair} == (overtaken if first else {})
        assert all(error.code == "MAKER_LADDER_STALE" for _, error in tick.refused.values())
        for pair, document in tick.newest.items():
            assert (document["version"], document["tag"]) == newest.pop(pair)
        first = False
    assert not newest, "every pair had its turn"


def test_flood__of_one_pair__keeps_one_message() -> None:
    conflation = Conflation(ladders_max=10)
    for version in range(10_000):
        conflation.offer(text("USD", "EUR", version))
    tick = conflation.take()
    assert (tick.received, len(tick.newest), len(tick.refused)) == (10_000, 1, 0)
    assert tick.newest["USD", "EUR"]["version"] == 9_999


@given(
    st.one_of(
        st.text(max_size=50),
        st.sampled_from(
            ["[]", "1", "{}", '{"type":"ladder"}', '{"type":"ladder","sell":1,"buy":"EUR","version":1}']
            + [text("USD", "EUR", version) for version in ("1", True, 1.0, None)]
            + [text("USD", "XYZ", 1), '{"type":"ladder","type":"ladder"}', "\ud800"]
        ),
    )
)
def test_nonsense__is_refused_and_kept_once(message: str) -> None:
    conflation = Conflation(ladders_max=10)
    for _ in range(3):
        conflation.offer(message)
    tick = conflation.take()
    assert (tick.received, tick.newest, list(tick.refused)) == (3, {}, [None])
    assert conflation.is_empty
