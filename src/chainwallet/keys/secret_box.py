"""Small secrets of other rooms (webhooks' signing keys), encrypted under the key-encryption key."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chainwallet.keys.sealed import Sealed

_NONCE_BYTES = 12


class SecretBox(Sealed):
    """AES-256-GCM under a key derived from the key-encryption key (HKDF-SHA256, RFC 5869) for this purpose alone."""

    __slots__ = ("_cipher",)

    def __init__(self, kek: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"chainwallet secret box 1").derive(kek)
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, associated: str, /) -> bytes:
        """Encrypt, bound to `associated` (the row's identity): moved to another row it does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, associated.encode())

    def unseal(self, sealed: bytes, associated: str, /) -> bytes:
        """Decrypt; cryptography's InvalidTag if anything was changed."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated.encode())
