"""How deep a block must lie before what it says counts."""

from __future__ import annotations


def confirmations_of(block_number: int, *, head_number: int) -> int:
    """How many blocks confirm a block, itself counted; 0 when the head is below it."""
    return max(0, head_number - block_number + 1)


def final_number(head_number: int, *, confirmations: int) -> int | None:
    """The highest block with that many confirmations; None while there is none."""
    number = head_number - confirmations + 1
    return number if number >= 0 else None
