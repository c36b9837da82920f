"""Amounts, times, text and cursors: the exact grammar, and what lies just outside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chainwallet.entrypoints.rest.models import Amount, AmountOut, Text, Timestamp, amount_json, timestamp
from chainwallet.entrypoints.rest.pagination import decode_cursor, encode_cursor
from chainwallet.entrypoints.rest.problems import CursorInvalid
from chainwallet.kit.money import Money

CODES = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "CNY": 2}


def codes_of(error: ValidationError) -> set[str]:
    return {found.get("ctx", {}).get("code", found["type"]) for found in error.errors()}


@given(st.sampled_from(sorted(CODES)), st.integers(1, 10**17))
def test_every_amount_in_minor_units_survives_the_round_trip(code: str, minor: int) -> None:
    units = minor * 10 ** (6 - CODES[code])
    money = Money(code, units)
    parsed = Amount.model_validate(amount_json(money)).money
    assert parsed == money
    assert AmountOut.of(parsed).value == money.value


BAD_VALUES = [
    "100.001", "-1.00", "+1.00", "1e3", "1E3", "0", "0.00", "", " ", " 1.00", "1.00 ", "01.00", ".50", "1.", "1,00",
    "1_000", "1'000.00", "0x10", "NaN", "Infinity", "1" + "0" * 30, "١٠٠", "１００", "1٫5", "1\u00a0000", "1.00\n",
    "--1", "1.0.0", "½", "٠.٥",
]  # fmt: skip
NOT_STRINGS: list[Any] = [100, 100.0, 1e30, True, False, None, [], {}, ["1.00"], {"value": "1.00"}, 10**400]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_what_is_not_a_plain_decimal_is_refused_by_its_code(value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Amount.model_validate({"currency": "EUR", "value": value})
    assert codes_of(refused.value) == {"MONEY_INVALID_AMOUNT"}


@pytest.mark.parametrize("value", NOT_STRINGS)
def test_what_is_not_a_string_is_refused_whatever_its_value(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Amount.model_validate({"currency": "EUR", "value": value})
    assert codes_of(refused.value) == {"MONEY_INVALID_AMOUNT"}


@pytest.mark.parametrize("code", ["EUX", "eur", "EURO", "", "978", "€", "XXX ", "ＥＵＲ", "BTC"])
def test_an_unknown_currency_is_refused_by_its_code(code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Amount.model_validate({"currency": code, "value": "1.00"})
    assert codes_of(refused.value) == {"MONEY_UNKNOWN_CURRENCY"}


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_typed_refusal(value: str) -> None:
    try:
        money = Amount.model_validate({"currency": "EUR", "value": value}).money
    except ValidationError as refused:
        assert codes_of(refused) == {"MONEY_INVALID_AMOUNT"}  # noqa: PT017
    else:
        assert 0 < money.units < 10**24


def test_an_unknown_field_and_a_missing_one_are_named() -> None:
    with pytest.raises(ValidationError) as refused:
        Amount.model_validate({"currency": "EUR", "valeu": "1.00"})
    assert {(found["type"], found["loc"]) for found in refused.value.errors()} == {
        ("missing", ("value",)),
        ("extra_forbidden", ("valeu",)),
    }


TIMES = TypeAdapter(Timestamp)
LINES = TypeAdapter(Text)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_a_time_survives_to_the_millisecond(moment: datetime) -> None:
    found = TIMES.validate_python(timestamp(moment))
    assert abs((found - moment).total_seconds()) < 0.001


@pytest.mark.parametrize(
    "value",
    [1_700_000_000, 1.5, True, None, "", "2026-11-22", "2026-11-22T04:05:06", "2026-11-22 04:05:06Z",
     "2026-02-30T00:00:00Z", "2026-11-22T25:00:00Z", "1700000000", "٢٠٢٦-11-22T04:05:06Z", "0001-01-01T00:00:00+14:00"],
)  # fmt: skip
def test_a_time_without_its_zone_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TIMES.validate_python(value)


@pytest.mark.parametrize("value", ["", "x" * 141, "a\nb", "a\rb", "esc\x1b[0m", "\u2028", "\x85", 5])
def test_a_line_of_text_is_one_line(value: Any) -> None:
    with pytest.raises(ValidationError):
        LINES.validate_python(value)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=60))
def test_a_cursor_comes_back(after: str) -> None:
    assert decode_cursor(encode_cursor(after)) == after


@given(st.text(max_size=60))
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor(cursor)


@given(st.integers(0, 200), st.integers(1, 63))
def test_an_edited_cursor_is_refused(place: int, shift: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cursor = encode_cursor("cus_01JD3ZK8G7V5N2Q0X4Y6W8R1TA")
    place %= len(cursor)
    changed = alphabet[(alphabet.index(cursor[place]) + shift) % 64]
    with pytest.raises(CursorInvalid):
        decode_cursor(cursor[:place] + changed + cursor[place + 1 :])
