"""What holds a secret must not be printed, pickled or copied by accident.

Tracebacks that show local variables are printing too. So functions here delete or hide a secret they were given
before they let an error out, and half-built holders still have a name to print.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import SecretStr


class Sealed:
    """Base of the classes that hold a secret: no pickle, no copy, and a `repr` with the public name only."""

    __slots__ = ()

    def _public_name(self) -> str:
        return ""

    def __repr__(self) -> str:
        try:
            name = self._public_name()
        except AttributeError:
            name = "unfinished"
        return f"<{type(self).__name__} {name}>" if name else f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and cannot be pickled or copied.")

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and has no state to show.")


def hidden(text: str | SecretStr) -> SecretStr:
    """The text in a wrapper that prints as stars."""
    return text if isinstance(text, SecretStr) else SecretStr(text)
