"""Envelope encryption: each secret under its own data key, each data key under the key-encryption key (KEK).

    wrapped_key  nonce 12 | AES-256-GCM(KEK, data key 32) | tag 16        associated data: label, KEK id, identity
    nonce        12
    ciphertext   AES-256-GCM(data key, secret) | tag 16                   associated data: label, identity

The identity is the rest of the row, so a row with one changed column, or with another row's ciphertext, does not
open. Rotating the KEK writes wrapped keys only. Random 96-bit nonces are safe for 2**32 wraps under one KEK
(NIST SP 800-38D, 8.3); a data key encrypts once.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chainwallet.keys.errors import KekRefused, KekUnknown
from chainwallet.keys.sealed import Sealed

KEY_BYTES = 32
NONCE_BYTES = 12
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + 16

_WRAP_LABEL = b"chainwallet data key v1"
_SECRET_LABEL = b"chainwallet secret v1"


class EnvelopeRefused(Exception):
    """The envelope does not open: it, or the identity it was sealed with, was changed."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What may be stored and shown: no part of it is a secret without the KEK."""

    kek_id: str
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes


class Keyring(Sealed):
    """The KEK in use, and retired ones that still open what they once wrapped."""

    __slots__ = ("_ciphers", "current_id")

    def __init__(self, kek: bytes, *, retired: Sequence[bytes] = ()) -> None:
        try:
            self._ciphers = dict(map(_named_cipher, (kek, *retired)))
            self.current_id = kek_id(kek)
        finally:
            del kek, retired

    def with_current(self, kek: bytes) -> Keyring:
        """A ring that wraps with `kek` and still opens what this one opens."""
        try:
            ring = Keyring(kek)
        finally:
            del kek
        ring._ciphers = {**self._ciphers, **ring._ciphers}
        return ring

    @property
    def ids(self) -> list[str]:
        """The names of every KEK this ring can open."""
        return list(self._ciphers)

    def seal(self, secret: bytes, identity: bytes) -> Envelope:
        """Encrypt `secret` under a fresh data key, bound to `identity`."""
        data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, secret, _SECRET_LABEL + identity)
        return Envelope(self.current_id, self._wrap(data_key, identity), nonce, ciphertext)

    def open(self, envelope: Envelope, identity: bytes) -> bytes:
        """The secret; EnvelopeRefused if anything was changed, KekUnknown if another KEK wrapped it."""
        data_key = self._unwrap(envelope, identity)
        try:
            return AESGCM(data_key).decrypt(envelope.nonce, envelope.ciphertext, _SECRET_LABEL + identity)
        except (InvalidTag, ValueError):
            del data_key
        raise EnvelopeRefused

    def rewrap(self, envelope: Envelope, identity: bytes) -> Envelope:
        """The same ciphertext with its data key under the current KEK."""
        wrapped = self._wrap(self._unwrap(envelope, identity), identity)
        return Envelope(self.current_id, wrapped, envelope.nonce, envelope.ciphertext)

    def _wrap(self, data_key: bytes, identity: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._ciphers[self.current_id].encrypt(nonce, data_key, self._wrap_context(identity))

    def _wrap_context(self, identity: bytes, key_id: str | None = None) -> bytes:
        return _WRAP_LABEL + (key_id or self.current_id).encode() + identity

    def _unwrap(self, envelope: Envelope, identity: bytes) -> bytes:
        cipher = self._ciphers.get(envelope.kek_id)
        if cipher is None:
            raise KekUnknown(
                f"A wallet is wrapped under key-encryption key {envelope.kek_id}; this process has "
                f"{', '.join(self.ids)}. Start it with the key that wrote the wallets.",
                kek_id=envelope.kek_id,
            )
        nonce, sealed = envelope.wrapped_key[:NONCE_BYTES], envelope.wrapped_key[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, sealed, self._wrap_context(identity, envelope.kek_id))
        except (InvalidTag, ValueError) as failed:
            raise EnvelopeRefused from failed

    def _public_name(self) -> str:
        return f"with KEK {self.current_id}"


def _named_cipher(kek: bytes) -> tuple[str, AESGCM]:
    try:
        return kek_id(kek), AESGCM(kek)
    finally:
        del kek


def kek_id(kek: bytes) -> str:
    """The public name of a KEK, 16 hexadecimal digits, from which it cannot be computed; KekRefused if not 32 bytes."""
    if type(kek) is not bytes or len(kek) != KEY_BYTES:
        length = len(kek)
        del kek
        raise KekRefused(f"The key-encryption key must be 32 bytes; this one has {length}.")
    return hmac.digest(kek, b"chainwallet kek id v1", "sha256")[:8].hex()


def identity_of(*parts: str) -> bytes:
    """Associated data that names a row: each part with its length before it, so that parts cannot run together."""
    encoded = (part.encode() for part in parts)
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
