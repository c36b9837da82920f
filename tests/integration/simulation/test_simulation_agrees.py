"""The simulation's model and the real service take the same steps, and say the same after each.

The real one runs on PostgreSQL and an in-process chain; the model's chain mines at once, as that one does.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulation"))

from simulated_chain import SimulatedChain
from simulated_service import Service

from chainwallet.chain.outcome import Unknown
from chainwallet.kit.database import Database
from chainwallet.payments.endings import cancel_transfer
from chainwallet.payments.transfers import TransferNotCancellable
from chainwallet.settlement import submitter

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

SEEDS = range(1, 7)
STEPS = 40
KINDS = {
    "accept": 8,
    "settle": 8,
    "submit": 9,
    "index": 8,
    "book": 8,
    "mine": 3,
    "cancel": 2,
    "lose": 3,
    "snapshot": 2,
    "fork": 2,
}


@pytest.fixture(scope="module")
def own(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    from tests.integration.conftest import open_bench

    with open_bench(postgres, tmp_path_factory.mktemp("agrees"), "embedded") as bench:
        yield bench


@dataclass
class Both:
    """The real service and its model, and the steps that both take."""

    bench: Bench
    model: Service
    customers: list[Any]
    base_height: int
    base_tx: int
    transfers: list[str] = field(default_factory=list)
    snapshot: tuple[str, int] | None = None
    lost: str | None = None

    def accept(self, draw: random.Random) -> None:
        payer, payee = draw.sample(self.customers, 2)
        value = f"{draw.randrange(1, 30)}.00"
        if self.bench.units(payer.id, "EUR")[0] - self.bench.units(payer.id, "EUR")[1] < int(value[:-3]) * 10**6:
            return
        transfer_id = self.bench.send(payer, payee, "EUR", "EUR", value)
        order = self.bench.order(transfer_id)
        self.transfers.append(transfer_id)
        self.model.now += 0.01  # later than what was sent before, too soon for sending that again
        self.model.accept(transfer_id, payer.id, payee.id, int(order.source_units), int(order.target_units))

    def settle(self, _: random.Random) -> None:
        self.bench.settle()
        self.model.settle()

    def submit(self, _: random.Random) -> None:
        self.model.loses, self.lost = self.lost, None
        node, lost, real = self.bench.services.node, self.model.loses, self.bench.services.node.send_raw

        def send_raw(raw: bytes) -> Any:
            nonlocal lost
            how, lost = lost, None
            if how == "request":
                return Unknown("the line went dead")
            outcome = real(raw)
            return Unknown("the line went dead") if how == "answer" else outcome

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(node, "send_raw", send_raw)
            # Only what a fork undid is old, however slow the machine is.
            patch.setattr(submitter, "_is_older", lambda moment, _: moment is not None and moment.year < 2000)
            self.bench.submit()
        self.model.submit()
        self.model.loses = None

    def index(self, _: random.Random) -> None:
        self.bench.index()
        self.model.index()

    def book(self, _: random.Random) -> None:
        self.bench.book()
        self.model.book()

    def mine(self, _: random.Random) -> None:
        self.bench.services.node.request("evm_mine", [])
        self.model.chain.mine()

    def cancel(self, draw: random.Random) -> None:
        if self.transfers:
            transfer_id = draw.choice(self.transfers)
            with suppress(TransferNotCancellable), self.bench.database.transaction() as session:
                cancel_transfer(session, transfer_id)
            self.model.cancel(transfer_id)

    def lose(self, draw: random.Random) -> None:
        self.lost = draw.choice(["request", "answer"])

    def take_snapshot(self, _: random.Random) -> None:
        self.snapshot = self.bench.services.node.request("evm_snapshot", []), self.model.chain.height

    def fork(self, _: random.Random) -> None:
        """Back to the snapshot, and on along another branch that is a block longer."""
        if self.snapshot is None:
            return
        (snapshot, height), self.snapshot = self.snapshot, None
        depth = self.model.chain.height - height
        self.bench.services.node.request("evm_revert", [snapshot])
        self.bench.services.node.request("evm_mine", [hex(depth + 1)])
        self.model.chain.reorganise(depth, longer=True)

    def real(self) -> dict[str, Any]:
        rows = self.bench.rows
        mine = {one.id for one in self.customers}
        accounts = rows("SELECT owner_id, posted_units, held_units FROM account WHERE currency = 'EUR'")
        txs = rows("SELECT nonce, status FROM chain_tx WHERE id > :base ORDER BY id", base=self.base_tx)
        tip = rows("SELECT max(number) FROM chain_block WHERE NOT orphaned")
        return {
            "transfers": {one: self.bench.transfer(one).status for one in self.transfers},
            "orders": {one: self.bench.order(one).status for one in self.transfers},
            "accounts": {owner: (int(posted), int(held)) for owner, posted, held in accounts if owner in mine},
            "transactions": [(nonce, str(status)) for nonce, status in txs],
            "tip": tip[0][0] - self.base_height,
            "head": self.bench.services.node.head().number - self.base_height,
        }

    def modelled(self) -> dict[str, Any]:
        db = self.model.db
        return {
            "transfers": dict(db.transfers),
            "orders": {one: row.status for one, row in db.placed.items()},
            "accounts": {one.id: (db.posted.get(one.id, 0), self.model.held(one.id)) for one in self.customers},
            "transactions": [(tx.raw.nonce, tx.status) for _, tx in sorted(db.txs.items())],
            "tip": max(db.blocks, default=0),
            "head": self.model.chain.height,
        }


def both(bench: Bench, confirmations: int) -> Both:
    bench.services.settings = bench.services.settings.model_copy(update={"confirmations": 1})
    customers = [bench.funded(EUR="40.00") for _ in range(3)]
    bench.run()
    bench.services.settings = bench.services.settings.model_copy(update={"confirmations": confirmations})
    node, sender = bench.services.node, bench.services.operator.address
    chain = SimulatedChain({one.id: bench.units(one.id, "EUR")[0] for one in customers})
    chain.state.sender_nonce = node.nonce(sender)
    model = Service(chain, confirmations=confirmations, automine=True)
    model.db.lane["next"] = bench.rows("SELECT next_nonce FROM lane")[0][0]
    model.index()
    base_tx = bench.rows("SELECT max(id) FROM chain_tx")[0][0]
    return Both(bench, model, customers, node.head().number, base_tx)


@pytest.mark.parametrize("confirmations", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_model_and_service__same_steps__say_the_same_after_each(
    own: Bench, seed: int, confirmations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"seed {seed}")
    draw, pair = random.Random(seed), both(own, confirmations)
    steps = {name: getattr(pair, name, None) for name in KINDS} | {"snapshot": pair.take_snapshot}
    assert pair.real() == pair.modelled()
    taken = []
    for kind in draw.choices(list(KINDS), list(KINDS.values()), k=STEPS):
        taken.append(kind)
        steps[kind](draw)
        assert pair.real() == pair.modelled(), taken
    own.services.settings = own.services.settings.model_copy(update={"confirmations": 1})
    # What a fork undid before anyone saw it mined is sent again some seconds later: they have passed.
    monkeypatch.setattr(submitter, "_is_older", lambda moment, _: moment is not None)
    own.run()
    assert own.compare().balanced
