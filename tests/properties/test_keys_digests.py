"""Digests packed by hand equal eth_account's; signatures and transactions recover to their signer."""

from __future__ import annotations

import json

from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_account.typed_transactions import TypedTransaction
from eth_utils import to_checksum_address
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwallet.keys.intents import (
    Domain,
    Intent,
    MakerQuote,
    PaymentOrder,
    Transaction,
    order_digest,
    quote_digest,
)
from chainwallet.keys.signatures import SecretKey, recover
from chainwallet.keys.signers import LocalSigner
from chainwallet.keys.typed_data import parse_typed_data, typed_data


def uint(bits: int) -> st.SearchStrategy[int]:
    """Any value of the width, its two ends often."""
    return st.one_of(st.sampled_from([0, 1, 2**bits - 1]), st.integers(0, 2**bits - 1))


addresses = st.binary(min_size=20, max_size=20).map(to_checksum_address)
domains = st.builds(Domain, chain_id=uint(64), hub=addresses)
orders = st.builds(
    PaymentOrder,
    payer=addresses,
    payee=addresses,
    source_currency=uint(16),
    source_units=uint(128),
    target_currency=uint(16),
    target_units=uint(128),
    nonce=uint(64),
    deadline=uint(64),
    memo=st.binary(min_size=32, max_size=32),
)
quotes = st.builds(
    MakerQuote,
    maker=addresses,
    sell_currency=uint(16),
    sell_units_max=uint(128),
    buy_currency=uint(16),
    buy_units=uint(128),
    nonce=uint(64),
    deadline=uint(64),
)
secrets = st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big"))


def eth_account_digest(domain: Domain, intent: Intent) -> bytes:
    """By the library, from the JSON that a wallet would be given."""
    document = json.loads(json.dumps(typed_data(domain, intent)))
    return bytes(_hash_eip191_message(encode_typed_data(full_message=document)))


@settings(max_examples=1_000)
@given(domain=domains, order=orders)
def test_order_digest__any_order__equals_eth_account(domain: Domain, order: PaymentOrder) -> None:
    assert order_digest(domain, order) == eth_account_digest(domain, order)


@settings(max_examples=1_000)
@given(domain=domains, quote=quotes)
def test_quote_digest__any_quote__equals_eth_account(domain: Domain, quote: MakerQuote) -> None:
    assert quote_digest(domain, quote) == eth_account_digest(domain, quote)


@settings(max_examples=300)
@given(domain=domains, intent=st.one_of(orders, quotes))
def test_parse_typed_data__of_typed_data__is_the_same(domain: Domain, intent: Intent) -> None:
    assert parse_typed_data(json.loads(json.dumps(typed_data(domain, intent)))) == (domain, intent)


@settings(max_examples=300)
@given(secret=secrets, digest=st.binary(min_size=32, max_size=32))
def test_sign_digest__any_key_and_digest__equals_eth_account_and_recovers(secret: bytes, digest: bytes) -> None:
    key = SecretKey(secret)
    signature = key.sign_digest(digest)
    assert signature == bytes(Account.unsafe_sign_hash(digest, secret).signature), "RFC 6979 gives one signature"
    assert recover(digest, signature) == key.address == Account.from_key(secret).address


@settings(max_examples=300)
@given(
    secret=secrets,
    chain_id=st.integers(1, 2**63),
    nonce=uint(64),
    to=st.one_of(st.none(), addresses),
    data=st.one_of(st.just(b""), st.binary(max_size=2_000)),
    gas=st.integers(1, 2**64 - 1),
    fees=st.lists(uint(128), min_size=2, max_size=2).map(sorted),
    value=uint(128),
)
def test_sign_transaction__any_transaction__equals_eth_account_and_decodes_back(
    secret: bytes,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes,
    gas: int,
    fees: list[int],
    value: int,
) -> None:
    transaction = Transaction(chain_id, nonce, to, data, gas, fees[1], fees[0], value)
    signer = LocalSigner(secret.hex())
    signed = signer.sign_transaction(transaction)
    reference = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "data": data,
        "gas": gas,
        "maxPriorityFeePerGas": fees[0],
        "maxFeePerGas": fees[1],
        "value": value,
        **({} if to is None else {"to": to}),
    }
    decoded = TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()
    assert {name: decoded[name] for name in reference if name not in ("data", "to")} == {
        name: value for name, value in reference.items() if name not in ("data", "to")
    }
    assert bytes(decoded["data"]) == data
    assert bytes(decoded["to"]) == (bytes.fromhex(to[2:]) if to else b"")
    assert not decoded["accessList"]
    assert Account.recover_transaction(signed.raw) == signer.address
    expected = Account.sign_transaction(reference, secret)
    assert signed.raw == bytes(expected.raw_transaction)
    assert signed.hash == "0x" + bytes(expected.hash).hex()
