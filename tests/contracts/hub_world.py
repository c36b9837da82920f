"""A small deployed world on a chain: roles, tokens, a hub, accounts that sign with eth_account."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils import function_abi_to_4byte_selector, keccak
from hub_chain import FAILURES, Chain, Refusal
from hub_packing import Packed, pack_batch
from tests.running_scripts import load_script
from web3.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
EUR, USD, GBP, CNY = 978, 840, 826, 156
UNIT = 1_000_000  # units of one euro, dollar, ...
FAR = 2**32 - 1  # a deadline that no test reaches, and the last that an order's narrow form can say
EXIT_DELAY_S = 86_400
UINT128_MAX = 2**128 - 1
ROLES = {"GOVERNOR": 1, "SETTLER": 2, "MINT_CONTROLLER": 3, "COMPLIANCE": 4, "PAUSER": 5}
HUB_POWERS = {
    "GOVERNOR": ["listCurrency"],
    "SETTLER": ["settle"],
    "COMPLIANCE": ["freeze", "unfreeze"],
    "PAUSER": ["pause", "unpause"],
}
TOKEN_POWERS = {
    "MINT_CONTROLLER": ["configureMinter", "removeMinter"],
    "COMPLIANCE": ["freeze", "unfreeze"],
    "PAUSER": ["pause", "unpause"],
}

# Written out a second time, by the design and not by the Solidity source.
ORDER_TYPE = {
    "PaymentOrder": [
        {"name": "payer", "type": "address"},
        {"name": "payee", "type": "address"},
        {"name": "sourceCurrency", "type": "uint16"},
        {"name": "sourceAmount", "type": "uint128"},
        {"name": "targetCurrency", "type": "uint16"},
        {"name": "targetAmount", "type": "uint128"},
        {"name": "nonce", "type": "uint64"},
        {"name": "deadline", "type": "uint64"},
        {"name": "memo", "type": "bytes32"},
    ]
}
QUOTE_TYPE = {
    "MakerQuote": [
        {"name": "maker", "type": "address"},
        {"name": "sellCurrency", "type": "uint16"},
        {"name": "sellAmountMax", "type": "uint128"},
        {"name": "buyCurrency", "type": "uint16"},
        {"name": "buyAmount", "type": "uint128"},
        {"name": "nonce", "type": "uint64"},
        {"name": "deadline", "type": "uint64"},
    ]
}


class Order(NamedTuple):
    """PaymentOrder in the order of its fields."""

    payer: str
    payee: str
    source_currency: int
    source_units: int
    target_currency: int
    target_units: int
    nonce: int = 1
    deadline: int = FAR
    memo: bytes = bytes(32)


class Quote(NamedTuple):
    """MakerQuote in the order of its fields."""

    maker: str
    sell_currency: int
    sell_units_max: int
    buy_currency: int
    buy_units: int
    nonce: int = 1
    deadline: int = FAR


def load_compiler_script() -> ModuleType:
    """scripts/compile_contracts.py as a module."""
    return load_script("compile_contracts")


def artifact(name: str) -> dict[str, Any]:
    """A committed artifact, or the one of that name in CHAINWALLET_TEST_ARTIFACTS."""
    path = ROOT / "src" / "chainwallet" / "chain" / "abi" / f"{name}.json"
    return _replaced(name) or dict(json.loads(path.read_text(encoding="utf-8")))


def _replaced(name: str) -> dict[str, Any] | None:
    """What scripts/mutate_contracts.py puts in the place of a contract."""
    path = Path(os.environ.get("CHAINWALLET_TEST_ARTIFACTS", "")) / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def mock(name: str) -> dict[str, Any]:
    """A contract of contracts/mocks, compiled now or taken from the cache under build/."""
    if (replaced := _replaced(name)) is not None:
        return replaced
    mocks = sorted((ROOT / "contracts" / "mocks").glob("*.sol"))
    compiled = load_compiler_script().compile_units([f"contracts/mocks/{path.name}" for path in mocks])[name]
    return {"contractName": name, "abi": compiled.abi, "bytecode": compiled.bytecode}


def account(label: str) -> LocalAccount:
    """A key that only its label decides."""
    return Account.from_key(keccak(text=label))


def sign_order(signer: LocalAccount, order: Order, *, chain_id: int, hub: str) -> bytes:
    """The payer's EIP-712 signature as eth_account makes it."""
    return _sign(signer, ORDER_TYPE, order, chain_id=chain_id, hub=hub)


def sign_quote(signer: LocalAccount, quote: Quote, *, chain_id: int, hub: str) -> bytes:
    """The maker's EIP-712 signature as eth_account makes it."""
    return _sign(signer, QUOTE_TYPE, quote, chain_id=chain_id, hub=hub)


def typed_data(types: dict[str, Any], values: Sequence[Any], *, chain_id: int, hub: str) -> Any:
    """The signable message of a struct of one of the types above."""
    domain = {"name": "chainwallet", "version": "1", "chainId": chain_id, "verifyingContract": hub}
    (struct,) = types.values()
    message = {member["name"]: value for member, value in zip(struct, values, strict=True)}
    return encode_typed_data(domain_data=domain, message_types=types, message_data=message)


def digest_of(types: dict[str, Any], values: Sequence[Any], *, chain_id: int, hub: str) -> bytes:
    """The EIP-712 digest as eth_account makes it."""
    message = typed_data(types, values, chain_id=chain_id, hub=hub)
    return keccak(b"\x19" + message.version + message.header + message.body)


def _sign(signer: LocalAccount, types: dict[str, Any], values: Sequence[Any], *, chain_id: int, hub: str) -> bytes:
    return bytes(signer.sign_message(typed_data(types, values, chain_id=chain_id, hub=hub)).signature)


@dataclass
class Batch:
    """The arguments of `settle`, each list open to tampering."""

    id: int = 1
    orders: list[Order] = field(default_factory=list)
    order_signatures: list[bytes] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    quote_signatures: list[bytes] = field(default_factory=list)
    fills: list[tuple[int, int]] = field(default_factory=list)
    shares: list[tuple[int, int]] = field(default_factory=list)

    def packed(self) -> Packed:
        """In its packed form, part by part."""
        orders = list(zip(self.orders, self.order_signatures, strict=True))
        quotes = list(zip(self.quotes, self.quote_signatures, strict=True))
        return pack_batch(self.id, orders, quotes, self.fills, self.shares)

    def arguments(self) -> tuple[bytes]:
        """As `settle` takes them."""
        return (self.packed().join(),)


class World:
    """Roles, two to four currencies and a hub; every power is held by an account of its own."""

    def __init__(self, currencies: Sequence[int] = (EUR, USD, GBP)) -> None:
        self.chain = Chain()
        names = ["admin", "governor", "settler", "mint_controller", "compliance", "pauser", "issuer", "stranger"]
        self.who = dict(zip(names, self.chain.accounts, strict=False))
        self.keys: dict[str, LocalAccount] = {}
        self.treasury = account("treasury").address
        self.manager = self.chain.deploy(artifact("AccessManager"), self.who["admin"])
        self.hub = self.chain.deploy(artifact("SettlementHub"), self.manager.address, self.treasury, EXIT_DELAY_S)
        self.grant_roles()
        self.assign(self.hub, HUB_POWERS)
        self.tokens = {currency: self.new_token(f"Currency {currency}", f"C{currency}") for currency in currencies}
        for currency, token in self.tokens.items():
            self.send(self.hub.functions.listCurrency(currency, token.address), "governor")
            self.send(token.functions.configureMinter(self.who["issuer"], 2**255), "mint_controller")
            self.send(token.functions.approve(self.hub.address, 2**256 - 1), "issuer")
            self.send(token.functions.mint(self.who["issuer"], 10**15), "issuer")

    def new_token(self, name: str, symbol: str) -> Contract:
        """A CurrencyToken under the manager's roles, not listed."""
        token = self.chain.deploy(artifact("CurrencyToken"), name, symbol, self.manager.address)
        self.assign(token, TOKEN_POWERS)
        return token

    def grant_roles(self) -> None:
        """Gives each role to the account of its name."""
        for role, number in ROLES.items():
            self.send(self.manager.functions.grantRole(number, self.who[role.lower()], 0), "admin")

    def assign(self, contract: Contract, powers: dict[str, list[str]]) -> None:
        """Binds the contract's restricted functions to roles."""
        for role, names in powers.items():
            selectors = [function_abi_to_4byte_selector(contract.get_function_by_name(name).abi) for name in names]
            self.send(self.manager.functions.setTargetFunctionRole(contract.address, selectors, ROLES[role]), "admin")

    def send(self, call: Any, sender: str) -> Any:
        """Mines a call by one of the named accounts."""
        return self.chain.send(call, self.who[sender])

    def refused(self, call: Any, sender: str) -> Refusal:
        """Why a call by one of the named accounts is refused."""
        return self.chain.refused(call, self.who[sender])

    def refused_deployment(self, constructor: Any) -> Refusal:
        """Why the chain refuses a deployment."""
        try:
            constructor.transact({"from": self.who["admin"]})
        except FAILURES as failure:
            return self.chain.decode(failure)
        raise AssertionError("the deployment was not refused")

    def second_hub(self, *, exit_delay_s: int = EXIT_DELAY_S) -> Contract:
        """Another hub under the same roles with the same currencies."""
        hub = self.chain.deploy(artifact("SettlementHub"), self.manager.address, self.treasury, exit_delay_s)
        self.assign(hub, HUB_POWERS)
        for currency, token in self.tokens.items():
            self.send(hub.functions.listCurrency(currency, token.address), "governor")
        return hub

    def key(self, label: str) -> LocalAccount:
        """The key of a label; remembered by address so that `order` and `quote` can sign."""
        found = account(label)
        self.keys[found.address] = found
        return found

    def fund(self, label: str, currency: int, units: int) -> str:
        """Deposits units for the label's account; returns its address."""
        address = self.key(label).address
        self.send(self.hub.functions.deposit(currency, [(address, units, bytes(32))]), "issuer")
        return address

    def sign(self, intent: Order | Quote) -> bytes:
        """The signature of the intent's owner."""
        if isinstance(intent, Order):
            return sign_order(self.keys[intent.payer], intent, chain_id=self.chain.id, hub=self.hub.address)
        return sign_quote(self.keys[intent.maker], intent, chain_id=self.chain.id, hub=self.hub.address)

    def batch(
        self,
        orders: Sequence[Order],
        quotes: Sequence[Quote] = (),
        fills: Sequence[tuple[int, int]] = (),
        *,
        shares: Sequence[tuple[int, int]] = (),
        batch_id: int = 1,
    ) -> Batch:
        """A batch with everything signed by its owner."""
        signed_orders = [self.sign(order) for order in orders]
        signed_quotes = [self.sign(quote) for quote in quotes]
        return Batch(batch_id, list(orders), signed_orders, list(quotes), signed_quotes, list(fills), list(shares))

    def settle(self, batch: Batch) -> Any:
        """Settles as the settler; returns the receipt."""
        return self.send(self.hub.functions.settle(*batch.arguments()), "settler")

    def settle_refused(self, batch: Batch) -> Refusal:
        """Why the settler's batch is refused."""
        return self.refused(self.hub.functions.settle(*batch.arguments()), "settler")

    def balance(self, address: str, currency: int) -> int:
        """A position's balance in units."""
        return int(self.hub.functions.positionOf(address, currency).call()[0])

    def nonce(self, address: str, currency: int) -> int:
        """A position's last order nonce."""
        return int(self.hub.functions.positionOf(address, currency).call()[1])

    def order_hash(self, order: Order) -> bytes:
        """The order's digest by eth_account."""
        return digest_of(ORDER_TYPE, order, chain_id=self.chain.id, hub=self.hub.address)

    def quote_hash(self, quote: Quote) -> bytes:
        """The quote's digest by eth_account."""
        return digest_of(QUOTE_TYPE, quote, chain_id=self.chain.id, hub=self.hub.address)
