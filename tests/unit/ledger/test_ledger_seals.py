"""Seals by their known answers; that SQL computes the same is tested by every `verify` in the integration tests."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from chainwallet.ledger.ddl import statements
from chainwallet.ledger.seals import micros, posting_seal
from chainwallet.ledger.sql import int_array, is_label


def test_posting_seal__is_the_hash_of_what_it_covers() -> None:
    text = f"{bytes(32).hex()}|payment|trf_1|1767225600000000|-5|95"
    seal = posting_seal(
        bytes(32), kind="payment", reference="trf_1", created_us=1_767_225_600_000_000, units=-5, balance_units=95
    )
    assert seal == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "change", [{"kind": "refund"}, {"reference": "trf_2"}, {"created_us": 1}, {"units": 5}, {"balance_units": 94}]
)
def test_posting_seal__changes_with_everything_it_covers(change: dict[str, object]) -> None:
    covered = {"kind": "payment", "reference": "trf_1", "created_us": 0, "units": -5, "balance_units": 95}
    assert posting_seal(bytes(32), **covered) != posting_seal(bytes(32), **(covered | change))  # type: ignore[arg-type]
    assert posting_seal(bytes(32), **covered) != posting_seal(b"\x01" * 32, **covered)  # type: ignore[arg-type]


def test_micros__is_exact_where_floats_are_not() -> None:
    moment = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert micros(moment) - micros(moment - timedelta(microseconds=1)) == 1
    assert micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_int_array__carries_amounts_of_any_size() -> None:
    assert int_array([]) == "{}"
    assert int_array([1, -(10**30), None]) == f"{{1,-{10**30},NULL}}"


@pytest.mark.parametrize(
    ("label", "fit"), [("a", True), ("x" * 128, True), ("", False), ("x" * 129, False), ("a\tb", False)]
)
def test_label__is_short_and_printable(label: str, fit: bool) -> None:
    assert is_label(label) is fit


def test_ddl__needs_no_escaping() -> None:
    assert not [statement for statement in statements() if "%" in statement]
