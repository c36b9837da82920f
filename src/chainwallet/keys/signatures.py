"""secp256k1 signatures: 65 bytes r || s || v, or 64 (EIP-2098); low-s, v 27 or 28. Anything else is refused."""

from __future__ import annotations

import re

from coincurve import PrivateKey, PublicKey
from pydantic import SecretStr

from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.errors import InvalidPrivateKey, SignatureRefused
from chainwallet.keys.keccak import keccak
from chainwallet.keys.sealed import Sealed, hidden

SIGNATURE_BYTES = 65
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_HALF_ORDER = (CURVE_ORDER // 2).to_bytes(32, "big")
_ORDER = CURVE_ORDER.to_bytes(32, "big")
_ZERO = bytes(32)
_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


class SecretKey(Sealed):
    """A private key that signs digests. Used inside the keys room only: signers take typed intents."""

    __slots__ = ("__private", "address")

    def __init__(self, secret: bytes) -> None:
        """From 32 bytes, a number from 1 to the curve's order - 1; InvalidPrivateKey otherwise."""
        valid = len(secret) == 32 and _ZERO < secret < _ORDER
        private = PrivateKey(secret) if valid else None
        del secret  # a traceback that shows locals must not show it
        if private is None:
            raise InvalidPrivateKey("A private key is 32 bytes, from 1 to the order of secp256k1 less 1.")
        self.__private = private
        self.address = _address_of(private.public_key)

    @classmethod
    def from_hex(cls, text: str | SecretStr) -> SecretKey:
        """From 64 hexadecimal digits, with or without 0x; InvalidPrivateKey otherwise."""
        text = hidden(text)
        match = _HEX_KEY.fullmatch(text.get_secret_value())
        if match is None:
            raise InvalidPrivateKey("A private key is written as 64 hexadecimal digits, with or without 0x.")
        return cls(bytes.fromhex(match.group(1)))

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature of 32 bytes: RFC 6979 (the same each time), low-s, v 27 or 28."""
        compact = self.__private.sign_recoverable(digest, hasher=None)
        if compact[64] > 1:  # r at or above the order: one in 2**127, and ecrecover has no v for it
            raise SignatureRefused("This digest has no signature that the chain accepts; change the nonce.")
        return compact[:64] + (b"\x1c" if compact[64] else b"\x1b")

    def reveal(self) -> bytes:
        """The 32 secret bytes, to be encrypted at once."""
        return self.__private.secret

    def _public_name(self) -> str:
        return self.address


def recover(digest: bytes, signature: bytes) -> str:
    """The address that signed the 32-byte digest; SignatureRefused for what the hub would refuse.

    Refuses the high-s twin of a signature, v other than 27 and 28, other lengths, r or s outside 1..order-1: a
    signature has one spelling here. Recovery always yields some address; comparing it is the caller's check.
    """
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise SignatureRefused("The signed digest must be 32 bytes.")
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
        raise SignatureRefused("A signature is 65 bytes: r, s and v.")
    recovery_id = signature[64] - 27
    if recovery_id not in (0, 1):
        raise SignatureRefused(f"v is {signature[64]}; it must be 27 or 28.")
    r, s = signature[:32], signature[32:64]
    if s > _HALF_ORDER:
        raise SignatureRefused("s is in the upper half of the curve's order; sign with low-s (EIP-2).")
    if _ZERO in (r, s) or r >= _ORDER:
        raise SignatureRefused("r and s must be from 1 to the curve's order less 1.")
    try:
        key = PublicKey.from_signature_and_message(r + s + bytes((recovery_id,)), digest, hasher=None)
    except ValueError as failed:
        raise SignatureRefused("No public key has this signature; r is not a point of the curve.") from failed
    return _address_of(key)


def compact_signature(signature: bytes) -> bytes | None:
    """The 64-byte form of 65 bytes r, s, v (EIP-2098: the parity of y is the highest bit of s); 64 bytes stay.

    None for what has no such form: another length, v other than 27 and 28, s beyond 255 bits.
    """
    if len(signature) == 64:
        return signature
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28) or signature[32] & 0x80:
        return None
    return signature[:32] + bytes((signature[32] | (signature[64] - 27) << 7,)) + signature[33:64]


def expanded_signature(signature: bytes) -> bytes:
    """The 65-byte form r, s, v of a compact signature; other lengths stay as they are."""
    if len(signature) != 64:
        return signature
    parity = signature[32] >> 7
    return signature[:32] + bytes((signature[32] & 0x7F,)) + signature[33:] + bytes((27 + parity,))


def _address_of(key: PublicKey) -> str:
    return checksum_address(keccak(key.format(compressed=False)[1:])[12:])
