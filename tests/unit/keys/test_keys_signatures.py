"""Keys from hex and bytes, and the malformed signatures that recovery refuses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes
from pydantic import SecretStr

from chainwallet.keys.errors import InvalidPrivateKey, SignatureRefused
from chainwallet.keys.signatures import CURVE_ORDER, SecretKey, recover

DIGEST = bytes(range(32))
KEY = SecretKey(b"\x11" * 32)
SIGNATURE = KEY.sign_digest(DIGEST)


@pytest.mark.parametrize("text", ["11" * 32, "0x" + "11" * 32, SecretStr("0x" + "11" * 32)])
def test_secret_key__hex__is_eth_accounts_address(text: Any) -> None:
    assert SecretKey.from_hex(text).address == Account.from_key("0x" + "11" * 32).address


@pytest.mark.parametrize("text", ["", "0x", "11" * 31, "11" * 33, "zz" * 32, "0X" + "11" * 32, " " + "11" * 32])
def test_secret_key__malformed_hex__refused(text: str) -> None:
    with pytest.raises(InvalidPrivateKey):
        SecretKey.from_hex(text)


@pytest.mark.parametrize("number", [0, CURVE_ORDER, CURVE_ORDER + 1, 2**256 - 1])
def test_secret_key__outside_the_group__refused(number: int) -> None:
    with pytest.raises(InvalidPrivateKey):
        SecretKey(number.to_bytes(32, "big"))


@pytest.mark.parametrize("number", [1, CURVE_ORDER - 1])
def test_secret_key__ends_of_the_group__accepted(number: int) -> None:
    key = SecretKey(number.to_bytes(32, "big"))
    assert recover(DIGEST, key.sign_digest(DIGEST)) == key.address


def test_sign_digest__twice__same_signature() -> None:
    assert KEY.sign_digest(DIGEST) == SIGNATURE


def test_recover__bytes_subclasses__accepted() -> None:
    assert recover(HexBytes(DIGEST), HexBytes(SIGNATURE)) == KEY.address


@pytest.mark.parametrize("length", [0, 1, 64, 66, 130])
def test_recover__other_length__refused(length: int) -> None:
    with pytest.raises(SignatureRefused, match="65 bytes"):
        recover(DIGEST, (SIGNATURE * 2)[:length])


@pytest.mark.parametrize("digest", [b"", DIGEST[:31], DIGEST + b"\0", DIGEST.hex(), None])
def test_recover__digest_not_32_bytes__refused(digest: Any) -> None:
    with pytest.raises(SignatureRefused, match="32 bytes"):
        recover(digest, SIGNATURE)


@pytest.mark.parametrize("signature", [SIGNATURE.hex(), bytearray(SIGNATURE), None])
def test_recover__signature_not_bytes__refused(signature: Any) -> None:
    with pytest.raises(SignatureRefused, match="65 bytes"):
        recover(DIGEST, signature)


def with_parts(*, r: int | None = None, s: int | None = None) -> bytes:
    left = SIGNATURE[:32] if r is None else r.to_bytes(32, "big")
    right = SIGNATURE[32:64] if s is None else s.to_bytes(32, "big")
    return left + right + SIGNATURE[64:]


@pytest.mark.parametrize("s", [0, CURVE_ORDER // 2 + 1, CURVE_ORDER - 1, CURVE_ORDER, 2**256 - 1])
def test_recover__s_outside_the_lower_half__refused(s: int) -> None:
    with pytest.raises(SignatureRefused):
        recover(DIGEST, with_parts(s=s))


@pytest.mark.parametrize("r", [0, CURVE_ORDER, 2**256 - 1])
def test_recover__r_outside_the_group__refused(r: int) -> None:
    with pytest.raises(SignatureRefused, match="from 1 to"):
        recover(DIGEST, with_parts(r=r))


def test_recover__largest_low_s__has_an_address() -> None:
    assert recover(DIGEST, with_parts(s=CURVE_ORDER // 2)).startswith("0x")


def test_recover__r_not_on_the_curve__refused() -> None:
    # x = 5 is not the abscissa of any point of secp256k1: 5**3 + 7 is not a square.
    with pytest.raises(SignatureRefused, match="No public key"):
        recover(DIGEST, with_parts(r=5))


def test_signature_refused__has_its_code() -> None:
    with pytest.raises(SignatureRefused) as caught:
        recover(DIGEST, b"")
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("KEYS_SIGNATURE_REFUSED", 422, False)
