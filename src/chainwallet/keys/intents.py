"""What may be signed, and the 32 bytes that are: EIP-712 orders and quotes, and EIP-1559 transactions.

Digests are packed by hand because every payment takes two of them; `keys.typed_data` holds the readable form of the
same thing and the tests hold both, and eth_account's, equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.errors import InvalidIntent
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signatures import recover
from chainwallet.kit.json_text import canonical_json

__all__ = [
    "AccountClaim",
    "Domain",
    "ExitOrder",
    "Intent",
    "MakerQuote",
    "PaymentOrder",
    "Transaction",
    "claim_digest",
    "exit_digest",
    "memo_of",
    "order_digest",
    "quote_digest",
    "recover",
]

DOMAIN_NAME = "chainwallet"
DOMAIN_VERSION = "1"

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
ORDER_TYPE = (
    "PaymentOrder(address payer,address payee,uint16 sourceCurrency,uint128 sourceAmount,uint16 targetCurrency,"
    "uint128 targetAmount,uint64 nonce,uint64 deadline,bytes32 memo)"
)
QUOTE_TYPE = (
    "MakerQuote(address maker,uint16 sellCurrency,uint128 sellAmountMax,uint16 buyCurrency,uint128 buyAmount,"
    "uint64 nonce,uint64 deadline)"
)

EXIT_TYPE = "ExitOrder(address account,address recipient,uint16 currency,uint128 amount,uint64 nonce,uint64 deadline)"
CLAIM_TYPE = "AccountClaim(address account,uint64 deadline)"

_DOMAIN_HASH = keccak(DOMAIN_TYPE.encode())
_NAME_HASH = keccak(DOMAIN_NAME.encode())
_VERSION_HASH = keccak(DOMAIN_VERSION.encode())
_ORDER_HASH = keccak(ORDER_TYPE.encode())
_QUOTE_HASH = keccak(QUOTE_TYPE.encode())
_EXIT_HASH = keccak(EXIT_TYPE.encode())
_CLAIM_HASH = keccak(CLAIM_TYPE.encode())

# One 32-byte word per field, numbers right-aligned: H is uint16, 16s uint128, Q uint64, 20s address.
_ORDER_WORDS = Struct(">32s 12x20s 12x20s 30xH 16x16s 30xH 16x16s 24xQ 24xQ 32s")
_QUOTE_WORDS = Struct(">32s 12x20s 30xH 16x16s 30xH 16x16s 24xQ 24xQ")
_EXIT_WORDS = Struct(">32s 12x20s 12x20s 30xH 16x16s 24xQ 24xQ")
_CLAIM_WORDS = Struct(">32s 12x20s 24xQ")


@dataclass(frozen=True, slots=True)
class Domain:
    """The hub that a signature is for: `chain_id` and the hub's address. Name and version are fixed."""

    chain_id: int
    hub: str
    _separator: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_uint("chain_id", self.chain_id, 64)
        words = (_DOMAIN_HASH, _NAME_HASH, _VERSION_HASH, self.chain_id.to_bytes(32, "big"), bytes(12))
        object.__setattr__(self, "_separator", keccak(b"".join(words) + address_bytes(self.hub)))

    def separator(self) -> bytes:
        """The EIP-712 domain separator, 32 bytes; equals the hub's DOMAIN_SEPARATOR()."""
        return self._separator


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """Exactly `source_units` leave the payer and exactly `target_units` reach the payee, once, until `deadline`.

    Currencies are the hub's ids, units 1e-6 of a currency unit, `deadline` Unix seconds, `memo` 32 bytes.
    """

    payer: str
    payee: str
    source_currency: int
    source_units: int
    target_currency: int
    target_units: int
    nonce: int
    deadline: int
    memo: bytes

    def __post_init__(self) -> None:
        address_bytes(self.payer)
        address_bytes(self.payee)
        _check_uint("source_currency", self.source_currency, 16)
        _check_uint("source_units", self.source_units, 128)
        _check_uint("target_currency", self.target_currency, 16)
        _check_uint("target_units", self.target_units, 128)
        _check_uint("nonce", self.nonce, 64)
        _check_uint("deadline", self.deadline, 64)
        if not isinstance(self.memo, bytes) or len(self.memo) != 32:
            raise InvalidIntent("memo must be exactly 32 bytes.")


@dataclass(frozen=True, slots=True)
class MakerQuote:
    """A maker sells up to `sell_units_max`, in parts, at `buy_units` / `sell_units_max` or better, until `deadline`."""

    maker: str
    sell_currency: int
    sell_units_max: int
    buy_currency: int
    buy_units: int
    nonce: int
    deadline: int

    def __post_init__(self) -> None:
        address_bytes(self.maker)
        _check_uint("sell_currency", self.sell_currency, 16)
        _check_uint("sell_units_max", self.sell_units_max, 128)
        _check_uint("buy_currency", self.buy_currency, 16)
        _check_uint("buy_units", self.buy_units, 128)
        _check_uint("nonce", self.nonce, 64)
        _check_uint("deadline", self.deadline, 64)


@dataclass(frozen=True, slots=True)
class ExitOrder:
    """`units` of the account's position leave the hub for `recipient`, once the hub's delay has passed.

    `nonce` is from the sequence of the account's payment orders in that currency, and ends those up to it.
    """

    account: str
    recipient: str
    currency: int
    units: int
    nonce: int
    deadline: int

    def __post_init__(self) -> None:
        address_bytes(self.account)
        address_bytes(self.recipient)
        _check_uint("currency", self.currency, 16)
        _check_uint("units", self.units, 128)
        _check_uint("nonce", self.nonce, 64)
        _check_uint("deadline", self.deadline, 64)


@dataclass(frozen=True, slots=True)
class AccountClaim:
    """Whoever signs this with the account's key, before `deadline`, has that key. It moves nothing: no hub knows it."""

    account: str
    deadline: int

    def __post_init__(self) -> None:
        address_bytes(self.account)
        _check_uint("deadline", self.deadline, 64)


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction; `to` None creates a contract. Amounts in wei.

    `access_list` (EIP-2930) names storage that will be touched, as (address, slots of 32 bytes): 100 gas less a slot,
    2,400 more an address.
    """

    chain_id: int
    nonce: int
    to: str | None
    data: bytes
    gas: int
    max_fee_wei: int
    max_priority_wei: int
    value: int = 0
    access_list: tuple[tuple[str, tuple[bytes, ...]], ...] = ()

    def __post_init__(self) -> None:
        _check_uint("chain_id", self.chain_id, 64)
        _check_uint("nonce", self.nonce, 64)
        _check_uint("gas", self.gas, 64)
        _check_uint("max_fee_wei", self.max_fee_wei, 256)
        _check_uint("max_priority_wei", self.max_priority_wei, 256)
        _check_uint("value", self.value, 256)
        if self.to is not None:
            address_bytes(self.to)
        if not isinstance(self.data, bytes):
            raise InvalidIntent("data must be bytes.")
        if self.max_priority_wei > self.max_fee_wei:
            raise InvalidIntent("max_priority_wei exceeds max_fee_wei; lower the tip or raise the fee.")


Intent = PaymentOrder | MakerQuote


def order_digest(domain: Domain, order: PaymentOrder) -> bytes:
    """The 32 bytes that a payer signs (EIP-712); equals the hub's hashOrder(order)."""
    words = _ORDER_WORDS.pack(
        _ORDER_HASH,
        address_bytes(order.payer),
        address_bytes(order.payee),
        order.source_currency,
        order.source_units.to_bytes(16, "big"),
        order.target_currency,
        order.target_units.to_bytes(16, "big"),
        order.nonce,
        order.deadline,
        order.memo,
    )
    return keccak(b"\x19\x01" + domain.separator() + keccak(words))


def memo_of(particulars: Mapping[str, Any]) -> bytes:
    """What an order's memo is of its particulars: SHA-256 of canonical JSON (sorted keys, no spaces, UTF-8)."""
    return hashlib.sha256(canonical_json(particulars).encode()).digest()


def quote_digest(domain: Domain, quote: MakerQuote) -> bytes:
    """The 32 bytes that a maker signs (EIP-712), and the quote's name on chain; equals the hub's hashQuote(quote)."""
    words = _QUOTE_WORDS.pack(
        _QUOTE_HASH,
        address_bytes(quote.maker),
        quote.sell_currency,
        quote.sell_units_max.to_bytes(16, "big"),
        quote.buy_currency,
        quote.buy_units.to_bytes(16, "big"),
        quote.nonce,
        quote.deadline,
    )
    return keccak(b"\x19\x01" + domain.separator() + keccak(words))


def exit_digest(domain: Domain, order: ExitOrder) -> bytes:
    """The 32 bytes that an owner signs to leave (EIP-712); equals the hub's hashExitOrder(order)."""
    words = _EXIT_WORDS.pack(
        _EXIT_HASH,
        address_bytes(order.account),
        address_bytes(order.recipient),
        order.currency,
        order.units.to_bytes(16, "big"),
        order.nonce,
        order.deadline,
    )
    return keccak(b"\x19\x01" + domain.separator() + keccak(words))


def claim_digest(domain: Domain, claim: AccountClaim) -> bytes:
    """The 32 bytes that an owner signs to show that the account's key is theirs (EIP-712)."""
    words = _CLAIM_WORDS.pack(_CLAIM_HASH, address_bytes(claim.account), claim.deadline)
    return keccak(b"\x19\x01" + domain.separator() + keccak(words))


def _check_uint(name: str, value: int, bits: int) -> None:
    # `type is int`, not isinstance: True is an int that would be signed as 1. A negative number shifts to -1.
    if type(value) is not int or value >> bits:
        raise InvalidIntent(f"{name} must be a whole number from 0 to 2**{bits} - 1.")
