"""What to pay for gas: EIP-1559 fees that survive a few full blocks, and replacements that nodes take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainwallet.chain.node import Node


def suggest(node: Node, cap_wei: int) -> tuple[int, int]:
    """(max fee, priority fee) per gas in wei: twice the base fee plus the tip, within the cap.

    Twice the base fee outlasts five full blocks in a row (EIP-1559: +12.5 % each). The max fee stays at the base fee
    even where that is above the cap, because less is never mined: a caller that must not exceed it compares.
    """
    base_wei = node.base_fee_wei()
    tip_wei = min(node.tip_wei(), cap_wei)
    max_fee_wei = max(min(2 * base_wei + tip_wei, cap_wei), base_wei, 1)
    return max_fee_wei, min(tip_wei, max_fee_wei)


def bump(fee_wei: int) -> int:
    """The fee that replaces one: +12.5 %, rounded up. Nodes want +10 % on both fees, and some a little more."""
    return fee_wei + max(1, -(-fee_wei // 8))
