"""What is packed by hand equals what eth_abi packs, and what the ABI file says."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.chain.contracts import access_manager, currency_token, settlement_hub
from chainwallet.chain.contracts.artifacts import CONTRACTS, artifact, error_types, selector, topic
from chainwallet.chain.contracts.batch_layout import pack_batch, pack_signature
from chainwallet.chain.contracts.hub_events import _PARSERS, PaymentSettled, SharedSurplus, SurplusShared, decode_log
from chainwallet.chain.contracts.settlement_hub import (
    DEPOSIT_TYPES,
    Fill,
    HubDeposit,
    encode_cancel_exit,
    encode_cancel_orders,
    encode_deposit,
    encode_exit,
    encode_list_currency,
    encode_request_exit,
    encode_request_exit_for,
    encode_settle,
)
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.intents import ExitOrder, MakerQuote, PaymentOrder

addresses = st.binary(min_size=20, max_size=20).map(checksum_address)
u16, u64, u128 = (st.integers(0, 2**bits - 1) for bits in (16, 64, 128))
words = st.binary(min_size=32, max_size=32)
orders = st.builds(PaymentOrder, addresses, addresses, u16, u128, u16, u128, u64, u64, words)
quotes = st.builds(MakerQuote, addresses, u16, u128, u16, u128, u64, u64)
fills = st.builds(Fill, u16, u128)
exit_orders = st.builds(ExitOrder, addresses, addresses, u16, u128, u64, u64)
signatures = st.binary(max_size=200)


def _values(item: Any) -> tuple[Any, ...]:
    return tuple(getattr(item, field.name) for field in dataclasses.fields(item))


@given(
    u64,
    st.lists(st.tuples(orders, signatures), max_size=4),
    st.lists(st.tuples(quotes, signatures), max_size=3),
    st.lists(fills, max_size=3),
)
def test_encode_settle__any_batch__is_one_bytes_argument(
    batch_id: int,
    signed_orders: list[tuple[PaymentOrder, bytes]],
    signed_quotes: list[tuple[MakerQuote, bytes]],
    some_fills: list[Fill],
) -> None:
    order_list, order_signatures = [o for o, _ in signed_orders], [s for _, s in signed_orders]
    quote_list, quote_signatures = [q for q, _ in signed_quotes], [s for _, s in signed_quotes]
    packed = encode_settle(batch_id, order_list, order_signatures, quote_list, quote_signatures, some_fills)
    batch = pack_batch(batch_id, signed_orders, signed_quotes, some_fills)
    assert packed == selector("settle(bytes)") + encode(("bytes",), (batch,))


@given(exit_orders, signatures)
def test_encode_request_exit_for__any__equals_eth_abi(order: ExitOrder, signature: bytes) -> None:
    kind, signed = pack_signature(signature)
    types = ("(address,address,uint16,uint128,uint64,uint64)", "bytes")
    expected = encode(types, (_values(order), bytes((kind,)) + signed))
    assert encode_request_exit_for(order, signature)[4:] == expected


@given(u16, u128, u64, addresses)
def test_encode_exits_and_cancellations__any__equal_eth_abi(
    currency_id: int, units: int, nonce: int, account: str
) -> None:
    expected = encode(("uint16", "uint128", "address"), (currency_id, units, account))
    assert encode_request_exit(currency_id, units, account)[4:] == expected
    assert encode_cancel_orders(currency_id, nonce)[4:] == encode(("uint16", "uint64"), (currency_id, nonce))
    assert encode_cancel_exit(currency_id)[4:] == encode(("uint16",), (currency_id,))
    assert encode_exit(account, currency_id)[4:] == encode(("address", "uint16"), (account, currency_id))


@given(u16, st.lists(st.builds(HubDeposit, addresses, u128, words), max_size=5))
def test_encode_deposit__any__equals_eth_abi(currency_id: int, deposits: list[HubDeposit]) -> None:
    expected = encode(DEPOSIT_TYPES, (currency_id, [_values(deposit) for deposit in deposits]))
    assert encode_deposit(currency_id, deposits) == selector(f"deposit({','.join(DEPOSIT_TYPES)})") + expected


@given(u16, addresses)
def test_encode_list_currency__any__equals_eth_abi(currency_id: int, token: str) -> None:
    assert encode_list_currency(currency_id, token)[4:] == encode(("uint16", "address"), (currency_id, token))


@given(addresses, st.integers(0, 2**256 - 1))
def test_token_calls__any__equal_eth_abi(account: str, units: int) -> None:
    expected = encode(("address", "uint256"), (account, units))
    assert currency_token.encode_mint(account, units)[4:] == expected
    assert currency_token.encode_approve(account, units)[4:] == expected
    assert currency_token.encode_configure_minter(account, units)[4:] == expected


def test_encode_settle__250_orders__within_five_milliseconds() -> None:
    account = checksum_address(bytes(range(20)))
    order = PaymentOrder(account, account, 978, 10**8, 840, 10**8, 7, 1 << 33, bytes(32))
    quote = MakerQuote(account, 840, 10**12, 978, 10**12, 1, 1 << 33)
    best_s = 1.0
    for _ in range(5):
        started = time.perf_counter()
        encode_settle(1, [order] * 250, [bytes(65)] * 250, [quote] * 30, [bytes(65)] * 30, [Fill(0, 1)] * 30)
        best_s = min(best_s, time.perf_counter() - started)
    assert best_s < 0.005


def _signature(entry: dict[str, Any]) -> str:
    def kind(argument: dict[str, Any]) -> str:
        if not argument["type"].startswith("tuple"):
            return str(argument["type"])
        return f"({','.join(kind(part) for part in argument['components'])}){argument['type'][5:]}"

    return f"{entry['name']}({','.join(kind(argument) for argument in entry['inputs'])})"


def _selectors_of(module: Any) -> set[bytes]:
    found = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, bytes)}
    tuples = [value for name, value in vars(module).items() if name.endswith("_FUNCTIONS")]
    return {item for item in (*found, *(entry for group in tuples for entry in group)) if len(item) == 4}


@pytest.mark.parametrize(
    ("module", "contract"),
    [
        ("settlement_hub", "SettlementHub"),
        ("currency_token", "CurrencyToken"),
        ("access_manager", "AccessManager"),
    ],
)
def test_selectors__every_one_used__is_in_the_abi(module: str, contract: str) -> None:
    import importlib

    wrapper = importlib.import_module(f"chainwallet.chain.contracts.{module}")
    known = {selector(_signature(entry)) for entry in artifact(contract).abi if entry["type"] == "function"}
    assert _selectors_of(wrapper) <= known
    assert _selectors_of(wrapper)


def test_steps__guarded_functions__exist_on_hub_and_token() -> None:
    for contract in ("SettlementHub", "CurrencyToken"):
        known = {selector(_signature(entry)) for entry in artifact(contract).abi if entry["type"] == "function"}
        assert {*currency_token.COMPLIANCE_FUNCTIONS, *currency_token.PAUSER_FUNCTIONS} <= known
    hub = {selector(_signature(entry)) for entry in artifact("SettlementHub").abi if entry["type"] == "function"}
    assert {settlement_hub.SETTLE, settlement_hub.LIST_CURRENCY} <= hub


def test_events__every_parser__is_in_the_abi_with_the_same_fields() -> None:
    declared = {topic(_signature(e)): e for e in artifact("SettlementHub").abi if e["type"] == "event"}
    for signature_topic in _PARSERS:
        entry = declared[signature_topic]
        indexed = [bytes(32)] * sum(argument["indexed"] for argument in entry["inputs"])
        data = bytes(32) * sum(not argument["indexed"] for argument in entry["inputs"])
        event = decode_log([signature_topic, *indexed], data)
        assert event is not None
        assert event.name == entry["name"]
        assert sorted(event.payload()) == sorted(argument["name"] for argument in entry["inputs"])


def test_decode_log__positions__follow_the_declaration() -> None:
    """Which argument is a topic and which is data, filled with numbers that tell them apart."""
    entry = next(e for e in artifact("SettlementHub").abi if e["type"] == "event" and e["name"] == "QuoteFilled")
    values = {"maker": 0xA1, "quoteHash": 0xB2, "sold": 3, "bought": 4}
    topics = [values[a["name"]].to_bytes(32, "big") for a in entry["inputs"] if a["indexed"]]
    data = b"".join(values[a["name"]].to_bytes(32, "big") for a in entry["inputs"] if not a["indexed"])
    event = decode_log([topic(_signature(entry)), *topics], data)
    assert event is not None
    assert event.payload() == {
        "maker": checksum_address((0xA1).to_bytes(20, "big")),
        "quoteHash": f"0x{0xB2:064x}",
        "sold": "3",
        "bought": "4",
    }
    assert event.key == f"0x{0xB2:064x}"


@given(st.lists(st.builds(SharedSurplus, addresses, u16, u64, st.integers(0, 2**15 - 1), st.booleans()), max_size=4))
def test_decode_log__shares__a_word_each(shares: list[SharedSurplus]) -> None:
    packed = [
        (share.index | share.is_makers << 15) << 240
        | share.amount << 176
        | share.currency << 160
        | int(share.account, 16)
        for share in shares
    ]
    event = decode_log([topic("SurplusShared(uint256[])")], encode(("uint256[]",), (packed,)))
    assert event == SurplusShared(tuple(shares))


def test_decode_log__an_address_and_a_hash__is_a_payment() -> None:
    entry = next(e for e in artifact("SettlementHub").abi if e["type"] == "event" and e["name"] == "PaymentSettled")
    assert entry["anonymous"]
    assert [(a["name"], a["indexed"]) for a in entry["inputs"]] == [
        ("payee", True),
        ("orderHash", False),
    ]
    payee, digest = bytes(12) + b"\x02" * 20, b"\x03" * 32
    event = decode_log([payee], digest)
    assert event == PaymentSettled(checksum_address(payee[12:]), "0x" + digest.hex())
    assert event.key == "0x" + digest.hex()


def test_events__no_topic__looks_like_an_address() -> None:
    declared = [topic(_signature(e)) for e in artifact("SettlementHub").abi if e["type"] == "event"]
    assert not [found for found in declared if not any(found[:12])]


def test_decode_log__unknown_topic_or_none__left_out() -> None:
    assert decode_log([], b"") is None
    assert decode_log([bytes(32)], b"") is None


def test_error_types__every_custom_error_of_every_contract__is_known() -> None:
    declared = {
        selector(_signature(entry)): entry["name"]
        for name in CONTRACTS
        for entry in artifact(name).abi
        if entry["type"] == "error"
    }
    known = error_types()
    assert {key: known[key].name for key in declared} == declared


def test_roles__fixed_numbers() -> None:
    assert [(role.name, int(role)) for role in access_manager.Role] == [
        ("ADMIN", 0),
        ("GOVERNOR", 1),
        ("SETTLER", 2),
        ("MINT_CONTROLLER", 3),
        ("COMPLIANCE", 4),
        ("PAUSER", 5),
        ("ANCHORER", 6),
    ]
