"""The document that wallets show, and the refusal of documents that would show something else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from chainwallet.keys.errors import InvalidIntent
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, Transaction, order_digest
from chainwallet.keys.signatures import recover
from chainwallet.keys.typed_data import parse_typed_data, typed_data

ALICE = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
HUB = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
ALICE_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # public: the test mnemonic's first
DOMAIN = Domain(31337, HUB)
ORDER = PaymentOrder(ALICE, BOB, 978, 100_000_000, 840, 2**100, 1, 1_800_000_000, bytes(range(32)))
QUOTE = MakerQuote(ALICE, 978, 5_000_000_000, 840, 5_400_000_000, 9, 1_800_000_000)


def test_typed_data__order__is_what_the_documentation_says() -> None:
    document = typed_data(DOMAIN, ORDER)
    assert document["primaryType"] == "PaymentOrder"
    assert document["domain"] == {
        "name": "chainwallet",
        "version": "1",
        "chainId": 31337,
        "verifyingContract": HUB,
    }
    assert document["message"] == {
        "payer": ALICE,
        "payee": BOB,
        "sourceCurrency": 978,
        "sourceAmount": "100000000",
        "targetCurrency": 840,
        "targetAmount": str(2**100),
        "nonce": "1",
        "deadline": "1800000000",
        "memo": "0x" + bytes(range(32)).hex(),
    }
    assert [member["name"] for member in document["types"]["PaymentOrder"]] == list(document["message"])


def test_typed_data__signed_by_another_wallet__recovers_here() -> None:
    signed = Account.sign_message(encode_typed_data(full_message=typed_data(DOMAIN, ORDER)), ALICE_KEY)
    assert recover(order_digest(DOMAIN, ORDER), bytes(signed.signature)) == ALICE


def test_typed_data__transaction__refused() -> None:
    with pytest.raises(InvalidIntent, match="Transaction"):
        typed_data(DOMAIN, Transaction(1, 0, BOB, b"", 21_000, 1, 1))  # type: ignore[arg-type]


CHANGES: list[tuple[str, Any]] = [
    ("primaryType", "Permit"),
    ("primaryType", ["PaymentOrder"]),
    ("primaryType", "MakerQuote"),
    ("domain.name", "other"),
    ("domain.version", "2"),
    ("domain.chainId", "31337"),
    ("domain.chainId", True),
    ("domain.verifyingContract", HUB.lower()),
    ("domain.verifyingContract", [HUB]),
    ("domain.salt", "0x00"),
    ("domain", None),
    ("types.PaymentOrder", []),
    ("types.Permit", []),
    ("types", None),
    ("message", []),
    ("message.extra", 1),
    ("message.payer", ALICE.lower()),
    ("message.payee", {}),
    ("message.sourceCurrency", "978"),
    ("message.sourceCurrency", 65_536),
    ("message.sourceAmount", 100_000_000),
    ("message.sourceAmount", "0100"),
    ("message.sourceAmount", "1e3"),
    ("message.sourceAmount", "١"),
    ("message.sourceAmount", "-1"),
    ("message.sourceAmount", str(2**128)),
    ("message.nonce", str(2**64)),
    ("message.deadline", None),
    ("message.memo", "0x00"),
    ("message.memo", "0x" + "zz" * 32),
    ("message.memo", 0),
]


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_parse_typed_data__changed_document__refused(path: str, value: Any) -> None:
    document: dict[str, Any] = copy.deepcopy(typed_data(DOMAIN, ORDER))
    *parents, name = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    with pytest.raises(InvalidIntent):
        parse_typed_data(document)


@pytest.mark.parametrize("part", ["types", "primaryType", "domain", "message"])
def test_parse_typed_data__missing_part__refused(part: str) -> None:
    document = typed_data(DOMAIN, QUOTE)
    del document[part]
    with pytest.raises(InvalidIntent):
        parse_typed_data(document)


@pytest.mark.parametrize("document", [None, [], "", 1])
def test_parse_typed_data__not_an_object__refused(document: Any) -> None:
    with pytest.raises(InvalidIntent):
        parse_typed_data(document)
