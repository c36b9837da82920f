"""Owners who leave, change their mind and cancel orders, and strangers who try it for them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from hub_carriers import Reverted, who
from hub_model import Leaving, Refused
from hub_packing import pack_signature
from hub_world import EXIT_DELAY_S, FAR

if TYPE_CHECKING:
    from hub_machine import Machine

EXIT_TYPE = {
    "ExitOrder": [
        {"name": "account", "type": "address"},
        {"name": "recipient", "type": "address"},
        {"name": "currency", "type": "uint16"},
        {"name": "amount", "type": "uint128"},
        {"name": "nonce", "type": "uint64"},
        {"name": "deadline", "type": "uint64"},
    ]
}


class Leaver:
    """One step of leaving, honest or hostile, on the hub and on its model."""

    def __init__(self, machine: Machine, draw: Random) -> None:
        self.machine, self.model, self.draw = machine, machine.model, draw
        self.model.now = machine.carrier.now()
        leaving = list(self.model.exits)
        rich = [pair for pair, units in self.model.balances.items() if units > 10]
        self.account, self.currency = draw.choice(leaving if leaving and draw.random() < 0.5 else rich or machine.pairs)

    def step(self) -> None:
        """A request, a signed request, a payout, a change of mind, or a cancellation of orders."""
        if (self.account, self.currency) in self.model.exits:
            self.draw.choice([self._exit, self._exit, self._exit, self._cancel, self._request])()
        else:
            self.draw.choice([self._request, self._request_for, self._request_for, self._cancel_orders, self._exit])()

    def _request(self) -> None:
        units, recipient = self._units(), self._recipient()
        self._try(
            self.account,
            ("requestExit", self.currency, units, recipient),
            lambda: self.model.request_exit(self.account, self.currency, units, recipient),
        )

    def _request_for(self) -> None:
        nonce = self.model.nonces.get((self.account, self.currency), 0) + self.draw.choice([0, 1, 1, 1, 5])
        deadline = self.draw.choice([FAR, FAR, FAR, 1])
        order = Leaving(self.account, self._recipient(), self.currency, self._units(), nonce, deadline)
        carried, signature, is_genuine = self._signed(order)
        self._try(
            who("stranger"),
            ("requestExitFor", tuple(carried), signature),
            lambda: self.model.request_exit_for(carried, is_genuine=is_genuine),
            may_fall={self.account} if is_genuine else set(),
        )

    def _signed(self, order: Leaving) -> tuple[Leaving, bytes, bool]:
        """The order with its owner's signature, or one that only looks like it."""
        digest, thief = self.machine.digest(EXIT_TYPE, order), self.draw.choice(self.machine.actors)
        way = self.draw.choice(["good", "good", "good", "thief", "hub", "chain", "field"])
        signer = thief if way == "thief" else order.account
        if way == "hub":
            digest = self.machine.digest(EXIT_TYPE, order, hub=thief)
        if way == "chain":
            digest = self.machine.digest(EXIT_TYPE, order, chain_id=self.machine.carrier.id + 1)
        kind, signed = pack_signature(self.machine.sign_digest(signer, digest))
        carried = order._replace(recipient=thief) if way == "field" else order
        is_genuine = (
            way == "good" or (way == "thief" and thief == order.account) or (way == "field" and carried == order)
        )
        return carried, bytes([kind]) + signed, is_genuine

    def _exit(self) -> None:
        if self.draw.random() < 0.6:
            self.machine.carrier.wait(EXIT_DELAY_S + self.draw.randint(-2, 5))
            self.model.now = self.machine.carrier.now()
        self._try(
            who("stranger"),
            ("exit", self.account, self.currency),
            lambda: self.model.exit(self.account, self.currency),
            may_fall=set(),
        )

    def _cancel(self) -> None:
        self._try(
            self.account,
            ("cancelExit", self.currency),
            lambda: self.model.cancel_exit(self.account, self.currency),
        )

    def _cancel_orders(self) -> None:
        nonce = self.model.nonces.get((self.account, self.currency), 0) + self.draw.choice([-1, 0, 1, 3])
        nonce = max(0, nonce)
        self._try(
            self.account,
            ("cancelOrders", self.currency, nonce),
            lambda: self.model.cancel_orders(self.account, self.currency, nonce),
            may_fall=set(),
        )

    def _units(self) -> int:
        held = self.model.balances.get((self.account, self.currency), 0)
        return self.draw.choice([0, 1, held, held + 1, self.draw.randint(0, held), self.draw.randint(0, held)])

    def _recipient(self) -> str:
        haven = who("issuer")
        return self.draw.choice([haven] * 8 + ["0x" + "00" * 20, self.machine.hub])

    def _try(
        self, sender: str, call: tuple[Any, ...], promise: Callable[[], None], *, may_fall: set[str] | None = None
    ) -> None:
        """The hub does what the model promises, or both refuse alike."""
        from hub_machine import call_data, errors

        name, *arguments = call
        if sender in self.machine.passkeys:
            return  # a passkey sends no transactions
        try:
            self.machine.carrier.send(sender, self.machine.hub, call_data("SettlementHub", name, *arguments))
            found = name
        except Reverted as reverted:
            found = errors().get(reverted.data[:4], reverted.data.hex())
        self.model.now = self.machine.carrier.now()  # of the block that it was mined in
        try:
            promise()
            expected = name
        except Refused as refused:
            expected = refused.name
        assert found == expected, f"the hub says {found}, the model {expected}: {call}"
        self.machine.outcomes[found] += 1
        fallen = {self.account} if may_fall is None else may_fall
        self.machine.check(may_fall=fallen if found == name else set())
        self._check_exit()

    def _check_exit(self) -> None:
        from eth_abi import decode
        from hub_machine import call_data

        data = call_data("SettlementHub", "exitOf", self.account, self.currency)
        found = decode(["uint128", "uint64", "address"], self.machine.carrier.read(self.machine.hub, data))
        request = self.model.exits.get((self.account, self.currency))
        if request is None:
            assert found[0] == 0
        else:
            assert (found[0], found[1]) == (request.units, request.available_at)
            assert found[2].lower() == request.recipient.lower()
        nonce = decode(
            ["uint128", "uint64"],
            self.machine.carrier.read(
                self.machine.hub, call_data("SettlementHub", "positionOf", self.account, self.currency)
            ),
        )[1]
        assert nonce == self.model.nonces.get((self.account, self.currency), 0)
