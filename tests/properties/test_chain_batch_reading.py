"""A packed batch reads back as what was packed, whatever it holds; cut or stretched it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.chain.contracts.batch_layout import Fill, Share, pack_batch
from chainwallet.chain.contracts.batch_reading import BatchUnreadable, read_batch, read_settle
from chainwallet.chain.contracts.settlement_hub import encode_settle
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.intents import MakerQuote, PaymentOrder

ADDRESSES = st.sampled_from([checksum_address(bytes([n]) * 20) for n in range(1, 6)])
CURRENCIES = st.sampled_from([978, 840, 392])
AMOUNTS = st.integers(1, 2**64 + 2**20) | st.integers(1, 10**9)
TIMES = st.integers(1, 2**33)
SIGNATURES = st.binary(min_size=65, max_size=65).map(lambda b: b"\x00" + b[1:64] + b"\x1b") | st.binary(max_size=80)
ORDERS = st.builds(
    PaymentOrder,
    payer=ADDRESSES,
    payee=ADDRESSES,
    source_currency=CURRENCIES,
    source_units=AMOUNTS,
    target_currency=CURRENCIES,
    target_units=AMOUNTS,
    nonce=TIMES,
    deadline=TIMES,
    memo=st.binary(min_size=32, max_size=32),
)
QUOTES = st.builds(
    MakerQuote,
    maker=ADDRESSES,
    sell_currency=CURRENCIES,
    sell_units_max=AMOUNTS,
    buy_currency=CURRENCIES,
    buy_units=AMOUNTS,
    nonce=TIMES,
    deadline=TIMES,
)
BATCHES = st.tuples(
    st.integers(0, 2**64 - 1),
    st.lists(st.tuples(ORDERS, SIGNATURES), max_size=8),
    st.lists(st.tuples(QUOTES, SIGNATURES), max_size=4),
    st.lists(st.builds(Fill, st.integers(0, 3), AMOUNTS), max_size=4),
    st.lists(st.builds(Share, st.integers(0, 2**15 - 1), st.integers(1, 2**64 - 1), st.booleans()), max_size=4),
)


@given(BATCHES)
def test_batch__packed_and_read__is_the_same(batch: tuple) -> None:  # type: ignore[type-arg]
    batch_id, orders, quotes, fills, shares = batch
    data = encode_settle(
        batch_id,
        [order for order, _ in orders],
        [signature for _, signature in orders],
        [quote for quote, _ in quotes],
        [signature for _, signature in quotes],
        fills,
        shares,
    )
    read = read_settle(data)
    assert read.batch_id == batch_id
    assert read.orders == tuple(order for order, _ in orders)
    assert read.quotes == tuple(quote for quote, _ in quotes)
    assert read.shares == tuple(shares)


@given(BATCHES, st.integers(1, 40))
def test_batch__cut_short_or_stretched__is_refused(batch: tuple, by: int) -> None:  # type: ignore[type-arg]
    batch_id, orders, quotes, fills, _ = batch
    packed = pack_batch(batch_id, orders, quotes, fills)  # a share cut off whole leaves another batch
    for wrong in (packed[:-by], packed + bytes(by)):
        with pytest.raises(BatchUnreadable):
            read_batch(wrong)


def test_call__of_something_else__is_refused() -> None:
    with pytest.raises(BatchUnreadable):
        read_settle(bytes(100))
