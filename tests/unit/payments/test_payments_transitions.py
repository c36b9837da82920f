"""The one table that says which status may follow which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chainwallet.payments.transfers import TRANSITIONS, TransferStatus

ENDS = {TransferStatus.DECLINED, TransferStatus.FAILED, TransferStatus.CANCELLED, TransferStatus.RETURNED}
ARCHITECTURE = Path(__file__).parents[3] / "ARCHITECTURE.md"


def test_every_status__has_its_line() -> None:
    assert set(TRANSITIONS) == set(TransferStatus)


@pytest.mark.parametrize("status", sorted(ENDS))
def test_ends__are_ends(status: TransferStatus) -> None:
    assert TRANSITIONS[status] == frozenset()


def test_nothing_under_way__fails_or_is_cancelled() -> None:
    """Once a batch has taken it, only the chain decides."""
    assert TRANSITIONS[TransferStatus.SUBMITTED] == {TransferStatus.SETTLED, TransferStatus.ACCEPTED}


def test_settled__is_reached_from_submitted_only() -> None:
    assert [s for s, after in TRANSITIONS.items() if TransferStatus.SETTLED in after] == [TransferStatus.SUBMITTED]


def test_every_status__leads_to_an_end() -> None:
    for status in TransferStatus:
        seen, todo = {status}, [status]
        while todo:
            fresh = TRANSITIONS[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        assert seen & (ENDS | {TransferStatus.SETTLED})


def test_architecture__draws_the_same_table() -> None:
    drawn = set(re.findall(r"^  (\w+) --> (\w+)", ARCHITECTURE.read_text(), re.MULTILINE))
    assert drawn == {(str(s), str(after)) for s, afters in TRANSITIONS.items() for after in afters}
