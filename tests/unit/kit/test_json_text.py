"""JSON text: one text for one meaning where it is hashed, and the same document either way."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chainwallet.kit.json_text import canonical_json, compact_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_compact_json__of_plain_values__is_what_the_standard_library_writes(document: object) -> None:
    assert compact_json(document) == json.dumps(document, ensure_ascii=False, separators=(",", ":"))


@given(PLAIN)
def test_canonical_json__is_as_the_standard_library_sorts_and_escapes(document: object) -> None:
    options = {"sort_keys": True, "separators": (",", ":")}
    assert canonical_json(document) == json.dumps(document, ensure_ascii=False, **options)
    assert canonical_json(document, ascii_only=True) == json.dumps(document, **options)
