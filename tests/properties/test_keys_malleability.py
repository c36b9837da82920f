"""Attack 6: each signature has one spelling. eth_account accepts the others, which is the control."""

from __future__ import annotations

import random

import pytest
from eth_account import Account

from chainwallet.keys.errors import SignatureRefused
from chainwallet.keys.signatures import CURVE_ORDER, SecretKey, recover

SEED = 20_260_101


def signed(count: int) -> list[tuple[str, bytes, bytes]]:
    """(address, digest, signature) from seeded keys."""
    print(f"seed {SEED}")
    source = random.Random(SEED)
    keys = [SecretKey(source.randbytes(32)) for _ in range(20)]
    found = []
    for number in range(count):
        key, digest = keys[number % len(keys)], source.randbytes(32)
        found.append((key.address, digest, key.sign_digest(digest)))
    return found


def high_s_twin(signature: bytes) -> bytes:
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


def test_recover__1000_signatures__all_low_s_and_ours() -> None:
    for address, digest, signature in signed(1_000):
        assert int.from_bytes(signature[32:64], "big") <= CURVE_ORDER // 2
        assert signature[64] in (27, 28)
        assert recover(digest, signature) == address


def test_recover__1000_high_s_twins__none_accepted() -> None:
    for _, digest, signature in signed(1_000):
        with pytest.raises(SignatureRefused, match="upper half"):
            recover(digest, high_s_twin(signature))


def test_recover__high_s_twin_in_eth_account__accepted_without_our_check() -> None:
    address, digest, signature = signed(1)[0]
    assert Account._recover_hash(digest, signature=high_s_twin(signature)) == address


def test_recover__every_other_v__refused() -> None:
    for _, digest, signature in signed(10):
        for v in set(range(256)) - {27, 28}:
            with pytest.raises(SignatureRefused, match="must be 27 or 28"):
                recover(digest, signature[:64] + bytes((v,)))


def test_recover__v_0_and_1_in_eth_account__accepted_without_our_check() -> None:
    address, digest, signature = signed(1)[0]
    assert Account._recover_hash(digest, signature=signature[:64] + bytes((signature[64] - 27,))) == address


def test_recover__any_flipped_bit__never_the_signer() -> None:
    for address, digest, signature in signed(3):
        for bit in range(8 * 65):
            changed = bytearray(signature)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                assert recover(digest, bytes(changed)) != address, f"bit {bit}"
            except SignatureRefused:
                continue
