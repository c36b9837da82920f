"""Other rooms' small secrets: bound to their row, opened by the same KEK only, never shown."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from chainwallet.keys.secret_box import SecretBox

KEK = b"\x01" * 32
SEALED = SecretBox(KEK).seal(b"whsec", "whk_1")


def test_unseal__what_was_sealed__is_the_secret() -> None:
    assert SecretBox(KEK).unseal(SEALED, "whk_1") == b"whsec"
    assert b"whsec" not in SEALED
    assert repr(SecretBox(KEK)) == "<SecretBox>"


@pytest.mark.parametrize(
    ("kek", "sealed", "associated"), [(KEK, SEALED, "whk_2"), (b"\x02" * 32, SEALED, "whk_1")], ids=["row", "kek"]
)
def test_unseal__another_row_or_kek__refused(kek: bytes, sealed: bytes, associated: str) -> None:
    with pytest.raises(InvalidTag):
        SecretBox(kek).unseal(sealed, associated)


def test_unseal__any_flipped_bit__refused() -> None:
    for bit in range(8 * len(SEALED)):
        changed = bytearray(SEALED)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            SecretBox(KEK).unseal(bytes(changed), "whk_1")
