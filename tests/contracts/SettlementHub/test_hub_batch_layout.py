"""The packed form and the structs that are signed agree: in Solidity, in the product's encoder, in the tests' own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hub_packing import pack_batch
from hub_world import ORDER_TYPE as ORDER_FIELDS
from hub_world import Chain, Order, Quote, World, digest_of, mock
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwallet.chain.contracts.batch_layout import OF_MAKER, Fill, Share
from chainwallet.chain.contracts.batch_layout import pack_batch as product_pack_batch
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.intents import MakerQuote, PaymentOrder

ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum_address)
FEW_ADDRESSES = st.sampled_from([checksum_address(bytes([n]) * 20) for n in range(1, 4)])
UINT16, UINT32, UINT64, UINT128 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64, 128))
MEMOS = st.binary(min_size=32, max_size=32)
COMPACT = st.binary(min_size=64, max_size=64)
NARROW = st.builds(Order, ADDRESSES, FEW_ADDRESSES, UINT16, UINT64, UINT16, UINT64, UINT32, UINT32, MEMOS)
ANY = st.builds(Order, ADDRESSES, ADDRESSES | FEW_ADDRESSES, UINT16, UINT128, UINT16, UINT128, UINT64, UINT64, MEMOS)
QUOTES = st.builds(Quote, ADDRESSES, UINT16, UINT128, UINT16, UINT128, UINT64, UINT64)
BATCHES = st.tuples(
    UINT64,
    st.lists(st.tuples(NARROW | ANY, COMPACT), max_size=6),
    st.lists(st.tuples(QUOTES, COMPACT), max_size=3),
    st.lists(st.tuples(UINT16, UINT128), max_size=4),
    st.lists(st.tuples(UINT16, UINT64), max_size=4),
)


@pytest.fixture(scope="module")
def harness() -> Any:
    return Chain().deploy(mock("BatchLayoutHarness"))


@settings(max_examples=60)
@given(batch=BATCHES, shift=st.integers(0, 3))
def test_packed_batch__read_by_the_library__is_the_structs_it_was_made_of(
    harness: Any, built_world: World, batch: Any, shift: int
) -> None:
    batch_id, orders, quotes, fills, shares = batch
    packed = pack_batch(batch_id, orders, quotes, fills, shares).join()
    separator = built_world.hub.functions.DOMAIN_SEPARATOR().call()
    found = harness.functions.unpack(packed, separator, len(orders), shift).call({"gas": 30_000_000})
    assert found[0] == batch_id
    assert found[1] == [tuple(order) for order, _ in orders]
    assert found[2] == found[3], "the digest of the packed form is that of the struct"
    domain = {"chain_id": built_world.chain.id, "hub": built_world.hub.address}
    assert found[2] == [digest_of(ORDER_FIELDS, order, **domain) for order, _ in orders]
    assert found[4] == [tuple(quote) for quote, _ in quotes]
    assert found[5] == fills
    debits: Counter[tuple[int, int]] = Counter()
    credits: Counter[tuple[int, int]] = Counter()
    for order, _ in orders:
        debits[order.source_currency, order.target_currency] += order.source_units
        credits[order.source_currency, order.target_currency] += order.target_units
    assert sorted(found[7]) == sorted(debits.values())
    assert sorted(found[8]) == sorted(credits.values())
    assert found[6] == b"".join(party.to_bytes(2, "big") + units.to_bytes(8, "big") for party, units in shares)


@given(batch=BATCHES, contract_signature=st.binary(max_size=200))
def test_pack_batch__the_product_and_the_tests__make_the_same_bytes(batch: Any, contract_signature: bytes) -> None:
    batch_id, orders, quotes, fills, shares = batch
    if orders:
        orders = [(orders[0][0], contract_signature), *orders[1:]]
    made = product_pack_batch(
        batch_id,
        [(PaymentOrder(*order), signature) for order, signature in orders],
        [(MakerQuote(*quote), signature) for quote, signature in quotes],
        [Fill(*fill) for fill in fills],
        [Share(party & ~OF_MAKER, units, bool(party & OF_MAKER)) for party, units in shares],
    )
    assert made == pack_batch(batch_id, orders, quotes, fills, shares).join()


def test_pack_batch__share_beyond_64_bits__refused() -> None:
    with pytest.raises(ValueError, match="larger than its layout"):
        product_pack_batch(1, [], [], [], [Share(0, 2**64)])


@pytest.mark.parametrize("fills", [[Fill(65_536, 1)], [Fill(0, 1)] * 65_536], ids=["index", "count"])
def test_pack_batch__more_than_the_layout_can_say__refused(fills: list[Fill]) -> None:
    with pytest.raises(ValueError, match="larger than its layout"):
        product_pack_batch(1, [], [], fills)
