"""What a signer checks, by itself, before it signs: the last door, and it trusts no caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.keys.attestations import Attestation, MarketCommitment, QuoteAcknowledgement
from chainwallet.keys.errors import PolicyRefused
from chainwallet.keys.intents import Domain, ExitOrder, MakerQuote, PaymentOrder, Transaction
from chainwallet.kit.clock import unix_seconds, utc_now

DEADLINE_HORIZON_S = 7 * 24 * 3600
CLOCKS_DIFFER_S = 60


class IntentPolicy:
    """Orders, quotes and exits for one hub, of the signer's own address, above zero, valid now and not for long.

    Several signers share one policy. `horizon_s` bounds how far ahead a deadline may be; `clock` is there for tests.
    """

    __slots__ = ("_clock", "_domain", "_horizon_s", "_lock")

    def __init__(self, *, horizon_s: int = DEADLINE_HORIZON_S, clock: Callable[[], datetime] = utc_now) -> None:
        self._domain: Domain | None = None
        self._horizon_s = horizon_s
        self._clock = clock
        self._lock = Lock()

    def pin(self, domain: Domain) -> None:
        """Sign for this hub on this chain, and for no other as long as the process lives."""
        with self._lock:
            if self._domain is not None and self._domain != domain:
                raise PolicyRefused(f"These signers are pinned to {self._domain}; start anew to serve another hub.")
            self._domain = domain

    def check_order(self, address: str, domain: Domain, order: PaymentOrder) -> None:
        """PolicyRefused unless the signer at `address` may sign this order now."""
        if type(order) is not PaymentOrder:
            raise PolicyRefused(f"A payer signs a PaymentOrder, not a {type(order).__name__}.")
        self._check_domain(domain)
        if order.payer != address:
            raise PolicyRefused(f"The order's payer is {order.payer}; this key is {address}.")
        if order.payee == ZERO_ADDRESS:
            raise PolicyRefused("The order's payee is the zero address, which nobody owns.")
        if not (order.source_units and order.target_units):
            raise PolicyRefused("An order moves more than zero units on both sides.")
        self._check_deadline(order.deadline)

    def check_quote(self, address: str, domain: Domain, quote: MakerQuote) -> None:
        """PolicyRefused unless the signer at `address` may sign this quote now."""
        if type(quote) is not MakerQuote:
            raise PolicyRefused(f"A maker signs a MakerQuote, not a {type(quote).__name__}.")
        self._check_domain(domain)
        if quote.maker != address:
            raise PolicyRefused(f"The quote's maker is {quote.maker}; this key is {address}.")
        if quote.sell_currency == quote.buy_currency:
            raise PolicyRefused("A quote sells one currency for another one.")
        if not (quote.sell_units_max and quote.buy_units):
            raise PolicyRefused("A quote offers and asks more than zero units.")
        self._check_deadline(quote.deadline)

    def check_exit(self, address: str, domain: Domain, order: ExitOrder) -> None:
        """PolicyRefused unless the signer at `address` may sign this order to leave now."""
        if type(order) is not ExitOrder:
            raise PolicyRefused(f"An owner leaves by an ExitOrder, not by a {type(order).__name__}.")
        self._check_domain(domain)
        if order.account != address:
            raise PolicyRefused(f"The account that leaves is {order.account}; this key is {address}.")
        if order.recipient in (ZERO_ADDRESS, domain.hub):
            raise PolicyRefused("Tokens that the hub or the zero address received would be nobody's.")
        if not order.units:
            raise PolicyRefused("An exit takes more than zero units.")
        self._check_deadline(order.deadline)

    def check_attestation(self, domain: Domain, attestation: Attestation) -> None:
        """PolicyRefused unless it is a statement for this hub, of a time that is not ahead."""
        if type(attestation) not in (MarketCommitment, QuoteAcknowledgement):
            raise PolicyRefused(f"An operator attests to markets and quotes, not to a {type(attestation).__name__}.")
        self._check_domain(domain)
        if attestation.stated_at > unix_seconds(self._clock()) + CLOCKS_DIFFER_S:
            raise PolicyRefused("What is attested to has not happened yet.")

    def _check_domain(self, domain: Domain) -> None:
        if self._domain is None:
            raise PolicyRefused("No hub is pinned yet; call pin(domain) at start-up.")
        if type(domain) is not Domain or domain != self._domain:
            raise PolicyRefused(f"This signer signs for {self._domain} only.")

    def _check_deadline(self, deadline: int) -> None:
        ahead_s = deadline - unix_seconds(self._clock())
        if ahead_s <= 0:
            raise PolicyRefused("The deadline has passed.")
        if ahead_s > self._horizon_s:
            raise PolicyRefused(f"The deadline is more than {self._horizon_s} s ahead; sign for a shorter time.")


@dataclass(frozen=True, slots=True)
class TransactionPolicy:
    """What the operator's key may send. None means no limit.

    `chain_id`: the only chain it signs for; None means the first one it is asked to. `destinations`: addresses that
    may be called; `may_create`: whether contracts may be deployed. `fee_max_wei` bounds gas x max fee of one
    transaction, `gas_price_max_wei` the fee per gas, `value_max_wei` the ether sent along.
    """

    chain_id: int | None = None
    destinations: frozenset[str] | None = None
    may_create: bool = True
    fee_max_wei: int | None = None
    gas_price_max_wei: int | None = None
    value_max_wei: int | None = None

    def check(self, transaction: Transaction) -> None:
        """PolicyRefused unless the transaction keeps within every limit. The chain id is the signer's to check."""
        if transaction.to is None:
            if not self.may_create:
                raise PolicyRefused("This key may not create contracts.")
        elif self.destinations is not None and transaction.to not in self.destinations:
            raise PolicyRefused(f"{transaction.to} is not among the addresses that this key may call.")
        if transaction.gas == 0:
            raise PolicyRefused("A transaction needs a gas limit above zero.")
        limits = (
            ("gas x max fee", transaction.gas * transaction.max_fee_wei, self.fee_max_wei),
            ("fee per gas", transaction.max_fee_wei, self.gas_price_max_wei),
            ("value", transaction.value, self.value_max_wei),
        )
        for name, wei, most in limits:
            if most is not None and wei > most:
                raise PolicyRefused(f"The transaction's {name} is {wei} wei; this key's limit is {most} wei.")
