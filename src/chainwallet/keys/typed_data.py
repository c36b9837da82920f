"""The readable form of what is signed: the EIP-712 JSON document that wallets show and receipts carry."""

from __future__ import annotations

import re
from typing import Any

from chainwallet.keys.errors import InvalidIntent
from chainwallet.keys.intents import (
    DOMAIN_NAME,
    DOMAIN_TYPE,
    DOMAIN_VERSION,
    ORDER_TYPE,
    QUOTE_TYPE,
    Domain,
    Intent,
    MakerQuote,
    PaymentOrder,
)

_ORDER_FIELDS = {
    "payer": "payer",
    "payee": "payee",
    "sourceCurrency": "source_currency",
    "sourceAmount": "source_units",
    "targetCurrency": "target_currency",
    "targetAmount": "target_units",
    "nonce": "nonce",
    "deadline": "deadline",
    "memo": "memo",
}
_QUOTE_FIELDS = {
    "maker": "maker",
    "sellCurrency": "sell_currency",
    "sellAmountMax": "sell_units_max",
    "buyCurrency": "buy_currency",
    "buyAmount": "buy_units",
    "nonce": "nonce",
    "deadline": "deadline",
}
_SHAPES: dict[str, tuple[type[Intent], str, dict[str, str]]] = {
    "PaymentOrder": (PaymentOrder, ORDER_TYPE, _ORDER_FIELDS),
    "MakerQuote": (MakerQuote, QUOTE_TYPE, _QUOTE_FIELDS),
}
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)
_BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


def typed_data(domain: Domain, intent: Intent) -> dict[str, Any]:
    """The EIP-712 document of an order or a quote, ready for JSON and for any wallet's signTypedData.

    uint16 are JSON numbers; uint64 and uint128 are decimal strings, because JSON readers round above 2**53.
    """
    name = type(intent).__name__
    if name not in _SHAPES:
        raise InvalidIntent(f"{name} has no EIP-712 form; use PaymentOrder or MakerQuote.")
    _, type_string, fields = _SHAPES[name]
    solidity = dict(_members(type_string))
    return {
        "types": {"EIP712Domain": _type_entry(DOMAIN_TYPE), name: _type_entry(type_string)},
        "primaryType": name,
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": domain.hub,
        },
        "message": {key: _to_json(getattr(intent, attribute), solidity[key]) for key, attribute in fields.items()},
    }


def parse_typed_data(document: dict[str, Any]) -> tuple[Domain, Intent]:
    """The domain and the intent that a document describes; the inverse of `typed_data`.

    Everything is compared, types included: a document that a wallet would show differently from what is digested
    here is refused (InvalidIntent).
    """
    if not isinstance(document, dict) or str(document.get("primaryType")) not in _SHAPES:
        raise InvalidIntent("primaryType must be PaymentOrder or MakerQuote.")
    cls, type_string, fields = _SHAPES[str(document["primaryType"])]
    domain_json, message = document.get("domain"), document.get("message")
    if not isinstance(domain_json, dict) or not isinstance(message, dict) or set(message) != set(fields):
        raise InvalidIntent("domain and message must be objects with exactly the fields of the type.")
    solidity = dict(_members(type_string))
    domain = Domain(domain_json.get("chainId", -1), _text("verifyingContract", domain_json.get("verifyingContract")))
    intent = cls(**{attribute: _from_json(key, message[key], solidity[key]) for key, attribute in fields.items()})
    canonical = typed_data(domain, intent)
    if any(document.get(part) != canonical[part] for part in ("types", "domain")):
        raise InvalidIntent("types and domain must be those of chainwallet version 1.")
    return domain, intent


def _members(type_string: str) -> list[tuple[str, str]]:
    """(name, solidity type) of each member of `Name(type name,...)`."""
    inside = type_string[type_string.index("(") + 1 : -1]
    pairs = (member.split(" ") for member in inside.split(","))
    return [(name, solidity) for solidity, name in pairs]


def _type_entry(type_string: str) -> list[dict[str, str]]:
    return [{"name": name, "type": solidity} for name, solidity in _members(type_string)]


def _to_json(value: str | int | bytes, solidity: str) -> str | int:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if solidity in ("uint64", "uint128") else value


def _from_json(name: str, value: Any, solidity: str) -> Any:
    if solidity in ("uint64", "uint128"):
        if _DECIMAL.fullmatch(_text(name, value)) is None:
            raise InvalidIntent(f"{name} must be a string of decimal digits.")
        return int(value)
    if solidity == "bytes32":
        if _BYTES32.fullmatch(_text(name, value)) is None:
            raise InvalidIntent(f"{name} must be 0x and 64 hexadecimal digits.")
        return bytes.fromhex(value[2:])
    return _text(name, value) if solidity == "address" else value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidIntent(f"{name} must be a string.")
    return value
