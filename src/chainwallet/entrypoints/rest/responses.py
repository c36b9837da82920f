"""Answers that are rendered once, as the exact bytes that an idempotency key remembers."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_text(document: Any) -> str:
    """The compact JSON text of plain values; what is stored for a replay and what is sent are this text."""
    return _ENCODER.encode(document)


def json_response(content: Any, status: int = 200) -> Response:
    """An answer from plain values, or from JSON text that `json_text` made."""
    text = content if isinstance(content, str) else json_text(content)
    return Response(text.encode(), status, media_type="application/json")
