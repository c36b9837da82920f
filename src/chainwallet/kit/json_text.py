"""JSON as text: compact for what is stored and sent, canonical for what is hashed.

An encoder is made once: `json.dumps` with options makes one for every call, which takes thirty times as long as the
encoding itself. What is hashed is encoded by the standard library, whose text others can make again.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_COMPACT = msgspec.json.Encoder()
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_CANONICAL_ASCII = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def compact_json(document: Any) -> str:
    """The text of plain values without a space too many; infinities and NaN, which JSON does not have, become null."""
    return _COMPACT.encode(document).decode()


def canonical_json(document: Any, *, ascii_only: bool = False) -> str:
    """The one text of plain values: keys sorted, no spaces; other characters than ASCII as they are, or escaped."""
    return (_CANONICAL_ASCII if ascii_only else _CANONICAL).encode(document)
