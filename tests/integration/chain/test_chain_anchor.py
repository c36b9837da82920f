"""The audit anchor through its wrapper, on both kinds of chain, as the deployment left it."""

from __future__ import annotations

from typing import Any

import pytest

from chainwallet.chain.contracts.audit_anchor import Anchored, AnchorKind, AuditAnchor, encode_anchor
from chainwallet.chain.errors import CallReverted
from chainwallet.keys.errors import InvalidIntent

DAY = 86_400
ROOT = b"\x07" * 32


@pytest.fixture
def anchor(world: Any) -> AuditAnchor:
    return AuditAnchor(world.node, world.deployment.anchor)


def test_anchor__root_of_a_day__reads_back(world: Any, anchor: AuditAnchor) -> None:
    assert anchor.anchored(AnchorKind.AUDIT_LOG, DAY) is None
    assert anchor.periods(AnchorKind.AUDIT_LOG) == []
    world.send(anchor.address, encode_anchor(AnchorKind.AUDIT_LOG, DAY, ROOT, 12))
    kept = anchor.anchored(AnchorKind.AUDIT_LOG, DAY)
    assert kept == Anchored(ROOT, 12, world.node.head().timestamp)
    assert anchor.anchored(AnchorKind.LIABILITIES, DAY) is None
    world.send(anchor.address, encode_anchor(AnchorKind.AUDIT_LOG, 2 * DAY, ROOT, 0))
    assert anchor.periods(AnchorKind.AUDIT_LOG) == [DAY, 2 * DAY]


def test_anchor__second_root_for_a_period__refused_by_name(world: Any, anchor: AuditAnchor) -> None:
    world.send(anchor.address, encode_anchor(AnchorKind.LIABILITIES, DAY, ROOT, 1))
    with pytest.raises(CallReverted) as refused:
        world.node.estimate_gas(
            anchor.address, encode_anchor("liabilities", DAY, b"\x08" * 32, 1), sender=world.operator.address
        )
    assert refused.value.name == "PeriodAlreadyAnchored"


@pytest.mark.parametrize("kind", ["", "x" * 33, "Prüfung", "a\nb"], ids=["empty", "long", "not ASCII", "unprintable"])
def test_anchor__label_that_is_none__refused(kind: str) -> None:
    with pytest.raises(InvalidIntent, match="not a kind of records"):
        encode_anchor(kind, DAY, ROOT, 1)
