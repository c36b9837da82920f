"""Fields that do not fit their type on chain cannot become an intent."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from eth_utils import keccak as reference_keccak

from chainwallet.keys.addresses import address_bytes, checksum_address, parse_address
from chainwallet.keys.errors import InvalidIntent
from chainwallet.keys.intents import (
    DOMAIN_TYPE,
    ORDER_TYPE,
    QUOTE_TYPE,
    Domain,
    MakerQuote,
    PaymentOrder,
    Transaction,
    order_digest,
    quote_digest,
)
from chainwallet.keys.keccak import _pycryptodome, keccak

ALICE = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
HUB = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

ORDER = PaymentOrder(ALICE, BOB, 978, 100_000_000, 840, 108_000_000, 1, 1_800_000_000, bytes(range(32)))
QUOTE = MakerQuote(ALICE, 978, 5_000_000_000, 840, 5_400_000_000, 9, 1_800_000_000)
TRANSACTION = Transaction(31337, 0, HUB, b"\x01", 21_000, 2_000_000_000, 1_000_000_000)

UINTS = {
    "source_currency": 16,
    "source_units": 128,
    "target_currency": 16,
    "target_units": 128,
    "nonce": 64,
    "deadline": 64,
}
QUOTE_UINTS = {
    "sell_currency": 16,
    "sell_units_max": 128,
    "buy_currency": 16,
    "buy_units": 128,
    "nonce": 64,
    "deadline": 64,
}
TRANSACTION_UINTS = {"chain_id": 64, "nonce": 64, "gas": 64, "max_fee_wei": 256, "max_priority_wei": 256, "value": 256}
NOT_UINT: list[Any] = [-1, True, 1.0, "1", None]


@pytest.mark.parametrize("value", NOT_UINT)
@pytest.mark.parametrize(("name", "bits"), UINTS.items())
def test_order__not_a_uint__refused(name: str, bits: int, value: Any) -> None:
    for wrong in (value, 1 << bits):
        with pytest.raises(InvalidIntent, match=name):
            replace(ORDER, **{name: wrong})
    replace(ORDER, **{name: (1 << bits) - 1})


@pytest.mark.parametrize("value", NOT_UINT)
@pytest.mark.parametrize(("name", "bits"), QUOTE_UINTS.items())
def test_quote__not_a_uint__refused(name: str, bits: int, value: Any) -> None:
    for wrong in (value, 1 << bits):
        with pytest.raises(InvalidIntent, match=name):
            replace(QUOTE, **{name: wrong})
    replace(QUOTE, **{name: (1 << bits) - 1})


@pytest.mark.parametrize("value", NOT_UINT)
@pytest.mark.parametrize(("name", "bits"), TRANSACTION_UINTS.items())
def test_transaction__not_a_uint__refused(name: str, bits: int, value: Any) -> None:
    for wrong in (value, 1 << bits):
        with pytest.raises(InvalidIntent, match=name):
            replace(TRANSACTION, **{name: wrong})


def test_transaction__tip_above_fee__refused() -> None:
    with pytest.raises(InvalidIntent, match="max_priority_wei"):
        replace(TRANSACTION, max_priority_wei=TRANSACTION.max_fee_wei + 1)


def test_transaction__data_that_is_not_bytes__refused() -> None:
    with pytest.raises(InvalidIntent, match="data"):
        replace(TRANSACTION, data="0x01")  # type: ignore[arg-type]


@pytest.mark.parametrize("memo", [b"", bytes(31), bytes(33), "0" * 32, None])
def test_order__memo_not_32_bytes__refused(memo: Any) -> None:
    with pytest.raises(InvalidIntent, match="memo"):
        replace(ORDER, memo=memo)


@pytest.mark.parametrize("address", [ALICE.lower(), ALICE.upper(), ALICE[2:], ALICE[:-1], ALICE + "0", "", None, 5])
def test_order__address_not_in_eip55__refused(address: Any) -> None:
    for name in ("payer", "payee"):
        with pytest.raises(InvalidIntent):
            replace(ORDER, **{name: address})


def test_order__set_a_field__refused() -> None:
    with pytest.raises(FrozenInstanceError):
        ORDER.source_units = 1  # type: ignore[misc]


@pytest.mark.parametrize("chain_id", [-1, True, "1", 2**64])
def test_domain__bad_chain_id__refused(chain_id: Any) -> None:
    with pytest.raises(InvalidIntent, match="chain_id"):
        Domain(chain_id, HUB)


def test_order_digest__each_field__changes_it() -> None:
    domain = Domain(31337, HUB)
    changes: dict[str, Any] = dict.fromkeys(UINTS, 7) | {"payer": BOB, "payee": ALICE, "memo": bytes(32)}
    digests = {order_digest(domain, replace(ORDER, **{name: value})) for name, value in changes.items()}
    digests |= {order_digest(other, ORDER) for other in (domain, Domain(1, HUB), Domain(31337, BOB))}
    assert len(digests) == len(changes) + 3


def test_quote_digest__each_field__changes_it() -> None:
    domain = Domain(31337, HUB)
    changes: dict[str, Any] = dict.fromkeys(QUOTE_UINTS, 7) | {"maker": BOB}
    digests = {quote_digest(domain, replace(QUOTE, **{name: value})) for name, value in changes.items()}
    assert len(digests | {quote_digest(domain, QUOTE)}) == len(changes) + 1


def test_type_strings__are_those_of_the_contracts() -> None:
    assert DOMAIN_TYPE == "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    assert ORDER_TYPE == (
        "PaymentOrder(address payer,address payee,uint16 sourceCurrency,uint128 sourceAmount,"
        "uint16 targetCurrency,uint128 targetAmount,uint64 nonce,uint64 deadline,bytes32 memo)"
    )
    assert QUOTE_TYPE == (
        "MakerQuote(address maker,uint16 sellCurrency,uint128 sellAmountMax,uint16 buyCurrency,uint128 buyAmount,"
        "uint64 nonce,uint64 deadline)"
    )


@pytest.mark.parametrize("size", [0, 1, 135, 136, 137, 1_000])
def test_keccak__both_backends__equal_eth_utils(size: int) -> None:
    data = bytes(size)
    assert keccak(data) == _pycryptodome(data) == bytes(reference_keccak(data))


# The four mixed-case examples of EIP-55 itself.
@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_addresses__eip55_examples__round_trip(address: str) -> None:
    assert checksum_address(address_bytes(address)) == address
    for spelling in (address, address.lower(), "0x" + address[2:].upper()):
        assert parse_address(spelling) == address
    with pytest.raises(InvalidIntent, match="typing error"):
        parse_address(address[:2] + address[2:].swapcase())


def test_checksum_address__not_20_bytes__refused() -> None:
    with pytest.raises(InvalidIntent, match="20 bytes"):
        checksum_address(bytes(32))
