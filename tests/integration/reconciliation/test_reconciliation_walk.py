"""A random walk of payers, makers and leavers: after each pass the books are what the chain is, whoever did what."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from chainwallet.chain.contracts.settlement_hub import (
    encode_cancel_exit,
    encode_cancel_orders,
    encode_exit,
    encode_request_exit,
)
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency
from chainwallet.ledger import verify
from chainwallet.payments.endings import cancel_transfer
from chainwallet.payments.exits import request_exit
from chainwallet.payments.transfers import TransferStatus

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

    from chainwallet.controls.identity.customers import Customer

CODES = ("EUR", "USD")
DAYS_S = 6 * 86_400
ENDS = {str(s) for s in TransferStatus} - {"accepted", "submitted", "in_review"}


class Walk:
    """Few owners with little money each, so that what they do gets in each other's way."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.draw = bench, random.Random(seed)
        self.maker, _ = bench.maker(*self.offers("200.00"), lasting_s=DAYS_S)
        bench.maker(*self.offers("50000.00", worse=".05"), lasting_s=DAYS_S)
        self.owners = [bench.funded(EUR="100.00", USD="100.00") for _ in range(4)]
        self.transfers: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.acts = [self.pay] * 10 + [self.leave] * 3 + [self.ask] * 2 + [self.back, self.cancel_orders, self.cancel]
        self.acts += [self.payout, self.later, self.maker_leaves, self.maker_returns] + [self.settle, self.submit] * 3
        self.acts += [self.fund] * 2

    def run(self, steps: int) -> None:
        for _ in range(steps):
            act = self.draw.choice(self.acts)
            try:
                act()
                self.outcomes[act.__name__] += 1
            except ChainwalletError as error:
                self.outcomes[error.code] += 1
            self.bench.index()
            while self.bench.book():
                pass
            self.check()
        self.end()

    def check(self) -> None:
        comparison = self.bench.compare()
        assert comparison.balanced, comparison.differences
        assert self.bench.breaks() == {}
        with self.bench.database.transaction() as session:
            assert verify(session) == []

    def end(self) -> None:
        """All comes to an end: what is held is for nothing any more, and no payment both failed and moved."""
        self.bench.rows("UPDATE owner_exit SET try_at = now() WHERE status = 'placed' RETURNING id")
        self.bench.run()
        self.bench.tidy()
        statuses = Counter(self.bench.statuses(*self.transfers))
        assert set(statuses) <= ENDS
        for transfer_id in self.transfers:
            assert len(self.bench.events_of(transfer_id)) == (self.bench.transfer(transfer_id).status == "settled")
        self.outcomes.update(statuses)
        self.outcomes.update(self.bench.transfer(one).failure_code or "" for one in self.transfers)
        self.check()

    def owner(self) -> Customer:
        return self.draw.choice(self.owners)

    def amount(self, most: int = 60) -> str:
        return f"{self.draw.randint(1, most)}.{self.draw.randint(0, 99):02d}"

    def pay(self) -> None:
        for _ in range(self.draw.randint(1, 3)):
            payer, payee = self.draw.sample(self.owners, 2)
            source, target = self.draw.choice(CODES), self.draw.choice(CODES)
            self.transfers.append(self.bench.send(payer, payee, source, target, self.amount(40)))

    def cancel(self) -> None:
        waiting = [one for one in self.transfers if self.bench.transfer(one).status == "accepted"]
        if waiting:
            with self.bench.database.transaction() as session:
                cancel_transfer(session, self.draw.choice(waiting))

    def leave(self) -> None:
        self._leave(self.owner(), self.draw.choice(CODES))

    def maker_returns(self) -> None:
        """The cheaper one comes back with new quotes, where the hub would refuse its old ones."""
        self.bench.fund(self.maker, EUR="100.00", USD="100.00")
        for offer in self.offers("100.00"):
            self.bench.maker_quote(self.maker, *offer, lasting_s=DAYS_S)

    @staticmethod
    def offers(value: str, *, worse: str = ".00") -> tuple[tuple[str, str, str, str], ...]:
        """Sells either currency at about today's price."""
        whole = int(value.removesuffix(".00"))
        euros, dollars = f"{whole * 92 // 100}{worse}", f"{whole * 108 // 100}{worse}"
        return ("USD", value, "EUR", euros), ("EUR", value, "USD", dollars)

    def maker_leaves(self) -> None:
        self._leave(self.maker, self.draw.choice(CODES))

    def _leave(self, owner: Customer, code: str) -> None:
        """As much as the chain lets go, which the books may have promised."""
        hub = self.bench.services.hub
        units = hub.position(owner.address, currency(code).id).units
        if units and hub.pending_exit(owner.address, currency(code).id) is None:
            some = self.draw.choice([units, self.draw.randint(1, units)])
            self.bench.on_chain(owner, encode_request_exit(currency(code).id, some, self.bench.haven))

    def ask(self) -> None:
        amount = Money.parse(self.draw.choice(CODES), self.amount())
        with self.bench.database.transaction() as session:
            domain = self.bench.services.domain
            request_exit(session, self.owner(), amount=amount, recipient=self.bench.haven, domain=domain)

    def back(self) -> None:
        for owner, code in self._leaving():
            self.bench.on_chain(owner, encode_cancel_exit(currency(code).id))
            return

    def payout(self) -> None:
        for owner, code in self._leaving():
            self.bench.wait_out_the_delay()
            self.bench.on_chain(self.owner(), encode_exit(owner.address, currency(code).id))
            return

    def later(self) -> None:
        self.bench.rows("UPDATE owner_exit SET try_at = now() WHERE status = 'placed' RETURNING id")
        self.bench.wait_out_the_delay()

    def _leaving(self) -> Iterator[tuple[Customer, str]]:
        pairs = [(owner, code) for owner in (*self.owners, self.maker) for code in CODES]
        self.draw.shuffle(pairs)
        hub = self.bench.services.hub
        return (pair for pair in pairs if hub.pending_exit(pair[0].address, currency(pair[1]).id) is not None)

    def cancel_orders(self) -> None:
        """Of a payment that is waiting or in flight and all before it, where there is one; else of some to come."""
        owner, code = self.owner(), self.draw.choice(CODES)
        nonce = self.bench.services.hub.position(owner.address, currency(code).id).nonce + self.draw.randint(1, 3)
        for transfer_id in self.draw.sample(self.transfers, min(5, len(self.transfers))):
            if self.bench.transfer(transfer_id).status in ("accepted", "submitted"):
                order = self.bench.order(transfer_id)
                owner = next(one for one in self.owners if one.address == order.payer)
                code, nonce = order.source_currency, order.nonce
        if nonce > self.bench.services.hub.position(owner.address, currency(code).id).nonce:
            self.bench.on_chain(owner, encode_cancel_orders(currency(code).id, nonce))

    def settle(self) -> None:
        self.bench.settle()

    def submit(self) -> None:
        self.bench.submit()

    def fund(self) -> None:
        self.bench.fund(self.owner(), EUR="15.00")


@pytest.mark.slow
def test_walk__books_equal_the_chain_after_each_step(patient_bench: Bench) -> None:
    _walk(patient_bench, steps=60, seed=20260101)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_walk__at_length(patient_bench: Bench) -> None:
    steps = int(os.environ.get("CHAINWALLET_OWNERS_STEPS", "1000"))
    seed = int(os.environ.get("CHAINWALLET_OWNERS_SEED", "20260102"))
    _walk(patient_bench, steps=steps, seed=seed)


def _walk(bench: Bench, *, steps: int, seed: int) -> None:
    print(f"CHAINWALLET_OWNERS_STEPS={steps} CHAINWALLET_OWNERS_SEED={seed}")
    walk = Walk(bench, seed)
    walk.run(steps)
    print(dict(sorted(walk.outcomes.items())))
    ways = ("settled", "failed", "cancelled", "TRANSFER_FUNDS_LEFT", "ORDER_CANCELLED_ON_CHAIN")
    assert all(walk.outcomes[way] for way in ways), "it met what it is about"
