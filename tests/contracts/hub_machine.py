"""Drives a hub and its model through the same random steps, honest and hostile, and compares them after each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from coincurve import PrivateKey
from eth_abi import decode, encode
from eth_utils import abi_to_signature, function_abi_to_4byte_selector, keccak
from hub_author import Author
from hub_carriers import Carrier, Reverted, who
from hub_leaver import Leaver
from hub_misfits import Misfits
from hub_model import HubModel, Refused, Signed, SignedBatch
from hub_passkeys import SoftPasskey
from hub_world import (
    EUR,
    EXIT_DELAY_S,
    GBP,
    HUB_POWERS,
    ORDER_TYPE,
    QUOTE_TYPE,
    ROLES,
    TOKEN_POWERS,
    USD,
    Order,
    Quote,
    account,
    artifact,
)

CURRENCIES = (EUR, USD, GBP)
ACTORS = 7
UNITS_MAX = 10**12


@cache
def _function(contract: str, name: str) -> tuple[bytes, list[str]]:
    (abi,) = [e for e in artifact(contract)["abi"] if e["type"] == "function" and e["name"] == name]
    types = abi_to_signature(abi)[len(name) + 1 : -1]
    return function_abi_to_4byte_selector(abi), _split_types(types)


def _split_types(types: str) -> list[str]:
    """Splits at the commas outside parentheses."""
    return [part for part in re.findall(r"(?:\([^)]*\)(?:\[\])*|[^,()]+)", types) if part]


def call_data(contract: str, name: str, *arguments: Any) -> bytes:
    """The calldata of a function of one of the artifacts."""
    selector, types = _function(contract, name)
    return selector + encode(types, arguments)


@cache
def errors() -> dict[bytes, str]:
    abi = [entry for name in ("SettlementHub", "CurrencyToken") for entry in artifact(name)["abi"]]
    return {function_abi_to_4byte_selector(entry): entry["name"] for entry in abi if entry["type"] == "error"}


class Machine:
    """One hub, its model, and seven accounts that pay, make markets and misbehave."""

    def __init__(self, carrier: Carrier, *, has_passkeys: bool = True) -> None:
        self.carrier, self.has_passkeys = carrier, has_passkeys
        self.treasury = account("treasury").address
        self.manager = carrier.deploy(_creation("AccessManager", who("admin")))
        self.hub = carrier.deploy(_creation("SettlementHub", self.manager, self.treasury, EXIT_DELAY_S))
        self.tokens = {currency: self._new_token(currency) for currency in CURRENCIES}
        self._grant()
        for currency, token in self.tokens.items():
            self._found_currency(currency, token)
        self.misfits = Misfits(self)
        self.keys = {account(f"actor-{i}").address: bytes(account(f"actor-{i}").key) for i in range(ACTORS)}
        self.keys[self.treasury] = bytes(account("treasury").key)
        for key in self.keys.values():
            carrier.adopt(key)
        self.passkeys = {one.address: one for one in (SoftPasskey(f"actor-{i}") for i in range(2))}
        self.actors = [*self.keys, *(self.passkeys if self.has_passkeys else ())]
        self.pairs = [(actor, currency) for actor in self.actors for currency in CURRENCIES]
        self._read_all = call_data("SettlementHub", "positionsOf", *map(list, zip(*self.pairs, strict=True)))
        self.begin()

    def begin(self) -> None:
        """A model of the hub as it was founded; the chain must be as founded too."""
        self.model = HubModel(self.treasury, hub=self.hub, exit_delay=EXIT_DELAY_S)
        self.quotes: list[Signed] = []
        self.past: list[SignedBatch] = []
        self.last_id = 0
        self.outcomes: Counter[str] = Counter()
        self.seen = dict.fromkeys(self.pairs, 0)

    def _new_token(self, currency: int) -> str:
        return self.carrier.deploy(_creation("CurrencyToken", f"Currency {currency}", f"C{currency}", self.manager))

    def _grant(self) -> None:
        for role, number in ROLES.items():
            self._as_admin("grantRole", number, who(role.lower()), 0)
        targets = [("SettlementHub", self.hub, HUB_POWERS)]
        targets += [("CurrencyToken", token, TOKEN_POWERS) for token in self.tokens.values()]
        for contract, address, powers in targets:
            for role, names in powers.items():
                selectors = [_function(contract, name)[0] for name in names]
                self._as_admin("setTargetFunctionRole", address, selectors, ROLES[role])

    def _as_admin(self, name: str, *arguments: Any) -> None:
        self.carrier.send(who("admin"), self.manager, call_data("AccessManager", name, *arguments))

    def _found_currency(self, currency: int, token: str) -> None:
        self.carrier.send(who("governor"), self.hub, call_data("SettlementHub", "listCurrency", currency, token))
        issuer, hub, plenty = who("issuer"), self.hub, 2**255
        configure = call_data("CurrencyToken", "configureMinter", issuer, plenty)
        self.carrier.send(who("mint_controller"), token, configure)
        self.carrier.send(issuer, token, call_data("CurrencyToken", "approve", hub, plenty))
        self.carrier.send(issuer, token, call_data("CurrencyToken", "mint", issuer, 10**30))

    # Steps. Each takes its choices from `draw`, so that Hypothesis can make and shrink them.

    def step(self, draw: Random) -> None:
        """One random step: mostly a batch."""
        chosen = draw.random()
        if chosen < 0.15:
            self.deposit(draw)
        elif chosen < 0.20:
            self.toggle_freeze(draw)
        elif chosen < 0.22:
            self.toggle_pause()
        elif chosen < 0.34:
            Leaver(self, draw).step()
        elif chosen < 0.36:
            self.misfits.step(draw)
        else:
            self.settle(draw)

    def deposit(self, draw: Random) -> None:
        """Credits one or two accounts."""
        currency = draw.choice(CURRENCIES)
        deposits = [(draw.choice(self.actors), draw.randint(1, UNITS_MAX)) for _ in range(draw.randint(1, 2))]
        entries = [(who_, units, bytes(32)) for who_, units in deposits]
        self.carrier.send(who("issuer"), self.hub, call_data("SettlementHub", "deposit", currency, entries))
        self.model.deposit(currency, deposits)
        self.outcomes["deposited"] += 1
        self.check(may_fall=set())

    def toggle_freeze(self, draw: Random) -> None:
        """Freezes an account, or the other way round."""
        actor = draw.choice(self.actors)
        name = "unfreeze" if actor in self.model.frozen else "freeze"
        self.carrier.send(who("compliance"), self.hub, call_data("SettlementHub", name, actor))
        self.model.frozen ^= {actor}
        self.check(may_fall=set())

    def toggle_pause(self) -> None:
        """Pauses the hub, or the other way round."""
        name = "unpause" if self.model.is_paused else "pause"
        self.carrier.send(who("pauser"), self.hub, call_data("SettlementHub", name))
        self.model.is_paused = not self.model.is_paused
        self.check(may_fall=set())

    def settle(self, draw: Random) -> None:
        """Sends a batch and expects what the model says: the same state, or the same refusal."""
        if self.model.is_paused and draw.random() < 0.7:
            self.toggle_pause()
        if len(self.model.frozen) > 2:
            self.toggle_freeze(draw)
        self.model.now = self.carrier.now()
        batch = Author(self, draw).batch()
        sender = who("stranger") if draw.random() < 0.01 else who("settler")
        expected, named, after = self._expect(batch, sender)
        found, first = self._send(batch, sender)
        assert found == expected, f"the hub says {found}, the model {expected}: {batch}"
        assert named in (None, first), f"{found} names {first}, the model {named}: {batch}"
        self.model = after
        self.outcomes[found] += 1
        if found == "settled":
            self.past = [*self.past[-20:], batch]
        self.check(may_fall=(batch.signers() - self.model.frozen) if found == "settled" else set())
        self._check_touched(batch)

    def _expect(self, batch: SignedBatch, sender: str) -> tuple[str, int | None, HubModel]:
        """The outcome, the index it should name, and the state after."""
        try:
            if sender != who("settler"):
                raise Refused("AccessManagedUnauthorized")
            return "settled", None, self.model.settled_after(batch)
        except Refused as refused:
            return refused.name, refused.index, self.model

    def _send(self, batch: SignedBatch, sender: str) -> tuple[str, int | None]:
        try:
            self.carrier.send(sender, self.hub, call_data("SettlementHub", "settle", batch.packed()))
        except Reverted as reverted:
            first = int.from_bytes(reverted.data[4:36], "big") if len(reverted.data) >= 36 else None
            return errors().get(reverted.data[:4], reverted.data.hex()), first
        return "settled", None

    # What must hold after every step, read from the contract.

    def check(self, *, may_fall: set[str]) -> None:
        """Backing, exactness, and that nobody is debited without having signed."""
        (balances,) = decode(["uint128[]"], self.carrier.read(self.hub, self._read_all))
        found = dict(zip(self.pairs, balances, strict=True))
        assert found == {pair: self.model.balances.get(pair, 0) for pair in self.pairs}
        for currency, token in self.tokens.items():
            total = self.number(self.hub, "SettlementHub", "totalOf", currency)
            held = self.number(token, "CurrencyToken", "balanceOf", self.hub)
            everyone = sum(units for (_, of), units in found.items() if of == currency)
            leaving = sum(request.units for (_, of), request in self.model.exits.items() if of == currency)
            assert everyone + leaving == total, f"positions {everyone}, leaving {leaving}, total {total} in {currency}"
            assert total <= held, f"total {total}, tokens {held} in {currency}"
        fallen = {actor for (actor, currency), units in found.items() if units < self.seen[actor, currency]}
        assert fallen <= may_fall, f"debited without a signature: {fallen - may_fall}"
        self.seen = found

    def _check_touched(self, batch: SignedBatch) -> None:
        for signed in batch.orders:
            order = signed.intent
            assert isinstance(order, Order)
            data = call_data("SettlementHub", "positionOf", order.payer, order.source_currency)
            _, nonce = decode(["uint128", "uint64"], self.carrier.read(self.hub, data))
            assert nonce == self.model.nonces.get((order.payer, order.source_currency), 0)
        for signed in batch.quotes:
            quote = signed.intent
            assert isinstance(quote, Quote)
            digest = self.digest(QUOTE_TYPE, quote)
            sold = self.number(self.hub, "SettlementHub", "quoteSold", digest)
            assert sold == self.model.sold.get(quote, 0)
            assert sold <= quote.sell_units_max

    def balances(self, accounts: list[str], currencies: list[int]) -> tuple[int, ...]:
        """The balances of the pairs, as the hub has them."""
        data = call_data("SettlementHub", "positionsOf", accounts, currencies)
        return tuple(decode(["uint128[]"], self.carrier.read(self.hub, data))[0])

    def number(self, to: str, contract: str, name: str, *arguments: Any) -> int:
        """The answer of a view of one number."""
        return int.from_bytes(self.carrier.read(to, call_data(contract, name, *arguments)), "big")

    def digest(
        self, types: dict[str, Any], intent: Sequence[Any], *, chain_id: int | None = None, hub: str | None = None
    ) -> bytes:
        """The EIP-712 digest, packed by hand; a test compares it with eth_account's."""
        ((name, members),) = types.items()
        text = f"{name}({','.join(member['type'] + ' ' + member['name'] for member in members)})"
        body = encode(["bytes32", *[member["type"] for member in members]], [keccak(text=text), *intent])
        return keccak(b"\x19\x01" + _domain_separator(chain_id or self.carrier.id, hub or self.hub) + keccak(body))

    def sign(self, intent: Order | Quote, *, signer: str | None = None, digest: bytes | None = None) -> Signed:
        """The owner's signature, or someone else's, or over another digest."""
        types, owner = (ORDER_TYPE, intent.payer) if isinstance(intent, Order) else (QUOTE_TYPE, intent.maker)
        signature = self.sign_digest(signer or owner, digest or self.digest(types, intent))
        return Signed(intent, signature, (signer or owner) == owner and digest is None)

    def sign_digest(self, signer: str, digest: bytes) -> bytes:
        """By an account's key or passkey."""
        if signer in self.passkeys:
            return self.passkeys[signer].sign(digest)
        raw = PrivateKey(self.keys[signer]).sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([27 + raw[64]])


@cache
def _domain_separator(chain_id: int, hub: str) -> bytes:
    kind = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    fields = [kind, keccak(text="chainwallet"), keccak(text="1"), chain_id, hub]
    return keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], fields))


def _creation(name: str, *arguments: Any) -> bytes:
    built = artifact(name)
    (constructor,) = [entry for entry in built["abi"] if entry["type"] == "constructor"]
    types = [entry["type"] for entry in constructor["inputs"]]
    return bytes.fromhex(built["bytecode"][2:]) + encode(types, arguments)
