"""What a maker with a key of its own signs: EIP-712 documents, made from what GET /v1/chain says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from eth_account import Account

Json = dict[str, Any]

_DOMAIN = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
_CLAIM = (("account", "address"), ("deadline", "uint64"))
_QUOTE = (
    ("maker", "address"),
    ("sellCurrency", "uint16"),
    ("sellAmountMax", "uint128"),
    ("buyCurrency", "uint16"),
    ("buyAmount", "uint128"),
    ("nonce", "uint64"),
    ("deadline", "uint64"),
)
_UNITS = Decimal(1_000_000)  # the hub counts in millionths of every currency


def account_claim(chain: Json, *, address: str, deadline: int) -> Json:
    """That whoever signs this has the key of `address`; `deadline` is in Unix seconds, within an hour."""
    return _document(chain, "AccountClaim", _CLAIM, {"account": address, "deadline": deadline})


def maker_quote(chain: Json, *, maker: str, sell: Json, buy: Json, nonce: int, deadline: int) -> Json:
    """A level: the maker sells up to `sell` for `buy`, amounts as everywhere. Each level takes a nonce of its own."""
    ids = {currency["code"]: currency["id"] for currency in chain["currencies"]}
    message = {
        "maker": maker,
        "sellCurrency": ids[sell["currency"]],
        "sellAmountMax": int(Decimal(sell["value"]) * _UNITS),
        "buyCurrency": ids[buy["currency"]],
        "buyAmount": int(Decimal(buy["value"]) * _UNITS),
        "nonce": nonce,
        "deadline": deadline,
    }
    return _document(chain, "MakerQuote", _QUOTE, message)


def sign(document: Json, private_key: str) -> str:
    """The signature in hex, as the API takes it."""
    return "0x" + bytes(Account.sign_typed_data(private_key, full_message=document).signature).hex()


def _document(chain: Json, name: str, fields: tuple[tuple[str, str], ...], message: Json) -> Json:
    hub = {"name": "chainwallet", "version": "1", "chainId": chain["chain_id"], "verifyingContract": chain["hub"]}
    types = {"EIP712Domain": _DOMAIN, name: fields}
    return {
        "types": {key: [{"name": field, "type": kind} for field, kind in value] for key, value in types.items()},
        "primaryType": name,
        "domain": hub,
        "message": message,
    }
