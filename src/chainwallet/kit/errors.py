"""One family of errors: a stable code, an HTTP status, whether trying again can help, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ChainwalletError(Exception):
    """A refusal that a caller can act on.

    Subclasses fix `code` (stable, documented in docs/errors.md), `status` (HTTP) and `retryable`.
    `detail` is a full sentence for people: what is wrong and what to do about it. `context` holds
    the values needed to debug it; it is shown to the caller, so it never carries a secret. `violations` lists
    everything that is wrong where several things can be: {code, field, message} each.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    violations: Sequence[Mapping[str, str]] = ()

    def __init__(self, detail: str, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context


def known_errors() -> dict[str, type[ChainwalletError]]:
    """Every error class by its code; what docs/errors.md must list."""
    found: dict[str, type[ChainwalletError]] = {}
    todo = [ChainwalletError]
    while todo:
        cls = todo.pop()
        todo.extend(cls.__subclasses__())
        if "code" in vars(cls) and found.setdefault(cls.code, cls) is not cls:
            raise TypeError(f"error code {cls.code} is defined twice")
    return found
