"""Strict JSON: what every parser agrees on comes through unchanged; the rest is refused, with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.entrypoints.rest.problems import RequestMalformed
from chainwallet.entrypoints.rest.strict_json import DEPTH_MAX, parse_strictly

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
DOCUMENTS = st.recursive(SCALARS, lambda part: st.lists(part) | st.dictionaries(TEXT, part), max_leaves=20)


def nested(levels: int, *, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


REFUSED = {
    "equal keys": b'{"a": 1, "a": 2}',
    "equal keys inside": b'{"x": [{"value": "1", "value": "2"}]}',
    "equal keys, one escaped": b'{"a": 1, "\\u0061": 2}',
    "NaN": b'{"a": NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "beyond a double": b"[1e999]",
    "beyond a double, negative": b"[-1e999]",
    "too many digits": b"[" + b"9" * 5_000 + b"]",
    "trailing comma": b'{"a": 1,}',
    "comment": b'{"a": 1 /* one */}',
    "single quotes": b"{'a': 1}",
    "two documents": b'{"a": 1}{"a": 2}',
    "nothing": b" ",
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "utf-32": '{"a": 1}'.encode("utf-32-le"),
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "overlong utf-8": b'{"a": "\xc0\xaf"}',
    "surrogate as utf-8": b'{"a": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "half a surrogate pair as a key": b'{"\\udc00": 1}',
    "NUL": b'{"a": "\\u0000"}',
    "NUL behind a backslash": b'{"a": "\\\\\\u0000"}',
    "NUL as a key": b'{"x\\u0000": 1}',
    "raw control character": b'{"a": "\x01"}',
    "too deep": nested(DEPTH_MAX + 1),
    "much too deep": nested(30_000),
    "much too deep in objects": nested(10_000, opening='{"a":', closing="}"),
    "never closed": b"[" * 60_000,
    "digits of another script": '{"a": ١}'.encode(),
    "leading zero": b"[01]",
    "hexadecimal": b"[0x10]",
    "plus sign": b"[+1]",
}


@given(DOCUMENTS)
def test_what_is_unambiguous_comes_through_unchanged(document: Any) -> None:
    text = json.dumps(document)
    try:
        found = parse_strictly(text.encode())
    except RequestMalformed as refused:
        assert "deeper" in refused.detail  # noqa: PT017
        return
    assert found == document


@given(st.dictionaries(TEXT, SCALARS, min_size=1), st.data())
def test_a_key_written_twice_is_always_refused(document: dict[str, Any], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(sorted(document)))
    text = json.dumps(document)[:-1] + f", {json.dumps(again)}: 0}}"
    with pytest.raises(RequestMalformed, match="twice"):
        parse_strictly(text.encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        found = parse_strictly(body)
    except RequestMalformed:
        return
    assert json.loads(body.decode()) == found


@pytest.mark.parametrize("kind", REFUSED)
def test_what_parsers_disagree_about_is_refused(kind: str) -> None:
    with pytest.raises(RequestMalformed) as refused:
        parse_strictly(REFUSED[kind])
    assert refused.value.status == 400
    assert refused.value.detail.endswith(".")


def test_brackets_in_strings_are_not_depth() -> None:
    text = "[" * 100 + '\\"' + "{" * 100
    assert parse_strictly(json.dumps({"a": text}).encode()) == {"a": text}
    assert parse_strictly(nested(DEPTH_MAX)) is not None


def test_a_backslash_before_u0000_is_text() -> None:
    assert parse_strictly(b'{"a": "\\\\u0000", "b": "\\u00e9\\ud83d\\ude00"}') == {"a": "\\u0000", "b": "é😀"}
