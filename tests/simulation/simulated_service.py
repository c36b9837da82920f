"""The settlement and reconciliation state machines as pure functions over a simulated database and chain.

The rules are those of settlement/lanes, submitter, batches, chain/indexer, reconciliation/matching and the settle
worker, in the same words; test_simulation_agrees.py holds the two together on recorded runs. `Flaws` takes a rule out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from simulated_chain import Event, Order, Raw, Refusal, SimulatedChain

RESEND_AFTER = 8
REPLACE_AFTER = 50
ATTEMPTS = 8


class Crash(Exception):
    """The process died: what it had not committed is gone."""


class Short(Exception):
    """The ledger refuses: an account would have promised more than it has. Tried again later."""


class Placed(NamedTuple):
    order: Order
    status: str  # placed, batched, settled, withdrawn
    batch: int | None
    at: float


class Tx(NamedTuple):
    """A row of chain_tx."""

    raw: Raw
    kind: str  # settle, filler
    batch: int
    status: str  # signed, sent, confirmed, reverted, replaced
    created: float
    sent: float = 0
    block: int | None = None


class Followed(NamedTuple):
    hash: int
    orphaned: bool


@dataclass
class Tables:
    """The database as it was committed. Rows are values: copying the dictionaries copies everything."""

    transfers: dict[str, str] = field(default_factory=dict)
    placed: dict[str, Placed] = field(default_factory=dict)
    posted: dict[str, int] = field(default_factory=dict)
    holds: dict[str, tuple[str, int]] = field(default_factory=dict)
    order_nonces: dict[str, int] = field(default_factory=dict)
    batches: dict[int, str] = field(default_factory=dict)
    txs: dict[int, Tx] = field(default_factory=dict)
    lane: dict[str, int] = field(default_factory=lambda: {"next": 0, "batch": 0, "tx": 0})
    blocks: dict[int, Followed] = field(default_factory=dict)  # by number; the orphaned ones are dropped
    events: dict[tuple[int, int], tuple[Event, int, bool]] = field(default_factory=dict)  # (hash, index): matched
    entries: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Tables:
        return Tables(**{one.name: dict(getattr(self, one.name)) for one in fields(self)})


@dataclass(frozen=True)
class Flaws:
    """Rules that may be taken out, one by one: what the simulation must then find."""

    sends_before_storing: bool = False
    signs_anew: bool = False
    books_before_final: bool = False
    books_again: bool = False
    forgets_forks: bool = False
    lets_reverted_come_back: bool = False
    fails_without_looking: bool = False
    takes_orders_twice: bool = False
    rejuvenates_replacements: bool = False


class Service:
    """One process after another over one database and one chain. Each verb is a worker's step."""

    def __init__(
        self, chain: SimulatedChain, *, confirmations: int, flaws: Flaws | None = None, automine: bool = False
    ) -> None:
        self.chain, self.confirmations, self.automine = chain, confirmations, automine
        self.flaws = flaws or Flaws()
        self.db = Tables(posted=dict(chain.state.positions), order_nonces=dict(chain.state.nonces))
        self.now = 0.0
        self.dies_at: str | None = None
        self.loses: str | None = None

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """All of it or nothing: a crash inside leaves no trace."""
        before = self.db
        self.db = before.copy()
        try:
            yield self.db
        except BaseException:
            self.db = before
            raise

    def point(self, name: str) -> None:
        """A named place at which the process may die."""
        if self.dies_at == name:
            self.dies_at = None
            raise Crash(name)

    def held(self, owner: str) -> int:
        return sum(units for holder, units in self.db.holds.values() if holder == owner)

    # payments

    def accept(self, transfer: str, payer: str, payee: str, source: int, target: int) -> None:
        if self.db.posted.get(payer, 0) - self.held(payer) < source:
            return
        with self.transaction() as db:
            nonce = db.order_nonces[payer] = db.order_nonces.get(payer, 0) + 1
            db.holds[transfer] = (payer, source)
            self.point("hold")
            order = Order(transfer, payer, payee, source, target, nonce)
            db.placed[transfer] = Placed(order, "placed", None, self.now)
            db.transfers[transfer] = "accepted"

    def cancel(self, transfer: str, status: str = "cancelled") -> None:
        row = self.db.placed.get(transfer)
        if row is None or row.status != "placed":
            return
        with self.transaction() as db:
            db.placed[transfer] = row._replace(status="withdrawn")
            if db.transfers[transfer] == "accepted":
                db.transfers[transfer] = status
                db.holds.pop(transfer, None)

    # settlement

    def settle(self) -> None:
        for _ in range(ATTEMPTS):
            draft = [row for row in self.db.placed.values() if row.status == "placed"]
            if not draft:
                return
            orders = tuple(row.order for row in draft)
            self.db.lane["batch"] += 1  # a sequence: never given back
            batch = self.db.lane["batch"]
            refused = self.chain.simulate(batch, orders)
            if refused is None:
                self._commit(batch, orders)
                return
            if self._waits(draft, refused):
                return
            if refused.order is not None:
                self.cancel(orders[refused.order].id, "failed")

    def _waits(self, draft: list[Placed], refused: Refusal) -> bool:
        if self.flaws.fails_without_looking or refused.order is None:
            return False
        row, tip = draft[refused.order], self._tip()
        if refused.name == "OrderFundsShort":
            under_way = any(
                self._is_older(tx, row.at) for tx in self.db.txs.values() if tx.status in ("signed", "sent")
            )
            if under_way or tip is None or self._theirs(tip) != self.db.blocks[tip].hash:
                return True
        unbooked = any(
            event.name == "PaymentSettled" and event.key == row.order.id and not matched
            for event, _, matched in self.db.events.values()
        )
        return unbooked or tip is None or tip < self.chain.height

    def _is_older(self, tx: Tx, moment: float) -> bool:
        """A transaction that was replaced is as old as its first version."""
        if self.flaws.rejuvenates_replacements:
            return tx.created < moment
        return any(one.created < moment for one in self.db.txs.values() if one.raw.nonce == tx.raw.nonce)

    def _tip(self) -> int | None:
        return max(self.db.blocks, default=None)

    def _theirs(self, number: int) -> int | None:
        return self.chain.blocks[number].hash if number <= self.chain.height else None

    def _commit(self, batch: int, orders: tuple[Order, ...]) -> None:
        with self.transaction() as db:
            nonce = db.lane["next"]
            db.lane["next"] += 1
            raw = Raw(nonce, 0, batch, orders)
            self.point("sign")
            if self.flaws.sends_before_storing:
                self._to_node(raw)
            self._store(db, Tx(raw, "settle", batch, "signed", self.now))
            db.batches[batch] = "submitted"
            for order in orders:
                if not self.flaws.takes_orders_twice:
                    db.placed[order.id] = db.placed[order.id]._replace(status="batched", batch=batch)
                db.transfers[order.id] = "submitted"
            self.point("persist")

    def _store(self, db: Tables, tx: Tx) -> int:
        db.lane["tx"] += 1
        db.txs[db.lane["tx"]] = tx
        return db.lane["tx"]

    # submission

    def submit(self) -> None:
        open_ids = sorted((tx.raw.nonce, tx_id) for tx_id, tx in self.db.txs.items() if tx.status in ("signed", "sent"))
        for nonce, tx_id in open_ids:
            tx = self.db.txs[tx_id]
            versions = [
                (one, row) for one, row in self.db.txs.items() if row.raw.nonce == nonce and row.status == "replaced"
            ]
            if tx.status == "sent" and self._track(tx_id, sorted(versions, reverse=True)):
                continue
            if tx.kind == "filler" and tx.raw.batch is not None:
                tx_id = self._replace(tx_id, filler=True)  # noqa: PLW2901
            elif tx.status == "sent" and self.now - tx.sent <= RESEND_AFTER:
                continue
            elif tx.status == "sent" and self.now - tx.created > REPLACE_AFTER and self.chain.pool.get(nonce) == tx.raw:
                tx_id = self._replace(tx_id, filler=tx.kind == "filler")  # noqa: PLW2901
            if not self._send(tx_id):
                return

    def _track(self, tx_id: int, versions: list[tuple[int, Tx]]) -> bool:
        for mined_id, row in [(tx_id, self.db.txs[tx_id]), *versions]:
            found = self.chain.receipt(row.raw)
            if found is not None:
                block, number, succeeded = found
                self._record(tx_id, mined_id, block.hash, number, succeeded)
                return True
        return False

    def _record(self, tx_id: int, mined_id: int, block_hash: int, number: int, succeeded: bool) -> None:
        with self.transaction() as db:
            followed = db.blocks.get(number)
            final = self._final()
            if followed is None or followed.hash != block_hash or final is None or number > final:
                return
            if mined_id != tx_id:
                db.txs[tx_id] = db.txs[tx_id]._replace(status="replaced")
            status = "confirmed" if succeeded else "reverted"
            db.txs[mined_id] = db.txs[mined_id]._replace(status=status, block=number)
            if not succeeded and db.txs[mined_id].kind == "settle":
                self._fail_batch(db, db.txs[mined_id].batch)

    def _fail_batch(self, db: Tables, batch: int) -> None:
        if db.batches.get(batch) != "submitted":
            return
        db.batches[batch] = "failed"
        for transfer, row in db.placed.items():
            if row.batch == batch and row.status == "batched":
                db.placed[transfer] = row._replace(status="placed", batch=None)
                if db.transfers[transfer] == "submitted":
                    db.transfers[transfer] = "accepted"

    def _replace(self, tx_id: int, *, filler: bool) -> int:
        with self.transaction() as db:
            old = db.txs[tx_id]
            db.txs[tx_id] = old._replace(status="replaced")
            raw = old.raw._replace(version=old.raw.version + 1)
            raw = raw._replace(batch=None, orders=()) if filler else raw
            new = Tx(raw, old.kind, old.batch, "signed", self.now)
            return self._store(db, new)

    def _send(self, tx_id: int) -> bool:
        raw = self.db.txs[tx_id].raw
        if self.flaws.signs_anew and self.db.txs[tx_id].status == "sent":
            raw = raw._replace(version=raw.version + 100)
        outcome = self._to_node(raw)
        self.point("send")
        if outcome in ("accepted", "nonce too low"):
            with self.transaction() as db:
                db.txs[tx_id] = db.txs[tx_id]._replace(status="sent", sent=self.now)
            return True
        if outcome == "underpriced":
            self._replace(tx_id, filler=self.db.txs[tx_id].kind == "filler")
        return False

    def _to_node(self, raw: Raw) -> str:
        lost, self.loses = self.loses, None
        if lost == "request":
            return "unknown"
        if self.automine and raw.nonce > self.chain.state.sender_nonce:
            outcome = "nonce too high"
        else:
            outcome = self.chain.send(raw)
        if self.automine and outcome == "accepted":
            self.chain.mine()
        return "unknown" if lost == "answer" else outcome

    # following the chain

    def index(self) -> None:
        with self.transaction() as db:
            base = min(self._tip() if self._tip() is not None else -1, self.chain.height)
            while base >= 0 and db.blocks[base].hash != self.chain.blocks[base].hash:
                base -= 1
            gone = [number for number in db.blocks if number > base]
            for number in gone:
                self._orphan(db, number)
            if gone and not self.flaws.forgets_forks:
                self._reopen(db, base + 1)
            self.point("index")
            for number in range(base + 1, self.chain.height + 1):
                block = self.chain.blocks[number]
                db.blocks[number] = Followed(block.hash, False)
                for place, event in enumerate(block.events):
                    db.events[block.hash, place] = (event, number, False)

    def _orphan(self, db: Tables, number: int) -> None:
        block_hash = db.blocks.pop(number).hash
        for key in [key for key in db.events if key[0] == block_hash]:
            del db.events[key]

    def _reopen(self, db: Tables, first: int) -> None:
        for tx_id, tx in db.txs.items():
            undone = tx.block is not None and tx.block >= first and tx.status in ("confirmed", "reverted")
            if not undone and tx.status != "sent":
                continue
            reverted = tx.status == "reverted" and not self.flaws.lets_reverted_come_back
            kind, status = ("filler", "signed") if reverted else (tx.kind, "sent")
            db.txs[tx_id] = tx._replace(kind=kind, status=status, sent=-1_000, block=None)

    def _final(self) -> int | None:
        tip = self._tip()
        final = None if tip is None else tip - self.confirmations + 1
        return tip if self.flaws.books_before_final else final

    # booking

    def book(self) -> None:
        final = self._final()
        if final is None:
            return
        due = sorted(
            (number, key[1], key)
            for key, (_, number, matched) in self.db.events.items()
            if not matched and number <= final
        )
        if not due:
            return
        with self.transaction() as db:
            for number, _, key in due:
                event = db.events[key][0]
                if event.name == "PaymentSettled":
                    self._book_payment(db, event)
                else:
                    self._book_batch(db, int(event.key))
                self.point("post")
                db.events[key] = (event, number, True)

    def _book_payment(self, db: Tables, event: Event) -> None:
        row = db.placed.get(event.key)
        if row is None:
            db.breaks[event.key] = "unknown_payment"
            return
        order = row.order
        if row.status == "withdrawn" and event.key not in db.entries:
            db.breaks[order.id] = "given_up_payment"
        if row.status == "placed":
            db.placed[order.id] = row._replace(status="settled")
            if db.transfers[order.id] == "accepted":
                db.transfers[order.id] = "submitted"
        if db.transfers[order.id] == "submitted":
            db.transfers[order.id] = "settled"
        if order.id in db.entries and not self.flaws.books_again:
            return
        db.entries[order.id] = db.entries.get(order.id, 0) + 1
        db.holds.pop(order.id, None)
        if db.posted.get(order.payer, 0) - self.held(order.payer) < order.source:
            raise Short(order.id)
        for owner, units in (
            (order.payer, -order.source),
            (order.payee, order.target),
            ("treasury", order.source - order.target),
        ):
            db.posted[owner] = db.posted.get(owner, 0) + units

    def _book_batch(self, db: Tables, batch: int) -> None:
        if db.batches.get(batch) not in ("submitted", "settled"):
            db.breaks[str(batch)] = "unknown_batch"
            return
        db.batches[batch] = "settled"
        for transfer, row in db.placed.items():
            if row.batch == batch and row.status == "batched":
                db.placed[transfer] = row._replace(status="settled")
