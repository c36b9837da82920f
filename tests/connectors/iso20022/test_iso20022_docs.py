"""docs/iso20022.md tells every refusal with its ISO reason, and the limits that hold."""

from __future__ import annotations

from pathlib import Path

from chainwallet.adapters.iso20022 import Iso20022Error, guard, schemas

PAGE = (Path(__file__).parents[3] / "docs/iso20022.md").read_text(encoding="utf-8")


def test_every_refusal_is_documented_with_its_iso_reason() -> None:
    refusals = Iso20022Error.__subclasses__()
    assert len(refusals) >= 13
    for refusal in refusals:
        assert f"| `{refusal.code}` | {refusal.iso_reason} |" in PAGE


def test_limits_and_versions_are_the_ones_that_hold() -> None:
    assert f"{guard.BYTES_MAX // 2**20} MiB, {guard.ELEMENTS_MAX:,} elements, or {guard.DEPTH_MAX} levels" in PAGE
    assert f"more than {guard.ATTRIBUTES_MAX} attributes" in PAGE
    for message in (schemas.INITIATIONS[0], schemas.INITIATIONS[-1], schemas.STATUS_REPORT):
        assert message in PAGE
