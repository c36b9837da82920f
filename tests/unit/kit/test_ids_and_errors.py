"""Identifiers sort by time, and error codes are unique."""

from __future__ import annotations

import uuid

from chainwallet.kit.errors import known_errors
from chainwallet.kit.ids import new_id, new_uetr


def test_new_id__many__distinct_with_their_prefix() -> None:
    ids = [new_id("trf") for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(one.startswith("trf_") and len(one) == 30 for one in ids)


def test_new_uetr__is_a_uuid_of_version_4() -> None:
    assert uuid.UUID(new_uetr()).version == 4


def test_known_errors__every_code_once_in_capitals() -> None:
    codes = known_errors()
    assert codes
    assert all(code == code.upper() for code in codes)
