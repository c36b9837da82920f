"""What the hub promises, said a second time in Python: pure, no chain, no keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hub_packing import OF_MAKER, pack_batch
from hub_world import UINT128_MAX, Order, Quote


class Refused(Exception):
    """The promised custom error: its name, and its first argument where that is an index or a currency."""

    def __init__(self, name: str, index: int | None = None) -> None:
        super().__init__(name, index)
        self.name, self.index = name, index


class Signed(NamedTuple):
    """An intent with a signature, and whether the owner signed exactly this."""

    intent: Order | Quote
    signature: bytes
    is_genuine: bool


@dataclass(frozen=True)
class SignedBatch:
    """The arguments of `settle`; `bytes_off` are cut from the packed form, or put behind it."""

    id: int
    orders: tuple[Signed, ...]
    quotes: tuple[Signed, ...] = ()
    fills: tuple[tuple[int, int], ...] = ()
    shares: tuple[tuple[int, int], ...] = ()  # an order's index or, from OF_MAKER up, a quote's; units
    bytes_off: int = 0

    def packed(self) -> bytes:
        """As `settle` takes it."""
        orders = [(signed.intent, signed.signature) for signed in self.orders]
        quotes = [(signed.intent, signed.signature) for signed in self.quotes]
        whole = pack_batch(self.id, orders, quotes, self.fills, self.shares).join()
        return whole + bytes(self.bytes_off) if self.bytes_off >= 0 else whole[: self.bytes_off]

    def signers(self) -> set[str]:
        """Who has agreed to a debit in this batch."""
        owners = {signed.intent.payer for signed in self.orders if signed.is_genuine}
        return owners | {signed.intent.maker for signed in self.quotes if signed.is_genuine}


class Exit(NamedTuple):
    """What an account has set aside to leave with."""

    units: int
    available_at: int
    recipient: str


class Leaving(NamedTuple):
    """ExitOrder in the order of its fields."""

    account: str
    recipient: str
    currency: int
    units: int
    nonce: int
    deadline: int


@dataclass
class HubModel:
    """Balances and nonces by (account, currency)."""

    treasury: str
    balances: dict[tuple[str, int], int] = field(default_factory=dict)
    nonces: dict[tuple[str, int], int] = field(default_factory=dict)
    sold: dict[Quote, int] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    exits: dict[tuple[str, int], Exit] = field(default_factory=dict)
    paid_out: dict[tuple[str, int], int] = field(default_factory=dict)  # tokens by (recipient, currency)
    is_paused: bool = False
    now: int = 2  # the machine's deadlines are the first second of time, or never
    hub: str = ""
    exit_delay: int = 0

    def deposit(self, currency: int, deposits: Sequence[tuple[str, int]]) -> None:
        """Credits each account."""
        for account, units in deposits:
            self._credit(account, currency, units)

    def total(self, currency: int) -> int:
        """Positions and what is set aside for exits."""
        held = sum(units for (_, of), units in self.balances.items() if of == currency)
        return held + sum(exit_.units for (_, of), exit_ in self.exits.items() if of == currency)

    def cancel_orders(self, account: str, currency: int, nonce: int) -> None:
        """Raises the nonce, or refuses."""
        if nonce <= self.nonces.get((account, currency), 0):
            raise Refused("NonceStale")
        self.nonces[account, currency] = nonce

    def request_exit(self, account: str, currency: int, units: int, recipient: str) -> None:
        """Sets units aside, or refuses; refusals are checked in the contract's sequence."""
        place = (account, currency)
        if units == 0:
            raise Refused("ExitAmountZero")
        if int(recipient, 16) == 0 or recipient == self.hub:
            raise Refused("ExitRecipientInvalid")
        if account in self.frozen:
            raise Refused("AccountIsFrozen")
        if place in self.exits:
            raise Refused("ExitAlreadyRequested")
        if self.balances.get(place, 0) < units:
            raise Refused("ExitFundsShort")
        self.balances[place] -= units
        self.exits[place] = Exit(units, self.now + self.exit_delay, recipient)

    def request_exit_for(self, order: Leaving, *, is_genuine: bool) -> None:
        """As `request_exit`, by signature: all of it or nothing."""
        if self.now > order.deadline:
            raise Refused("ExitOrderExpired")
        if not is_genuine:
            raise Refused("ExitSignatureInvalid")
        before = dict(self.nonces)
        self.cancel_orders(order.account, order.currency, order.nonce)
        try:
            self.request_exit(order.account, order.currency, order.units, order.recipient)
        except Refused:
            self.nonces = before
            raise

    def cancel_exit(self, account: str, currency: int) -> None:
        """Puts what is set aside back."""
        if (account, currency) not in self.exits:
            raise Refused("ExitNotRequested")
        self._credit(account, currency, self.exits.pop((account, currency)).units)

    def exit(self, account: str, currency: int) -> None:
        """Pays out."""
        request = self.exits.get((account, currency))
        if request is None:
            raise Refused("ExitNotRequested")
        if self.now < request.available_at:
            raise Refused("ExitNotYet")
        if account in self.frozen:
            raise Refused("AccountIsFrozen")
        del self.exits[account, currency]
        place = (request.recipient, currency)
        self.paid_out[place] = self.paid_out.get(place, 0) + request.units

    def settled_after(self, batch: SignedBatch) -> HubModel:
        """The state after the batch, or Refused; this state stays as it is."""
        if self.is_paused:
            raise Refused("EnforcedPause")
        if batch.bytes_off:
            raise Refused("BatchMalformed")
        if not batch.orders:
            raise Refused("BatchEmpty", batch.id)
        if batch.id in self.settled:
            raise Refused("BatchAlreadySettled", batch.id)
        after = replace(self, balances=dict(self.balances), nonces=dict(self.nonces), sold=dict(self.sold))
        after.settled = self.settled | {batch.id}
        surplus: dict[int, int] = {}  # keeps the sequence in which currencies are first named
        after._run_orders(batch, surplus)
        after._check_quotes(batch)
        after._run_fills(batch, surplus)
        after._give_shares(batch, surplus)
        after._collect(surplus)
        return after

    def _run_orders(self, batch: SignedBatch, surplus: dict[int, int]) -> None:
        for index, signed in enumerate(batch.orders):
            order = signed.intent
            assert isinstance(order, Order)
            source = (order.payer, order.source_currency)
            must = _refuse_unless(index)
            must(order.source_units > 0 and order.target_units > 0, "OrderAmountZero")
            must(int(order.payee, 16) != 0, "OrderPayeeZero")
            must(self.now <= order.deadline, "OrderExpired")
            must(order.payer not in self.frozen, "OrderPayerFrozen")
            must(signed.is_genuine, "OrderSignatureInvalid")
            must(order.nonce > self.nonces.get(source, 0), "OrderNonceStale")
            must(self.balances.get(source, 0) >= order.source_units, "OrderFundsShort")
            self.nonces[source] = order.nonce
            self.balances[source] -= order.source_units
            self._credit(order.payee, order.target_currency, order.target_units)
            _count(surplus, order.source_currency, order.source_units)
            _count(surplus, order.target_currency, -order.target_units)

    def _check_quotes(self, batch: SignedBatch) -> None:
        for index, signed in enumerate(batch.quotes):
            quote = signed.intent
            assert isinstance(quote, Quote)
            must = _refuse_unless(index)
            must(quote.sell_units_max > 0 and quote.buy_units > 0, "QuoteAmountZero")
            must(quote.sell_currency != quote.buy_currency, "QuoteCurrenciesEqual")
            must(self.now <= quote.deadline, "QuoteExpired")
            must(quote.maker not in self.frozen, "QuoteMakerFrozen")
            must(signed.is_genuine, "QuoteSignatureInvalid")

    def _run_fills(self, batch: SignedBatch, surplus: dict[int, int]) -> None:
        for index, (number, units) in enumerate(batch.fills):
            must = _refuse_unless(index)
            must(number < len(batch.quotes), "FillQuoteUnknown")
            must(units > 0, "FillAmountZero")
            quote = batch.quotes[number].intent
            assert isinstance(quote, Quote)
            sold = self.sold.get(quote, 0) + units
            must(sold <= quote.sell_units_max, "FillExceedsQuote")
            self.sold[quote] = sold
            bought = -(-units * quote.buy_units // quote.sell_units_max)
            place = (quote.maker, quote.sell_currency)
            must(self.balances.get(place, 0) >= units, "FillFundsShort")
            self.balances[place] -= units
            self._credit(quote.maker, quote.buy_currency, bought)
            _count(surplus, quote.sell_currency, units)
            _count(surplus, quote.buy_currency, -bought)

    def _give_shares(self, batch: SignedBatch, surplus: dict[int, int]) -> None:
        last = -1
        for index, (party, units) in enumerate(batch.shares):
            must = _refuse_unless(index)
            must(units > 0, "ShareMalformed")
            if party >= OF_MAKER:
                must(party - OF_MAKER < len(batch.quotes), "ShareMalformed")
                quote = batch.quotes[party - OF_MAKER].intent
                assert isinstance(quote, Quote)
                account, currency = quote.maker, quote.buy_currency
            else:
                must(last < party < len(batch.orders), "ShareMalformed")
                order = batch.orders[party].intent
                assert isinstance(order, Order)
                last, account, currency = party, order.payer, order.source_currency
            must(currency in surplus, "ShareMalformed")
            self._credit(account, currency, units)
            _count(surplus, currency, -units)

    def _collect(self, surplus: dict[int, int]) -> None:
        for currency, units in surplus.items():
            if units < 0:
                raise Refused("CurrencyNotConserved", currency)
            if units:
                self._credit(self.treasury, currency, units)

    def _credit(self, account: str, currency: int, units: int) -> None:
        balance = self.balances.get((account, currency), 0) + units
        if balance > UINT128_MAX:
            raise Refused("PositionTooLarge")
        self.balances[account, currency] = balance


def _refuse_unless(index: int) -> Callable[[bool, str], None]:
    def must(is_met: bool, name: str) -> None:
        if not is_met:
            raise Refused(name, index)

    return must


def _count(surplus: dict[int, int], currency: int, units: int) -> None:
    surplus[currency] = surplus.get(currency, 0) + units
