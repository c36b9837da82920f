"""Claims that are checked one by one: what a verifier says of a receipt, a proof or a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainwallet.kit.errors import ChainwalletError


class Disproved(Exception):
    """A claim does not hold; the text says what was found instead."""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, whether it holds, and what was found."""

    claim: str
    passed: bool
    detail: str

    @classmethod
    def of(cls, claim: str, find: Callable[[], str]) -> Check:
        """Check a claim by a function that says what it found, or raises Disproved or a ChainwalletError."""
        try:
            return cls(claim, True, find())
        except Disproved as disproved:
            return cls(claim, False, str(disproved))
        except ChainwalletError as error:
            return cls(claim, False, error.detail)
