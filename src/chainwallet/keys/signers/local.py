"""The operator's key in memory: it deploys and settles, and as itself it may also sign orders and quotes."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from pydantic import SecretStr

from chainwallet.keys.attestations import Attestation, attestation_digest
from chainwallet.keys.errors import InvalidPrivateKey, PolicyRefused, SecretFileRefused
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
from chainwallet.keys.policy import IntentPolicy, TransactionPolicy
from chainwallet.keys.sealed import Sealed, hidden
from chainwallet.keys.secret_files import read_or_create_secret
from chainwallet.keys.signatures import SecretKey
from chainwallet.keys.transactions import SignedTransaction, sign_transaction


class LocalSigner(Sealed):
    """Signs with a private key given in hex. One chain only: the policy's, or the first it signs a transaction for."""

    __slots__ = ("_chain_id", "_intents", "_key", "_lock", "_transactions")

    def __init__(
        self,
        private_key: str | SecretStr,
        *,
        transactions: TransactionPolicy | None = None,
        intents: IntentPolicy | None = None,
    ) -> None:
        private_key = hidden(private_key)
        self._key = SecretKey.from_hex(private_key)
        self._transactions = transactions or TransactionPolicy()
        self._intents = intents or IntentPolicy()
        self._chain_id = self._transactions.chain_id
        self._lock = Lock()

    @property
    def address(self) -> str:
        return self._key.address

    def pin(self, domain: Domain) -> None:
        """Sign orders and quotes for this hub, and anything for its chain only."""
        self._pin_chain(domain.chain_id)
        self._intents.pin(domain)

    def sign_order(self, domain: Domain, order: PaymentOrder) -> bytes:
        self._intents.check_order(self.address, domain, order)
        return self._key.sign_digest(order_digest(domain, order))

    def sign_quote(self, domain: Domain, quote: MakerQuote) -> bytes:
        self._intents.check_quote(self.address, domain, quote)
        return self._key.sign_digest(quote_digest(domain, quote))

    def sign_exit(self, domain: Domain, order: ExitOrder) -> bytes:
        self._intents.check_exit(self.address, domain, order)
        return self._key.sign_digest(exit_digest(domain, order))

    def sign_attestation(self, domain: Domain, attestation: Attestation, /) -> bytes:
        self._intents.check_attestation(domain, attestation)
        return self._key.sign_digest(attestation_digest(domain, attestation))

    def sign_transaction(self, transaction: Transaction) -> SignedTransaction:
        """The transaction as bytes to store, then send. PolicyRefused beyond the policy or for another chain."""
        if type(transaction) is not Transaction:
            raise PolicyRefused(f"This key signs a Transaction, not a {type(transaction).__name__}.")
        self._transactions.check(transaction)
        self._pin_chain(transaction.chain_id)
        return sign_transaction(self._key, transaction)

    def _pin_chain(self, chain_id: int) -> None:
        with self._lock:
            if self._chain_id is None:
                self._chain_id = chain_id
            if self._chain_id != chain_id:
                raise PolicyRefused(f"This key signs for chain {self._chain_id}; the request is for chain {chain_id}.")

    def _public_name(self) -> str:
        return self.address


def create_operator_key(data_dir: Path, *, transactions: TransactionPolicy | None = None) -> LocalSigner:
    """The operator of a managed chain: the key in data_dir/keys/operator (0600), made on first use."""
    path = data_dir / "keys" / "operator"
    try:
        return LocalSigner(read_or_create_secret(path), transactions=transactions)
    except InvalidPrivateKey:
        raise SecretFileRefused(f"{path} does not hold a private key; restore it from a backup.") from None
