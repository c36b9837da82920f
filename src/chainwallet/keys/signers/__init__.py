"""Signers: one interface, and what implements it."""

from chainwallet.keys.signers.interface import Signer
from chainwallet.keys.signers.local import LocalSigner, create_operator_key
from chainwallet.keys.signers.managed import ManagedSigner
from chainwallet.keys.transactions import SignedTransaction

__all__ = ["LocalSigner", "ManagedSigner", "SignedTransaction", "Signer", "create_operator_key"]
