"""Tokens that the hub has to survive: one keeps a fee, one says nothing and may move nothing, one calls back."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector
from hub_carriers import Reverted, who
from hub_world import mock

if TYPE_CHECKING:
    from hub_machine import Machine

FEE, SILENT, CALLING = 1_001, 1_002, 1_003
TOKENS = {FEE: "FeeOnTransferToken", SILENT: "NoReturnToken", CALLING: "ReentrantToken"}
PLENTY = 10**30


def call_of(signature: str, *arguments: Any) -> bytes:
    """The calldata of a function that no artifact has."""
    types = signature[signature.index("(") + 1 : -1].split(",")
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)


class Misfits:
    """Three listed currencies whose tokens misbehave, with the issuer's money in them."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.carrier = machine, machine.carrier
        self.tokens = {currency: self._found(currency, name) for currency, name in TOKENS.items()}

    def _found(self, currency: int, name: str) -> str:
        from hub_machine import call_data

        token = self.carrier.deploy(bytes.fromhex(mock(name)["bytecode"][2:]))
        self.carrier.send(
            who("governor"), self.machine.hub, call_data("SettlementHub", "listCurrency", currency, token)
        )
        self._tell(token, call_of("mint(address,uint256)", who("issuer"), PLENTY))
        self._tell(token, call_of("approve(address,uint256)", self.machine.hub, PLENTY))
        return token

    def _tell(self, token: str, data: bytes) -> None:
        self.carrier.send(who("issuer"), token, data)

    def step(self, draw: Random) -> None:
        """One deposit: refused for what the token does, or credited and backed; nothing else changes."""
        currency, account = draw.choice(list(TOKENS)), draw.choice(self.machine.actors)
        units, is_idle = draw.randint(100, 10**6), draw.random() < 0.5
        expected = {
            FEE: "DepositAmountMismatch",
            SILENT: "DepositAmountMismatch" if is_idle else "deposited silently",
            CALLING: "ReentrancyGuardReentrantCall",
        }[currency]
        if currency == SILENT:
            self._tell(self.tokens[SILENT], call_of("setIdle(bool)", is_idle))
        if currency == CALLING:
            again = self._call_back(draw, account)
            self._tell(self.tokens[CALLING], call_of("arm(address,bytes)", self.machine.hub, again))
        found = self._deposit(currency, account, units)
        assert found == expected, f"the hub says {found}, not {expected}, of {units} in {currency}"
        self.machine.outcomes[found] += 1
        if found == "deposited silently":
            self.machine.model.deposit(currency, [(account, units)])
        self.machine.check(may_fall=set())
        self._check(currency, account)

    def _deposit(self, currency: int, account: str, units: int) -> str:
        from hub_machine import call_data, errors

        try:
            data = call_data("SettlementHub", "deposit", currency, [(account, units, bytes(32))])
            self.carrier.send(who("issuer"), self.machine.hub, data)
        except Reverted as reverted:
            return errors().get(reverted.data[:4], reverted.data.hex())
        return "deposited silently"

    def _call_back(self, draw: Random, account: str) -> bytes:
        """What the token calls in the middle of the deposit."""
        from hub_machine import call_data

        return draw.choice(
            [
                call_data("SettlementHub", "deposit", CALLING, [(account, 1, bytes(32))]),
                call_data("SettlementHub", "requestExit", CALLING, 1, who("issuer")),
                call_data("SettlementHub", "cancelExit", CALLING),
                call_data("SettlementHub", "exit", account, CALLING),
            ]
        )

    def _check(self, currency: int, account: str) -> None:
        """The position is the model's, and the tokens cover the total."""
        total = self.machine.number(self.machine.hub, "SettlementHub", "totalOf", currency)
        held = self.machine.number(self.tokens[currency], "CurrencyToken", "balanceOf", self.machine.hub)
        (balance,) = self.machine.balances([account], [currency])
        assert balance == self.machine.model.balances.get((account, currency), 0)
        assert total == held == self.machine.model.total(currency)
