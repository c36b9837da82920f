"""EIP-1559 transactions as bytes: 0x02 || rlp([chain id, nonce, tip, fee, gas, to, value, data, accesses, v, r, s])."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp

from chainwallet.keys.addresses import address_bytes, checksum_address
from chainwallet.keys.intents import Transaction
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signatures import SecretKey

_TYPE = b"\x02"


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes ready to send, and the transaction's hash. Store `raw` before the first send, and send only that.

    A signer in hardware does not sign the same transaction twice alike, so signing again makes another hash.
    """

    raw: bytes
    hash: str


def sign_transaction(key: SecretKey, transaction: Transaction) -> SignedTransaction:
    """The signed bytes and their hash. Same transaction, same key: same bytes (RFC 6979)."""
    fields = _fields(transaction)
    signature = key.sign_digest(keccak(_TYPE + rlp.encode(fields)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw = _TYPE + rlp.encode([*fields, signature[64] - 27, r, s])
    return SignedTransaction(raw, "0x" + keccak(raw).hex())


def access_list_of(raw: bytes) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    """The access list that signed bytes carry, as `Transaction.access_list` has it."""
    entries = rlp.decode(raw[1:])[8]
    return tuple((checksum_address(address), tuple(slots)) for address, slots in entries)


def _fields(transaction: Transaction) -> list[Any]:
    return [
        transaction.chain_id,
        transaction.nonce,
        transaction.max_priority_wei,
        transaction.max_fee_wei,
        transaction.gas,
        b"" if transaction.to is None else address_bytes(transaction.to),
        transaction.value,
        transaction.data,
        [[address_bytes(address), list(slots)] for address, slots in transaction.access_list],
    ]
