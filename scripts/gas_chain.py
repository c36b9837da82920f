"""A hub on anvil with hundreds of accounts that hold balances and have paid before: what gas is measured on."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chainwallet.chain.contracts.currency_token import encode_mint
from chainwallet.chain.contracts.settlement_hub import (
    Fill,
    HubDeposit,
    Share,
    encode_deposit,
    encode_settle,
    touched_positions,
)
from chainwallet.chain.deployer import deploy
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.outcome import Accepted
from chainwallet.keys.addresses import parse_address
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, Transaction, order_digest, quote_digest
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signatures import SecretKey
from chainwallet.keys.signers import LocalSigner
from chainwallet.keys.transactions import SignedTransaction, sign_transaction

EUR, USD = 978, 840
UNIT = 10**6
GWEI = 10**9
TX_GAS_MAX = 16_777_216  # EIP-7825
DEADLINE = 1_893_456_000  # the year 2030: four bytes, as deadlines of this century have
DEPOSITS_A_CALL = 400


class MeasurementFailed(Exception):
    """A transaction that was to be measured reverted or was not mined."""


@cache
def key_of(label: str) -> SecretKey:
    """A key that only its label decides."""
    return SecretKey(keccak(label.encode()))


@dataclass(frozen=True, slots=True)
class Market:
    """Payments of one kind: how many accounts share a payee, which way they go, whether makers take part."""

    target: int
    makers: int = 0
    payments_a_payee: int = 1
    is_mutual: bool = False  # every second payment goes the other way, so that the flows net
    share: int = 0  # units of what is left over that each payer gets


@dataclass(frozen=True, slots=True)
class Payments:
    """The call data of a batch, and the positions it touches as an access list."""

    data: bytes
    access_list: tuple[tuple[str, tuple[bytes, ...]], ...]


class GasChain:
    """The deployed system; `operator` settles and issues."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.operator = LocalSigner("0x" + "11" * 32)
        node.fund(self.operator.address)
        self.deployment = deploy(node, self.operator, currencies=["EUR", "USD"], folder=folder, broadcast=True)
        self.domain = Domain(node.chain_id, self.deployment.hub)
        self.batch_id = 0
        # Blocks come by `evm_mine` alone, whose answer says that the pool is empty again: a block that the node
        # mines by itself may leave what it holds in the pool for a moment, where it meets its nonce's next use.
        node.request("evm_setAutomine", [False])

    def settle_up(self, accounts: int) -> None:
        """Every payer, payee, maker and the treasury hold both currencies; every payer has paid before."""
        names = [f"{side}-{i}" for i in range(accounts) for side in ("payer", "payee")] + [
            f"maker-{i}" for i in range(4)
        ]
        held = [key_of(name).address for name in names] + [self.deployment.treasury]
        for code, currency in (("EUR", EUR), ("USD", USD)):
            self.used(self.deployment.tokens[code], encode_mint(self.operator.address, 10**17))
            for start in range(0, len(held), DEPOSITS_A_CALL):
                part = held[start : start + DEPOSITS_A_CALL]
                deposits = [HubDeposit(account, 10**11, bytes(32)) for account in part]
                self.used(self.deployment.hub, encode_deposit(currency, deposits))
        for currency in (EUR, USD):
            for start in range(0, accounts, DEPOSITS_A_CALL):
                orders = [self.order(i, currency, currency, nonce=1) for i in range(start, min(accounts, start + 400))]
                self.used(self.deployment.hub, self.batch(orders))

    def used(
        self,
        to: str,
        data: bytes,
        *,
        key: SecretKey | None = None,
        gas: int = TX_GAS_MAX,
        access_list: tuple[tuple[str, tuple[bytes, ...]], ...] = (),
    ) -> int:
        """The gas of a transaction, mined; MeasurementFailed if it reverts."""
        sender = key.address if key else self.operator.address
        if key:
            self.node.fund(sender)
        nonce = self.node.nonce(sender)
        transaction = Transaction(self.node.chain_id, nonce, to, data, gas, 100 * GWEI, GWEI, access_list=access_list)
        signed = sign_transaction(key, transaction) if key else self.operator.sign_transaction(transaction)
        return self._mined(signed, to, data, sender)

    def create(self, code: bytes) -> str:
        """The address of a contract created by the operator."""
        nonce = self.node.nonce(self.operator.address)
        signed = self.operator.sign_transaction(
            Transaction(self.node.chain_id, nonce, None, code, TX_GAS_MAX, 100 * GWEI, GWEI)
        )
        self.node.send_raw(signed.raw)
        receipt = self._receipt(signed)
        return parse_address(receipt["contractAddress"])

    def _mined(self, signed: SignedTransaction, to: str, data: bytes, sender: str) -> int:
        if not isinstance(sent := self.node.send_raw(signed.raw), Accepted):
            raise MeasurementFailed(str(sent))
        receipt = self._receipt(signed)
        if receipt["status"] != "0x1":
            self.node.call(to, data, sender=sender)
            raise MeasurementFailed("reverted")
        return int(receipt["gasUsed"], 16)

    def _receipt(self, signed: SignedTransaction) -> dict[str, str]:
        while (receipt := self.node.raw_receipt(signed.hash)) is None:
            self.node.request("evm_mine", [])
        return dict(receipt)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is undone."""
        snapshot = self.node.request("evm_snapshot", [])
        yield
        self.node.request("evm_revert", [snapshot])

    def order(self, index: int, source: int, target: int, *, nonce: int = 2, payee: int | None = None) -> PaymentOrder:
        """101.37 of the source from a payer for some 100 of the target to a payee."""
        return PaymentOrder(
            key_of(f"payer-{index}").address,
            key_of(f"payee-{index if payee is None else payee}").address,
            source,
            101_370_000,
            target,
            100_250_000 + index,
            nonce,
            DEADLINE + index,
            random.Random(index).randbytes(32),
        )

    def batch(
        self,
        orders: Sequence[PaymentOrder],
        quotes: Sequence[MakerQuote] = (),
        *,
        sold: int = 0,
        shares: Sequence[Share] = (),
    ) -> bytes:
        """The call data of a batch of these orders in which each quote sells `sold`."""
        self.batch_id += 1
        signed = [key_of_payer(order).sign_digest(order_digest(self.domain, order)) for order in orders]
        priced = [key_of(f"maker-{i}").sign_digest(quote_digest(self.domain, q)) for i, q in enumerate(quotes)]
        fills = [Fill(i, sold) for i in range(len(quotes))]
        return encode_settle(self.batch_id, orders, signed, quotes, priced, fills, shares)

    def payments(self, size: int, market: Market) -> Payments:
        """A batch of that many payments."""
        orders = []
        for i in range(size):
            source, target = (market.target, EUR) if market.is_mutual and i % 2 else (EUR, market.target)
            orders.append(self.order(i, source, target, payee=i // market.payments_a_payee, nonce=3))
        quotes = self.quotes()[: market.makers]
        sold = -(-sum(order.target_units for order in orders) // market.makers) if market.makers else 0
        slots = touched_positions(orders, quotes, self.deployment.treasury)
        shares = [Share(i, market.share + i) for i in range(size)] if market.share else []
        return Payments(self.batch(orders, quotes, sold=sold, shares=shares), ((self.deployment.hub, slots),))

    def quotes(self) -> list[MakerQuote]:
        """What four makers offer: dollars at 0.98 euros."""
        makers = [key_of(f"maker-{i}").address for i in range(4)]
        return [MakerQuote(m, USD, 90_000 * UNIT, EUR, 88_200 * UNIT, i + 1, DEADLINE) for i, m in enumerate(makers)]

    def draw_on_quotes(self) -> None:
        """Each maker's quote is filled in part, as most are that a batch of a standing market meets."""
        self.used(self.deployment.hub, self.batch([self.order(0, EUR, USD, nonce=2)], self.quotes(), sold=25_062_500))


_PAYERS: dict[str, SecretKey] = {}


def key_of_payer(order: PaymentOrder) -> SecretKey:
    """The key of an order's payer, one of `payer-<n>`."""
    while order.payer not in _PAYERS:
        key = key_of(f"payer-{len(_PAYERS)}")
        _PAYERS[key.address] = key
    return _PAYERS[order.payer]


@contextmanager
def gas_chain(accounts: int) -> Iterator[GasChain]:
    """A fresh chain, stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="cw-gas-") as folder:
        node = open_node("anvil", data_dir=Path(folder))
        try:
            chain = GasChain(node, Path(folder) / "deployments")
            chain.settle_up(accounts)
            yield chain
        finally:
            node.close()


def batch_gas(chain: GasChain, size: int, market: Market, *, listed: bool = False, gas: int = TX_GAS_MAX) -> int:
    """Gas of a batch of that many payments, undone; `listed`: with an access list."""
    with chain.undone():
        payments = chain.payments(size, market)
        access_list = payments.access_list if listed else ()
        return chain.used(chain.deployment.hub, payments.data, gas=gas, access_list=access_list)


def largest(chain: GasChain, market: Market, *, listed: bool) -> tuple[int, int]:
    """The most payments whose gas fits one transaction (EIP-7825), and that gas."""

    def gas_of(size: int) -> int:
        return batch_gas(chain, size, market, listed=listed, gas=2 * TX_GAS_MAX)

    first, second = gas_of(100), gas_of(200)
    marginal = (second - first) / 100
    size = round(100 + (TX_GAS_MAX - first) / marginal)
    while gas_of(size) > TX_GAS_MAX:
        size -= 1
    while (more := gas_of(size + 1)) <= TX_GAS_MAX and more:
        size += 1
    return size, gas_of(size)
