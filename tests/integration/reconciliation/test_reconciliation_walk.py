"""A random walk of payers, makers and leavers: after each pass the books are what the chain is, whoever did what."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from chainwallet.chain.contracts.settlement_hub import encode_cancel_exit, encode_cancel_orders, encode_exit
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
ENDS = {str(s) for s in TransferStatus} - {"accepted", "submitted", "in_review"}


class Walk:
    """Few owners with little money each, so that what they do gets in each other's way."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.draw = bench, random.Random(seed)
        self.maker, _ = bench.maker(("USD", "200.00", "EUR", "184.00"), ("EUR", "200.00", "USD", "216.00"))
        self.other, _ = bench.maker(("USD", "500.00", "EUR", "460.10"), ("EUR", "500.00", "USD", "540.10"))
        self.owners = [bench.funded(EUR="100.00", USD="100.00") for _ in range(4)]
        self.transfers: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.acts = [self.pay] * 6 + [self.leave] * 3 + [self.ask] * 2 + [self.back, self.cancel_orders, self.cancel]
        self.acts += [self.payout, self.later, self.maker_leaves] + [self.settle] * 3 + [self.submit, self.index] * 2

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
        self.check()

    def owner(self) -> Customer:
        return self.draw.choice(self.owners)

    def amount(self, most: int = 60) -> str:
        return f"{self.draw.randint(1, most)}.{self.draw.randint(0, 99):02d}"

    def pay(self) -> None:
        payer, payee = self.draw.sample(self.owners, 2)
        source, target = self.draw.choice(CODES), self.draw.choice(CODES)
        self.transfers.append(self.bench.send(payer, payee, source, target, self.amount()))

    def cancel(self) -> None:
        waiting = [one for one in self.transfers if self.bench.transfer(one).status == "accepted"]
        if waiting:
            with self.bench.database.transaction() as session:
                cancel_transfer(session, self.draw.choice(waiting))

    def leave(self) -> None:
        self._leave(self.owner(), self.draw.choice(CODES))

    def maker_leaves(self) -> None:
        self._leave(self.maker, self.draw.choice(CODES))

    def _leave(self, owner: Customer, code: str) -> None:
        """As much as the chain lets go, which the books may have promised."""
        hub = self.bench.services.hub
        units = hub.position(owner.address, currency(code).id).units
        if units and hub.pending_exit(owner.address, currency(code).id) is None:
            self.bench.leave(owner, code, Money(code, self.draw.choice([units, self.draw.randint(1, units)])).value)

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
        owner, code = self.owner(), self.draw.choice(CODES)
        used = self.bench.services.hub.position(owner.address, currency(code).id).nonce
        self.bench.on_chain(owner, encode_cancel_orders(currency(code).id, used + self.draw.randint(1, 3)))

    def settle(self) -> None:
        self.bench.settle()

    def submit(self) -> None:
        self.bench.submit()

    def index(self) -> None:
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
    assert walk.outcomes["settled"], "it walked"
