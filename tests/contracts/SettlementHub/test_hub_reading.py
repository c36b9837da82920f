"""positionOf, positionsOf, hashOrder, hashQuote, DOMAIN_SEPARATOR, the storage layout and the delta table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from eth_utils import keccak
from hub_world import (
    EUR,
    GBP,
    ORDER_TYPE,
    QUOTE_TYPE,
    UINT128_MAX,
    UNIT,
    USD,
    Chain,
    Order,
    Quote,
    Refusal,
    World,
    account,
    load_compiler_script,
    mock,
    typed_data,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
UINT16, UINT64, UINT128 = (st.integers(0, 2**bits - 1) for bits in (16, 64, 128))
ORDERS = st.builds(
    Order, ADDRESSES, ADDRESSES, UINT16, UINT128, UINT16, UINT128, UINT64, UINT64, st.binary(min_size=32, max_size=32)
)
QUOTES = st.builds(Quote, ADDRESSES, UINT16, UINT128, UINT16, UINT128, UINT64, UINT64)


@settings(max_examples=40)
@given(order=ORDERS, quote=QUOTES)
def test_hashes__any_intent__equal_those_of_eth_account(built_world: World, order: Order, quote: Quote) -> None:
    hub = built_world.hub.functions
    checksum = built_world.chain.web3.to_checksum_address
    order = order._replace(payer=checksum(order.payer), payee=checksum(order.payee))
    quote = quote._replace(maker=checksum(quote.maker))
    assert hub.hashOrder(tuple(order)).call() == built_world.order_hash(order)
    assert hub.hashQuote(tuple(quote)).call() == built_world.quote_hash(quote)


def test_hash_order__stray_bit_above_a_field__refused(world: World) -> None:
    order = Order(account("a").address, account("b").address, EUR, 1, EUR, 1)
    data = bytearray.fromhex(world.hub.functions.hashOrder(tuple(order))._encode_transaction_data()[2:])
    data[4] = 1  # above the payer's 160 bits
    refused = world.chain.refused_data(world.hub.address, bytes(data), world.who["stranger"])
    assert refused == Refusal("")


def test_domain_separator__equals_that_of_eth_account(world: World) -> None:
    order = Order(account("a").address, account("b").address, EUR, 1, EUR, 1)
    message = typed_data(ORDER_TYPE, order, chain_id=world.chain.id, hub=world.hub.address)
    assert world.hub.functions.DOMAIN_SEPARATOR().call() == message.header


def test_type_strings__are_those_of_the_design() -> None:
    sources = load_compiler_script().read_closure(["contracts/libraries/IntentHash.sol"])
    for types in (ORDER_TYPE, QUOTE_TYPE):
        ((name, members),) = types.items()
        text = f"{name}({','.join(member['type'] + ' ' + member['name'] for member in members)})"
        assert text in sources["contracts/libraries/IntentHash.sol"]


def test_positions_of__pairs__are_answered_pairwise(world: World) -> None:
    first, second = world.fund("first", EUR, 5), world.fund("second", USD, 7)
    pairs = [(first, EUR), (first, USD), (second, USD), (second, GBP), (second, USD)]
    accounts, currencies = zip(*pairs, strict=True)
    assert world.hub.functions.positionsOf(accounts, currencies).call() == [5, 0, 7, 0, 7]


def test_positions_of__lists_of_different_lengths__refused(world: World) -> None:
    call = world.hub.functions.positionsOf([account("a").address], [])
    assert world.refused(call, "stranger") == Refusal("LengthMismatch", (1, 0))


def test_views__nothing_there__are_zero(world: World) -> None:
    hub, nobody = world.hub.functions, account("nobody").address
    assert hub.positionOf(nobody, EUR).call() == [0, 0]
    assert (hub.tokenOf(999).call(), hub.totalOf(999).call()) == ("0x" + "00" * 20, 0)
    assert hub.exitOf(nobody, EUR).call() == [0, 0, "0x" + "00" * 20]
    assert hub.quoteSold(b"\x01" * 32).call() == 0
    assert not hub.isSettled(7).call()
    assert not hub.isFrozen(nobody).call()


def test_domain__is_described_for_wallets(world: World) -> None:
    described = world.hub.functions.eip712Domain().call()
    assert described[1:5] == ["chainwallet", "1", world.chain.id, world.hub.address]
    assert (described[0], described[5], described[6]) == (b"\x0f", bytes(32), [])


def test_storage__position__is_one_slot_of_balance_and_nonce(world: World) -> None:
    payer = world.fund("payer", EUR, 9 * UNIT)
    world.settle(world.batch([Order(payer, payer, EUR, UNIT, EUR, UNIT, nonce=2**64 - 1)]))
    slot = 1 << 255 | EUR << 160 | int(payer, 16)
    word = int.from_bytes(world.chain.web3.eth.get_storage_at(world.hub.address, slot), "big")
    assert word == (2**64 - 1) << 128 | 9 * UNIT


@pytest.fixture(scope="module")
def harness() -> Any:
    chain = Chain()
    return chain, chain.deploy(mock("DeltaTableHarness"))


CROWDED = st.sampled_from([0, 1, 255, 256, 511, 512, 767, 65_279, 65_535])  # most of these share index bytes
SUMS = st.integers(0, 2**200)
MOVES = st.lists(st.tuples(CROWDED, SUMS, CROWDED, SUMS), max_size=25)


@settings(max_examples=60)
@given(moves=MOVES)
def test_delta_table__any_moves__sums_like_a_dictionary(harness: Any, moves: list[tuple[int, int, int, int]]) -> None:
    _, contract = harness
    canary = keccak(text="canary")
    currencies, deltas, after = contract.functions.run(moves, canary).call()
    expected: Counter[int] = Counter()
    for debit_currency, debited, credit_currency, credited in moves:
        expected[debit_currency] += debited
        expected[credit_currency] -= credited
    assert dict(zip(currencies, deltas, strict=True)) == dict(expected)
    assert len(currencies) == len(set(currencies))
    assert after == canary


def test_delta_table__255_currencies__fit_and_one_more_is_refused(harness: Any) -> None:
    chain, contract = harness
    moves = [(7 * index, 1, 7 * index, 2) for index in range(255)]
    canary = keccak(text="canary")
    currencies, deltas, after = contract.functions.run(moves, canary).call({"gas": 30_000_000})
    assert (currencies, after) == ([7 * index for index in range(255)], canary)
    assert set(deltas) == {-1}
    refused = chain.refused(contract.functions.run([*moves, (65_535, 1, 0, 1)], bytes(32)), chain.accounts[0])
    assert refused == Refusal("TooManyCurrencies")


def test_delta_table__sums_of_the_largest_amounts__do_not_wrap(harness: Any) -> None:
    _, contract = harness
    moves = [(1, UINT128_MAX, 2, UINT128_MAX)] * 40
    _, deltas, _ = contract.functions.run(moves, bytes(32)).call()
    assert deltas == [40 * UINT128_MAX, -40 * UINT128_MAX]
