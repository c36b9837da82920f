"""The one face of everything that signs: a local key, a managed wallet, and hardware to come."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from chainwallet.keys.attestations import Attestation
from chainwallet.keys.intents import Domain, ExitOrder, MakerQuote, PaymentOrder, Transaction
from chainwallet.keys.transactions import SignedTransaction


@runtime_checkable
class Signer(Protocol):
    """Signs typed intents of its own address. No method takes a digest: a signer derives what it signs.

    Every method raises PolicyRefused for what this signer does not sign.
    """

    @property
    def address(self) -> str:
        """The EIP-55 address whose signatures these are."""
        ...

    def sign_order(self, domain: Domain, order: PaymentOrder) -> bytes:
        """65 bytes over `order_digest`: r, low s, v 27 or 28."""
        ...

    def sign_quote(self, domain: Domain, quote: MakerQuote) -> bytes:
        """65 bytes over `quote_digest`: r, low s, v 27 or 28."""
        ...

    def sign_exit(self, domain: Domain, order: ExitOrder) -> bytes:
        """65 bytes over `exit_digest`: r, low s, v 27 or 28."""
        ...

    def sign_attestation(self, domain: Domain, attestation: Attestation, /) -> bytes:
        """65 bytes over `attestation_digest`: r, low s, v 27 or 28; only an operator's signer does this."""
        ...

    def sign_transaction(self, transaction: Transaction) -> SignedTransaction:
        """The transaction, signed; only an operator's signer does this."""
        ...
