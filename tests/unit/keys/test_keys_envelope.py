"""Envelopes open with their KEK and identity, unchanged, and in no other way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chainwallet.keys.envelope import WRAPPED_BYTES, Envelope, EnvelopeRefused, Keyring, identity_of, kek_id
from chainwallet.keys.errors import KekRefused, KekUnknown

OLD, NEW = b"\x01" * 32, b"\x02" * 32
IDENTITY = identity_of("wal_1", "cus_1")
SECRET = b"a secret that must not be seen.."


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_open__what_was_sealed__is_the_secret() -> None:
    ring = Keyring(OLD)
    envelope = ring.seal(SECRET, IDENTITY)
    assert ring.open(envelope, IDENTITY) == SECRET
    assert len(envelope.wrapped_key) == WRAPPED_BYTES
    assert SECRET not in envelope.ciphertext + envelope.wrapped_key


def test_seal__twice__shares_nothing() -> None:
    first, second = (Keyring(OLD).seal(SECRET, IDENTITY) for _ in range(2))
    assert first.nonce != second.nonce
    assert first.wrapped_key != second.wrapped_key
    assert first.ciphertext != second.ciphertext


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
def test_open__any_flipped_bit__refused(part: str) -> None:
    ring = Keyring(OLD)
    envelope = ring.seal(SECRET, IDENTITY)
    value = getattr(envelope, part)
    for bit in range(8 * len(value)):
        with pytest.raises(EnvelopeRefused):
            ring.open(replace(envelope, **{part: flipped(value, bit)}), IDENTITY)


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
@pytest.mark.parametrize("length", [0, 1, 11, 15, 28])
def test_open__truncated_part__refused(part: str, length: int) -> None:
    ring = Keyring(OLD)
    envelope = ring.seal(SECRET, IDENTITY)
    with pytest.raises(EnvelopeRefused):
        ring.open(
            replace(envelope, **{part: getattr(envelope, part)[:length][: 11 if part == "nonce" else None]}), IDENTITY
        )


def test_open__parts_of_two_envelopes__refused() -> None:
    ring = Keyring(OLD)
    mine, other = ring.seal(SECRET, IDENTITY), ring.seal(b"other" * 4, identity_of("wal_2", "cus_2"))
    for mixed in (
        other,
        replace(mine, wrapped_key=other.wrapped_key),
        replace(mine, nonce=other.nonce, ciphertext=other.ciphertext),
    ):
        with pytest.raises(EnvelopeRefused):
            ring.open(mixed, IDENTITY)


def test_open__same_key_other_identity__refused() -> None:
    ring = Keyring(OLD)
    with pytest.raises(EnvelopeRefused):
        ring.open(ring.seal(SECRET, IDENTITY), identity_of("wal_1", "cus_2"))


def test_open__another_kek__refused_by_name() -> None:
    envelope = Keyring(OLD).seal(SECRET, IDENTITY)
    with pytest.raises(KekUnknown, match=kek_id(OLD)):
        Keyring(NEW).open(envelope, IDENTITY)


def test_open__another_kek_under_the_same_name__refused() -> None:
    envelope = Keyring(OLD).seal(SECRET, IDENTITY)
    with pytest.raises(EnvelopeRefused):
        Keyring(NEW).open(replace(envelope, kek_id=kek_id(NEW)), IDENTITY)


def test_rewrap__new_kek__opens_without_the_old_one() -> None:
    envelope = Keyring(OLD).seal(SECRET, IDENTITY)
    rewrapped = Keyring(NEW, retired=[OLD]).rewrap(envelope, IDENTITY)
    assert Keyring(NEW).open(rewrapped, IDENTITY) == SECRET
    assert (rewrapped.nonce, rewrapped.ciphertext) == (envelope.nonce, envelope.ciphertext)
    with pytest.raises(KekUnknown):
        Keyring(OLD).open(rewrapped, IDENTITY)


def test_with_current__keeps_opening_the_old() -> None:
    ring = Keyring(OLD)
    envelope: Envelope = ring.seal(SECRET, IDENTITY)
    turned = ring.with_current(NEW)
    assert turned.current_id == kek_id(NEW)
    assert turned.open(envelope, IDENTITY) == SECRET
    assert ring.current_id == kek_id(OLD)


@pytest.mark.parametrize("kek", [b"", b"\x01" * 16, b"\x01" * 31, b"\x01" * 33, "01" * 32])
def test_keyring__kek_of_another_length__refused(kek: bytes) -> None:
    with pytest.raises(KekRefused, match="32 bytes"):
        Keyring(kek)


def test_identity_of__moved_boundaries__differ() -> None:
    identities = {identity_of("ab", "c"), identity_of("a", "bc"), identity_of("abc", ""), identity_of("abc")}
    assert len(identities) == 4
