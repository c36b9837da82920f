"""The audit anchor: roots of the operator's records, one a kind and period, kept for good."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from eth_abi.abi import decode, encode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.keys.errors import InvalidIntent

if TYPE_CHECKING:
    from chainwallet.chain.node import Node

ANCHOR = selector("anchor(bytes32,uint64,bytes32,uint64)")
_ANCHOR_OF = selector("anchorOf(bytes32,uint64)")
_COUNT_OF = selector("countOf(bytes32)")
_PERIOD_AT = selector("periodAt(bytes32,uint256)")


class AnchorKind(StrEnum):
    """What the records of a root are. The contract takes any label: a new kind needs no new contract."""

    AUDIT_LOG = "audit-log"
    LIABILITIES = "liabilities"
    BEST_EXECUTION = "best-execution"


@dataclass(frozen=True, slots=True)
class Anchored:
    """A period's root, how many records it commits to, and the Unix second of the block that took it."""

    root: bytes
    records: int
    anchored_at: int


def encode_anchor(kind: str, period: int, root: bytes, records: int) -> bytes:
    """The call data of `anchor`. `period` is the Unix second in which it ended; `root` has 32 bytes."""
    return ANCHOR + encode(("bytes32", "uint64", "bytes32", "uint64"), (_label(kind), period, root, records))


class AuditAnchor:
    """The anchor at an address."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address

    def anchored(self, kind: str, period: int, *, block: int | None = None) -> Anchored | None:
        """What was anchored for this kind and period; None while nothing was."""
        data = _ANCHOR_OF + encode(("bytes32", "uint64"), (_label(kind), period))
        root, records, anchored_at = decode(
            ("bytes32", "uint64", "uint64"), self.node.call(self.address, data, block=block)
        )
        return Anchored(root, records, anchored_at) if any(root) else None

    def periods(self, kind: str, *, block: int | None = None) -> list[int]:
        """Every period of a kind that is anchored, in the sequence of anchoring. Two round trips."""
        label = _label(kind)
        count = int.from_bytes(self.node.call(self.address, _COUNT_OF + label, block=block), "big")
        calls = [(self.address, _PERIOD_AT + label + index.to_bytes(32, "big")) for index in range(count)]
        return [int.from_bytes(answer, "big") for answer in self.node.call_many(calls, block=block)] if calls else []


def _label(kind: str) -> bytes:
    if not (kind.isascii() and kind.isprintable() and 0 < len(kind) <= 32):
        raise InvalidIntent(f"'{kind[:40]}' is not a kind of records: 1 to 32 printable ASCII characters.")
    return kind.encode().ljust(32, b"\x00")
