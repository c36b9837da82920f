"""Pages: a limit and an opaque cursor that says after which id to go on."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from chainwallet.entrypoints.rest.problems import CursorInvalid

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
_CHECK_BYTES = 6
_NUMBER_DIGITS_MAX = 18  # a bigint always holds them

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page:
    """What to read: at most `limit` rows after the id `after`. Ask the database for `fetch` to learn if more follow."""

    after: str | None
    limit: int

    @property
    def fetch(self) -> int:
        return self.limit + 1

    @property
    def after_number(self) -> int | None:
        """`after` for lists whose ids are numbers; CursorInvalid for a cursor of another list."""
        return None if self.after is None else _number(self.after)

    def after_parts(self, count: int) -> tuple[str, ...] | None:
        """`after` for lists whose places have several parts, joined by colons; CursorInvalid for another list's."""
        if self.after is None:
            return None
        parts = tuple(self.after.split(":"))
        if len(parts) != count:
            raise _invalid()
        return parts

    def after_numbered(self) -> tuple[int, str] | None:
        """`after` for lists whose places are a number and an id within it; CursorInvalid for another list's."""
        parts = self.after_parts(2)
        if parts is None:
            return None
        return _number(parts[0]), parts[1]

    def render(self, rows: Sequence[Row], show: Callable[[Row], Any], key: Callable[[Row], str]) -> dict[str, Any]:
        """{items, next_cursor}: `rows` are what `fetch` gave, in order of `key`."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        return {"items": [show(row) for row in shown], "next_cursor": encode_cursor(key(shown[-1])) if more else None}


def encode_cursor(after: str) -> str:
    return base64.urlsafe_b64encode(_check(after.encode()) + after.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id in a cursor; CursorInvalid if it is not one that `encode_cursor` made.

    The check catches copying errors and edits. It keeps no secret: what a caller may read is decided
    by the query, never by the cursor.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = raw[_CHECK_BYTES:].decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise _invalid() from error
    if not after.isprintable() or not after or encode_cursor(after) != cursor:
        raise _invalid()
    return after


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > _NUMBER_DIGITS_MAX:
        raise _invalid()
    return int(text)


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK_BYTES, person=b"cw-cursor").digest()


def _invalid() -> CursorInvalid:
    return CursorInvalid("This cursor is not one of ours; use next_cursor of the page before, or start without one.")


async def page(
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before; nothing for the first page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Most items on this page.")] = LIMIT_DEFAULT,
) -> Page:
    """The dependency of every list route."""
    return Page(None if cursor is None else decode_cursor(cursor), limit)


Paged = Annotated[Page, Depends(page)]
