"""The signer of a customer's wallet that the vault has unlocked: orders, quotes and exits, never transactions."""

from __future__ import annotations

from typing import NoReturn

from chainwallet.keys.attestations import Attestation
from chainwallet.keys.errors import PolicyRefused
from chainwallet.keys.intents import (
    Domain,
    ExitOrder,
    MakerQuote,
    PaymentOrder,
    Transaction,
    exit_digest,
    order_digest,
    quote_digest,
)
from chainwallet.keys.policy import IntentPolicy
from chainwallet.keys.sealed import Sealed
from chainwallet.keys.signatures import SecretKey


class ManagedSigner(Sealed):
    """Signs for the customer `owner_id`, whose wallet's row the vault authenticated."""

    __slots__ = ("_key", "_policy", "owner_id")

    def __init__(self, key: SecretKey, *, owner_id: str, policy: IntentPolicy) -> None:
        self._key = key
        self._policy = policy
        self.owner_id = owner_id

    @property
    def address(self) -> str:
        return self._key.address

    def sign_order(self, domain: Domain, order: PaymentOrder) -> bytes:
        self._policy.check_order(self.address, domain, order)
        return self._key.sign_digest(order_digest(domain, order))

    def sign_quote(self, domain: Domain, quote: MakerQuote) -> bytes:
        self._policy.check_quote(self.address, domain, quote)
        return self._key.sign_digest(quote_digest(domain, quote))

    def sign_exit(self, domain: Domain, order: ExitOrder) -> bytes:
        self._policy.check_exit(self.address, domain, order)
        return self._key.sign_digest(exit_digest(domain, order))

    def sign_attestation(self, _domain: Domain, attestation: Attestation, /) -> NoReturn:
        """Refused: what the operator states is not a customer's to sign."""
        raise PolicyRefused(f"A customer's key signs orders, quotes and exits, never a {type(attestation).__name__}.")

    def sign_transaction(self, transaction: Transaction) -> NoReturn:
        """Refused: a customer's key moves money through orders that the hub checks, and in no other way."""
        raise PolicyRefused(f"A customer's key signs orders, quotes and exits, never a {type(transaction).__name__}.")

    def _public_name(self) -> str:
        return self.address
