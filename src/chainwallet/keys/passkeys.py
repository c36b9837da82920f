"""Passkeys: P-256 keys in a customer's device, which sign an order as the challenge of a WebAuthn assertion.

https://www.w3.org/TR/webauthn-3/ says what is signed: SHA-256 of the authenticator data and of the client data's hash.
The hub checks the same, byte for byte (contracts/libraries/Passkeys.sol has the layout).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.errors import SignatureRefused
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signatures import expanded_signature, recover

ADDRESS_DOMAIN = keccak(b"chainwallet passkey account, P-256, version 1")
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_MARK = keccak(b"chainwallet passkey signature")  # ends a passkey's signature wherever signatures are kept as bytes
_FIXED_BYTES = 134
_FLAGS_AT, _USER_PRESENT, _USER_VERIFIED, _BACKUP_ELIGIBLE, _BACKED_UP = 32, 0x01, 0x04, 0x08, 0x10
_AUTHENTICATOR_DATA_BYTES_MIN = 37
_TYPE = b'"type":"webauthn.get"'


@dataclass(frozen=True, slots=True)
class PasskeyPublicKey:
    """A point of P-256; SignatureRefused when it is none."""

    x: bytes
    y: bytes

    def __post_init__(self) -> None:
        if len(self.x) != 32 or len(self.y) != 32:
            raise SignatureRefused("A passkey's coordinates have 32 bytes each.")
        try:
            self._numbers().public_key()
        except ValueError as failed:
            raise SignatureRefused("This is no point of P-256.") from failed

    @classmethod
    def from_der(cls, der: bytes) -> PasskeyPublicKey:
        """From a SubjectPublicKeyInfo, as a browser's `getPublicKey()` gives it."""
        try:
            numbers = load_der_public_key(der).public_numbers()  # type: ignore[union-attr]
        except (ValueError, AttributeError) as failed:
            raise SignatureRefused("This is no public key in DER.") from failed
        if not isinstance(numbers, EllipticCurvePublicNumbers) or not isinstance(numbers.curve, SECP256R1):
            raise SignatureRefused("A passkey must be a P-256 key (ES256).")
        return cls(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))

    @property
    def address(self) -> str:
        """The account of this key; no secp256k1 key and no contract has it."""
        return checksum_address(keccak(ADDRESS_DOMAIN + self.x + self.y)[12:])

    def verifies(self, digest: bytes, r: int, s: int) -> bool:
        """Whether (r, s) signs this SHA-256 digest."""
        try:
            self._numbers().public_key().verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True

    def _numbers(self) -> EllipticCurvePublicNumbers:
        x, y = int.from_bytes(self.x, "big"), int.from_bytes(self.y, "big")
        return EllipticCurvePublicNumbers(x, y, SECP256R1())


def pack_assertion(
    key: PasskeyPublicKey, *, authenticator_data: bytes, client_data: bytes, signature_der: bytes
) -> bytes:
    """A browser's assertion as the signature of an order: low-s, with the key in it. SignatureRefused if malformed."""
    try:
        r, s = decode_dss_signature(signature_der)
    except ValueError as failed:
        raise SignatureRefused("An assertion's signature is ASN.1 DER.") from failed
    s = min(s, CURVE_ORDER - s)
    if not 0 < r < CURVE_ORDER or not s > 0:
        raise SignatureRefused("r and s must be from 1 to the curve's order less 1.")
    places = [client_data.find(text) for text in (b'"challenge":"', _TYPE)]
    if min(places) < 0 or max(places) >> 16 or len(authenticator_data) >> 16:
        raise SignatureRefused("The client data of an assertion name a challenge and the type webauthn.get.")
    indexes = b"".join(number.to_bytes(2, "big") for number in (*places, len(authenticator_data)))
    numbers = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.x + key.y + numbers + indexes + authenticator_data + client_data + _MARK


def passkey_assertion(signature: bytes) -> bytes | None:
    """The assertion as the hub takes it; None for a signature that no passkey made."""
    return signature[: -len(_MARK)] if signature.endswith(_MARK) else None


def signer_of(digest: bytes, signature: bytes) -> str:
    """The account that signed the 32-byte digest, by secp256k1 (65 or 64 bytes) or by passkey.

    SignatureRefused for what the hub would refuse; comparing the account with the payer is the caller's.
    """
    assertion = passkey_assertion(signature)
    return recover(digest, expanded_signature(signature)) if assertion is None else _asserted_by(digest, assertion)


def _asserted_by(digest: bytes, assertion: bytes) -> str:
    if len(assertion) < _FIXED_BYTES:
        raise SignatureRefused("The assertion is cut short.")
    key = PasskeyPublicKey(assertion[:32], assertion[32:64])
    r, s = int.from_bytes(assertion[64:96], "big"), int.from_bytes(assertion[96:128], "big")
    challenge_at, type_at, length = (int.from_bytes(assertion[at : at + 2], "big") for at in (128, 130, 132))
    end = _FIXED_BYTES + length
    authenticator_data, client_data = assertion[_FIXED_BYTES:end], assertion[end:]
    _check_flags(authenticator_data)
    challenge = b'"challenge":"' + urlsafe_b64encode(digest).rstrip(b"=") + b'"'
    if not client_data.startswith(challenge, challenge_at) or not client_data.startswith(_TYPE, type_at):
        raise SignatureRefused("The assertion is over another challenge.")
    signed = sha256(authenticator_data + sha256(client_data).digest()).digest()
    if s > CURVE_ORDER // 2 or not key.verifies(signed, r, s):
        raise SignatureRefused("The passkey did not sign this.")
    return key.address


def _check_flags(authenticator_data: bytes) -> None:
    if len(authenticator_data) < _AUTHENTICATOR_DATA_BYTES_MIN:
        raise SignatureRefused("The authenticator data are cut short.")
    flags = authenticator_data[_FLAGS_AT]
    if not flags & _USER_PRESENT or not flags & _USER_VERIFIED:
        raise SignatureRefused("The authenticator did not verify its user.")
    if flags & _BACKED_UP and not flags & _BACKUP_ELIGIBLE:
        raise SignatureRefused("The authenticator's flags contradict each other.")


def client_data_of(digest: bytes, *, origin: str) -> bytes:
    """The client data that a browser writes for a challenge; for signers that are no browser."""
    challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
    fields = {"type": "webauthn.get", "challenge": challenge, "origin": origin, "crossOrigin": False}
    return json.dumps(fields, separators=(",", ":")).encode()
