"""A seed becomes a list of steps; a list of steps is run, checked after each, and shrunk where it breaks a promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from simulated_chain import SimulatedChain
from simulated_service import Crash, Flaws, Service, Short

OWNERS = ("A", "B", "C", "D")
FUNDS = 300
POINTS = ("hold", "sign", "persist", "send", "index", "post")
ROUNDS_TO_REST = 400
LEGAL = {
    ("accepted", "submitted"),
    ("accepted", "cancelled"),
    ("accepted", "failed"),
    ("submitted", "settled"),
    ("submitted", "accepted"),
    ("accepted", "settled"),  # submitted and settled in one commit, by books that are behind the chain
}


class Step(NamedTuple):
    """One thing that happens; `x` and `y` are read as its kind needs them."""

    kind: str
    x: int = 0
    y: int = 0


class Broken(AssertionError):
    """A promise does not hold after a step."""


WEIGHTS = {
    "accept": 10,
    "settle": 10,
    "submit": 12,
    "index": 12,
    "book": 10,
    "mine": 8,
    "cancel": 2,
    "tick": 6,
    "reorganise": 3,
    "drop": 2,
    "remember": 2,
    "die": 4,
    "lose": 3,
    "freeze": 1,
    "thaw": 2,
}


def steps_of(seed: int, length: int = 80) -> list[Step]:
    """The steps of a seed."""
    draw = random.Random(seed)
    kinds = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=length)
    return [Step(kind, draw.randrange(1 << 16), draw.randrange(1 << 16)) for kind in kinds]


class Run:
    """A service over a chain, and what must hold of them."""

    def __init__(
        self, *, confirmations: int, flaws: Flaws | None = None, deep: bool = False, freezes: bool = True
    ) -> None:
        self._deep, self._freezes = deep, freezes
        self.happened: set[str] = set()
        self.chain = SimulatedChain(dict.fromkeys(OWNERS, FUNDS))
        self.service = Service(self.chain, confirmations=confirmations, flaws=flaws)
        self.accepted = 0
        self._before: dict[str, str] = {}

    def take(self, step: Step) -> None:
        self.service.now += 1
        with suppress(Crash, Short):
            getattr(self, f"_{step.kind}")(step.x, step.y)
        self.check()

    def _accept(self, x: int, y: int) -> None:
        payer = OWNERS[x % 4]
        payee = OWNERS[(x + 1 + y % 3) % 4]
        self.accepted += 1
        source = 1 + y % 400
        self.service.accept(f"t{self.accepted}", payer, payee, source, source - source // 10)

    def _settle(self, _x: int, _y: int) -> None:
        self.service.settle()

    def _submit(self, _x: int, _y: int) -> None:
        self.service.submit()

    def _index(self, _x: int, _y: int) -> None:
        self.service.index()

    def _book(self, _x: int, _y: int) -> None:
        self.service.book()

    def _mine(self, _x: int, _y: int) -> None:
        self.chain.mine()

    def _cancel(self, x: int, _y: int) -> None:
        if self.accepted:
            self.service.cancel(f"t{1 + x % self.accepted}")

    def _tick(self, x: int, _y: int) -> None:
        self.service.now += (2, 10, 60)[x % 3]

    def _reorganise(self, x: int, y: int) -> None:
        """Short of finality; or of any depth, in runs where what comes again comes as it was."""
        deepest = 6 if self._deep else self.service.confirmations - 1
        if deepest:
            self.chain.reorganise(1 + x % deepest, longer=bool(y % 2))

    def _drop(self, _x: int, _y: int) -> None:
        self.chain.pool.clear()

    def _remember(self, x: int, _y: int) -> None:
        if not self._deep:
            self.happened.add("remember")
            self.chain.remember(x)

    def _die(self, x: int, _y: int) -> None:
        self.service.dies_at = POINTS[x % len(POINTS)]

    def _lose(self, x: int, _y: int) -> None:
        self.service.loses = ("request", "answer")[x % 2]

    def _freeze(self, x: int, _y: int) -> None:
        if self._freezes:
            self.happened.add("freeze")
            self.chain.frozen = frozenset({OWNERS[x % 4]})

    def _thaw(self, _x: int, _y: int) -> None:
        self.chain.frozen = frozenset()

    def check(self) -> None:
        """What holds after every step, whatever has happened."""
        db = self.service.db
        _must(sum(db.posted.values()) == FUNDS * len(OWNERS), "I1: money came or went")
        for owner in OWNERS:
            _must(db.posted[owner] >= self.service.held(owner), f"I2: {owner} has promised more than it has")
        _must(all(count == 1 for count in db.entries.values()), "I5: a payment is booked twice")
        live = [
            order.id
            for tx in db.txs.values()
            if db.batches.get(tx.batch) == "submitted" and tx.status in ("signed", "sent") and tx.raw.batch is not None
            for order in tx.raw.orders
        ]
        _must(len(live) == len(set(live)), "I7: an order is in two live batches")
        stored = {tx.raw for tx in db.txs.values()}
        _must(all(raw in stored for raw in self.chain.seen), "I8: bytes were sent that are not stored")
        final = max(db.blocks, default=-1) - self.service.confirmations + 1
        booked = [number for _, number, matched in db.events.values() if matched]
        _must(all(number <= final for number in booked), "I23: booked before it was final")
        for transfer, status in db.transfers.items():
            before = self._before.get(transfer, status)
            _must(before == status or (before, status) in LEGAL, f"I17: {transfer} went from {before} to {status}")
        self._before = dict(db.transfers)

    def rest(self) -> None:
        """No more faults: everything must come to its end, and books and chain to the same figures."""
        service = self.service
        service.dies_at = service.loses = None
        self.chain.frozen = frozenset()
        for _ in range(ROUNDS_TO_REST):
            for kind in ("settle", "submit", "mine", "index", "book"):
                self.take(Step(kind))
            service.now += 4
            if self._is_idle():
                break
        else:
            raise Broken("it never comes to rest")
        self._check_the_end()

    def _is_idle(self) -> bool:
        db = self.service.db
        return (
            not any(tx.status in ("signed", "sent") for tx in db.txs.values())
            and not any(row.status in ("placed", "batched") for row in db.placed.values())
            and all(matched for _, _, matched in db.events.values())
            and max(db.blocks, default=-1) == self.chain.height
        )

    def _check_the_end(self) -> None:
        db, positions = self.service.db, self.chain.state.positions
        _must(bool(not db.breaks or "remember" in self.happened), f"breaks without a cause: {db.breaks}")
        _must(not db.holds, "a hold is left")
        failed = "failed" in db.transfers.values()
        _must(not failed or "freeze" in self.happened, "a payment failed that could be made")
        if self._deep and "freeze" in self.happened:
            return  # what was final was undone and may not be done again: reconciliation shows it, nothing mends it
        for owner in (*OWNERS, "treasury"):
            _must(db.posted.get(owner, 0) == positions.get(owner, 0), f"I4: books and chain differ about {owner}")
        for transfer, status in db.transfers.items():
            paid = self.chain.executions(transfer)
            if db.breaks.get(transfer) == "given_up_payment":
                continue  # named as such: bytes of a batch that was given up were mined after all
            _must(status in ("settled", "failed", "cancelled"), f"{transfer} is {status} for ever")
            _must(paid == (status == "settled"), f"{transfer} is {status} and was paid {paid} times")


def _must(holds: bool, promise: str) -> None:
    if not holds:
        raise Broken(promise)


def broken_promise(
    steps: Sequence[Step], *, confirmations: int, flaws: Flaws | None = None, deep: bool = False, freezes: bool = True
) -> str | None:
    """What these steps break, if anything. `deep`: forks undo what was final; `freezes`: accounts may be frozen."""
    run = Run(confirmations=confirmations, flaws=flaws, deep=deep, freezes=freezes)
    try:
        for step in steps:
            run.take(step)
        run.rest()
    except Broken as broken:
        return str(broken)
    return None


def shrunk(steps: Sequence[Step], breaks: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """Fewest steps found that still break (delta debugging: ever smaller parts are left out)."""
    found, size = list(steps), len(steps) // 2
    while size:
        at = 0
        while at < len(found):
            without = found[:at] + found[at + size :]
            if breaks(without):
                found = without
            else:
                at += size
        size //= 2
    return found
