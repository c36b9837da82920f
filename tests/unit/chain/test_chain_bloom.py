"""The bloom filter agrees with eth_bloom and never misses."""

from __future__ import annotations

from eth_bloom import BloomFilter
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.chain.bloom import may_have_logs_of
from chainwallet.keys.addresses import checksum_address


@given(st.lists(st.binary(min_size=20, max_size=20), max_size=30), st.binary(min_size=20, max_size=20))
def test_may_have_logs_of__any_filter__equals_eth_bloom(present: list[bytes], asked: bytes) -> None:
    bloom = BloomFilter()
    for item in present:
        bloom.add(item)
    text = f"0x{int(bloom):0512x}"
    assert may_have_logs_of(text, checksum_address(asked)) == (asked in bloom)
    assert all(may_have_logs_of(text, checksum_address(item)) for item in present)
