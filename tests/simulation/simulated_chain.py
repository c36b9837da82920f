"""A chain and its node in a few dictionaries: blocks that may be undone, a pool that forgets and remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Order(NamedTuple):
    """What a payer signed: `source` leaves, `target` arrives, the rest is the treasury's."""

    id: str
    payer: str
    payee: str
    source: int
    target: int
    nonce: int


class Raw(NamedTuple):
    """Signed bytes: whoever holds them can send them. No batch: a filler."""

    nonce: int
    version: int
    batch: int | None
    orders: tuple[Order, ...]


class Event(NamedTuple):
    name: str
    key: str
    raw: Raw


class Block(NamedTuple):
    """A mined block: what was in it, whether each succeeded, what it emitted."""

    hash: int
    parent: int
    mined: tuple[tuple[Raw, bool], ...]
    events: tuple[Event, ...]


class Refusal(NamedTuple):
    """Why the hub refuses a batch, and at which order."""

    name: str
    order: int | None = None


@dataclass
class HubState:
    """The hub after a block."""

    positions: dict[str, int] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    settled: frozenset[int] = frozenset()
    sender_nonce: int = 0

    def copy(self) -> HubState:
        return HubState(dict(self.positions), dict(self.nonces), self.settled, self.sender_nonce)

    def settle(self, batch: int, orders: tuple[Order, ...], frozen: frozenset[str]) -> Refusal | None:
        """Execute all orders, or say why not; the state is spoilt then."""
        if batch in self.settled:
            return Refusal("BatchAlreadySettled")
        for index, order in enumerate(orders):
            if order.payer in frozen:
                return Refusal("OrderPayerFrozen", index)
            if order.nonce <= self.nonces.get(order.payer, 0):
                return Refusal("OrderNonceStale", index)
            if self.positions.get(order.payer, 0) < order.source:
                return Refusal("OrderFundsShort", index)
            self.nonces[order.payer] = order.nonce
            self.positions[order.payer] -= order.source
            self.positions[order.payee] = self.positions.get(order.payee, 0) + order.target
            fee = order.source - order.target
            self.positions["treasury"] = self.positions.get("treasury", 0) + fee
        self.settled |= {batch}
        return None


class SimulatedChain:
    """Blocks, their states, and the pool. Everything that was ever sent is remembered, as peers' pools do."""

    def __init__(self, positions: dict[str, int], nonces: dict[str, int] | None = None) -> None:
        genesis = Block(0, -1, (), ())
        self.blocks = [genesis]
        self.states = [HubState(dict(positions), dict(nonces or {}))]
        self.pool: dict[int, Raw] = {}
        self.seen: list[Raw] = []
        self.frozen: frozenset[str] = frozenset()
        self._hashes = 0

    @property
    def state(self) -> HubState:
        return self.states[-1]

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def simulate(self, batch: int, orders: tuple[Order, ...]) -> Refusal | None:
        return self.state.copy().settle(batch, orders, self.frozen)

    def send(self, raw: Raw) -> str:
        """What a node answers: out, or nonce too low, or underpriced against another version in its pool."""
        self.seen.append(raw)
        if raw.nonce < self.state.sender_nonce:
            return "nonce too low"
        held = self.pool.get(raw.nonce)
        if held is not None and held.version > raw.version:
            return "underpriced"
        self.pool[raw.nonce] = raw
        return "accepted"

    def mine(self) -> None:
        """A block of everything in the pool that can be mined, by nonce."""
        state, mined, events = self.state.copy(), [], []
        while (raw := self.pool.pop(state.sender_nonce, None)) is not None:
            after = state.copy()
            after.sender_nonce += 1
            refused = after.settle(raw.batch, raw.orders, self.frozen) if raw.batch is not None else None
            if refused is None:
                state = after
                events += [Event("PaymentSettled", order.id, raw) for order in raw.orders]
                events += [Event("BatchSettled", str(raw.batch), raw)] if raw.batch is not None else []
            else:
                state.sender_nonce += 1
            mined.append((raw, refused is None))
        self._hashes += 1
        self.blocks.append(Block(self._hashes, self.blocks[-1].hash, tuple(mined), tuple(events)))
        self.states.append(state)

    def reorganise(self, depth: int, *, longer: bool) -> None:
        """Undo blocks; an empty branch takes their place. Their transactions are in no pool of ours any more."""
        depth = min(depth, self.height)
        del self.blocks[len(self.blocks) - depth :], self.states[len(self.states) - depth :]
        self.pool.clear()
        for _ in range(depth + longer):
            self.mine()

    def remember(self, which: int) -> None:
        """A peer sends something again that it saw earlier."""
        if self.seen:
            raw = self.seen[which % len(self.seen)]
            if raw.nonce >= self.state.sender_nonce:
                self.pool.setdefault(raw.nonce, raw)

    def receipt(self, raw: Raw) -> tuple[Block, int, bool] | None:
        """The block, its number and whether it succeeded."""
        for number in range(self.height, 0, -1):
            for mined, succeeded in self.blocks[number].mined:
                if mined == raw:
                    return self.blocks[number], number, succeeded
        return None

    def executions(self, order_id: str) -> int:
        """How often an order settled on the branch that stands."""
        return sum(event == ("PaymentSettled", order_id, event.raw) for block in self.blocks for event in block.events)
