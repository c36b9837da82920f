"""A passkey in software, for tests: signs as an authenticator does, and spoils what it signs on demand."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_utils import keccak

from chainwallet.keys.passkeys import CURVE_ORDER, PasskeyPublicKey, client_data_of, pack_assertion

ORIGIN = "https://bank.example"
VERIFIED = 0x05  # user present and verified


class SoftPasskey:
    """A P-256 key that only its label decides."""

    def __init__(self, label: str) -> None:
        secret = int.from_bytes(keccak(text=f"passkey {label}"), "big") % (CURVE_ORDER - 1) + 1
        self._private = derive_private_key(secret, SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self.public = PasskeyPublicKey(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        self.address = self.public.address

    def sign(self, digest: bytes, *, flags: int = VERIFIED, client_data: bytes | None = None) -> bytes:
        """The packed assertion over a digest."""
        return pack_assertion(self.public, **self.assertion(digest, flags=flags, client_data=client_data))

    def assertion(self, digest: bytes, *, flags: int = VERIFIED, client_data: bytes | None = None) -> dict[str, Any]:
        """What a browser hands out."""
        client_data = client_data_of(digest, origin=ORIGIN) if client_data is None else client_data
        authenticator_data = sha256(b"bank.example").digest() + bytes([flags]) + (7).to_bytes(4, "big")
        signed = authenticator_data + sha256(client_data).digest()
        signature = self._private.sign(signed, ECDSA(SHA256(), deterministic_signing=True))
        return {"authenticator_data": authenticator_data, "client_data": client_data, "signature_der": signature}


def high_s(signature_der: bytes) -> bytes:
    """The twin of a signature with the other s, whichever it is."""
    r, s = decode_dss_signature(signature_der)
    return encode_dss_signature(r, CURVE_ORDER - s)
