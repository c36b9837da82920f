"""What the operator states under its own name, for others to hold against it: EIP-712, signed, never sent anywhere.

A market commitment names the quotes that payments are priced on, before any of them is accepted. A quote's
acknowledgement names a maker's quote that was taken in. Neither moves money, and no contract reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chainwallet.keys.errors import InvalidIntent
from chainwallet.keys.intents import Domain
from chainwallet.keys.keccak import keccak

UINT64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Statement:
    """32 bytes and the time at which they were stated, in Unix seconds."""

    type_string: ClassVar[str]

    subject: bytes
    stated_at: int

    def __post_init__(self) -> None:
        if type(self.subject) is not bytes or len(self.subject) != 32:
            raise InvalidIntent("What is attested to has exactly 32 bytes.")
        if type(self.stated_at) is not int or not 0 <= self.stated_at <= UINT64_MAX:
            raise InvalidIntent("stated_at must be Unix seconds, from 0 to 2**64 - 1.")


class MarketCommitment(_Statement):
    """These quotes were live at this time: `subject` is the Merkle root over them (market/commitment.py)."""

    __slots__ = ()
    type_string = "MarketCommitment(bytes32 root,uint64 takenAt)"


class QuoteAcknowledgement(_Statement):
    """This quote was taken in at this time: `subject` is the EIP-712 digest that its maker signed."""

    __slots__ = ()
    type_string = "QuoteAcknowledgement(bytes32 quoteHash,uint64 receivedAt)"


Attestation = MarketCommitment | QuoteAcknowledgement


def attestation_digest(domain: Domain, attestation: Attestation) -> bytes:
    """The 32 bytes that the operator signs (EIP-712), under the hub's domain."""
    words = keccak(attestation.type_string.encode()) + attestation.subject + attestation.stated_at.to_bytes(32, "big")
    return keccak(b"\x19\x01" + domain.separator() + keccak(words))
