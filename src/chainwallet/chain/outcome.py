"""What became of something that left the process: accepted, known before, rejected with a reason, or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a node does not take a transaction, in the words of no particular client."""

    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED = "underpriced"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    REVERTED = "reverted"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The node took the transaction with this hash; it may still be dropped, replaced or orphaned."""

    hash: str


@dataclass(frozen=True, slots=True)
class AlreadyKnown:
    """The node has these very bytes in its pool: an earlier send did arrive."""

    hash: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The node refused, for sure and in its own words. NONCE_TOO_LOW may mean that these bytes are mined already."""

    reason: RejectReason
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it arrived: look the hash up, and send the same bytes again if it is not found."""

    error: str


Sent = Accepted | AlreadyKnown | Rejected | Unknown
