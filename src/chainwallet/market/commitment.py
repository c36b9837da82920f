"""Proof of best execution: what was on offer is committed to before, and what was done is checked against it after.

The commitment is a Merkle root over the live quotes and the makers' inventories, signed by the operator before any
payment that is priced on them is accepted. Leaves and tree are those of OpenZeppelin's StandardMerkleTree (leaf =
keccak(keccak(abi.encode(...))), leaves sorted, pairs hashed in order of size): a contract can check a leaf with
MerkleProof, which RFC 6962's trees, hashed with SHA-256 and by position, would make dear; the double hash keeps an
inner node from passing for a leaf.

| leaf | abi.encode of |
|---|---|
| quote | uint256 1, bytes32 EIP-712 digest of the signed quote, uint256 units left of it |
| inventory | uint256 2, bytes32 keccak of "maker/currency", uint256 units |

A record needs nobody's word: the verifier rebuilds the root from the quotes in it, checks the legs in integers, and
bounds by the record's prices what any combination of those quotes could have done (certificate.py).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from chainwallet.keys.keccak import keccak
from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.certificate import Room, rooms_of, source_units_min, target_units_max, within_reach
from chainwallet.market.model import Book, Offer, Route
from chainwallet.market.routing import Router
from chainwallet.market.verification import verify_route

_QUOTE, _INVENTORY = 1, 2
_PRECISION = 10**10  # the solver's: one part in this many of the amount
_CROSSED_STEP = 1 + Fraction(11, 10**10)  # what a step of a loop may lose while the loop still counts as crossed


def quote_leaf(digest: bytes, left_units: int) -> bytes:
    """The leaf of a live quote: the 32 bytes that its maker signed, and what is left of it."""
    return _leaf(_QUOTE, digest, left_units)


def inventory_leaf(maker: str, code: str, units: int) -> bytes:
    """The leaf of what a maker can still sell of a currency."""
    return _leaf(_INVENTORY, keccak(f"{maker}/{code}".encode()), units)


def _leaf(kind: int, word: bytes, units: int) -> bytes:
    if len(word) != 32:
        raise ValueError("a digest has 32 bytes")
    return keccak(keccak(kind.to_bytes(32, "big") + word + units.to_bytes(32, "big")))


class MerkleTree:
    """OpenZeppelin's StandardMerkleTree over leaves: a complete binary tree in an array, the root first."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        ordered = sorted(leaves)
        if not ordered:
            raise ValueError("nothing to commit to")
        count = len(ordered)
        self._nodes = [b""] * (count - 1) + ordered[::-1]
        for at in range(count - 2, -1, -1):
            self._nodes[at] = _pair(self._nodes[2 * at + 1], self._nodes[2 * at + 2])
        self._at = {leaf: at for at, leaf in enumerate(self._nodes) if at >= count - 1}

    @property
    def root(self) -> bytes:
        return self._nodes[0]

    def proof(self, leaf: bytes) -> list[bytes]:
        """The siblings from a leaf to the root. KeyError for one that is not in the tree."""
        at, proof = self._at[leaf], list[bytes]()
        while at:
            proof.append(self._nodes[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return proof


def is_included(root: bytes, leaf: bytes, proof: Iterable[bytes]) -> bool:
    """As OpenZeppelin's MerkleProof.verify."""
    node = leaf
    for sibling in proof:
        node = _pair(node, sibling)
    return node == root


def _pair(one: bytes, other: bytes) -> bytes:
    return keccak(min(one, other) + max(one, other))


def commit(book: Book, digests: Mapping[str, bytes]) -> MerkleTree:
    """The commitment to a book; `digests[offer_id]` is what that quote's maker signed."""
    quotes = [quote_leaf(digests[one.id], one.sell_units_left) for one in book.offers]
    stock = [inventory_leaf(maker, code, units) for (maker, code), units in book.inventory_units.items()]
    return MerkleTree(quotes + stock)


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """What a receipt carries of how its payment was priced.

    `prices`: the marginal prices, source at one. `loop`: where quotes crossed, the ids of offers that form a loop
    which gives back what it takes; then only routes that lead outwards were allowed (docs/market.md).
    """

    root: bytes
    book: Book
    digests: Mapping[str, bytes]
    route: Route
    prices: Mapping[str, Fraction]
    loop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` is empty where the record proves best execution.

    No combination of the committed quotes costs less than `source_units_min` for the same target, or delivers more
    than `target_units_max` for the same source. `rounding_units`: by how much whole units may miss that, of source.
    """

    findings: tuple[str, ...]
    source_units_min: int = 0
    target_units_max: int = 0
    rounding_units: int = 0

    @property
    def is_best(self) -> bool:
        return not self.findings


def record_execution(router: Router, route: Route, digests: Mapping[str, bytes]) -> ExecutionRecord:
    """The record of a route that this router gave."""
    book = router.book
    return ExecutionRecord(
        commit(book, digests).root, book, digests, route, router.certified_prices(route), router.crossing()
    )


def verify_execution(record: ExecutionRecord) -> Verdict:
    """Whether the record shows, by itself, that no cheaper combination of the committed quotes was to be had."""
    route, findings = record.route, list[str]()
    if _root(record) != record.root:
        findings.append("the quotes are not those that were committed to")
    try:
        verify_route(record.book, route)
    except ChainwalletError as refused:
        findings.append(str(refused.detail))
    if route.source == route.target or not route.legs:
        return Verdict(tuple(findings), route.source_units, route.target_units)
    prices = record.prices
    if min(prices.get(route.source, 0), prices.get(route.target, 0)) <= 0 or min(prices.values()) < 0:
        return Verdict((*findings, "there is no price for the source or the target"))
    rooms: Sequence[Room] = rooms_of(record.book)
    if record.loop and not _is_loop(record.book, record.loop):
        findings.append("the quotes named do not form a loop")
    elif record.loop:
        rooms = _outwards(rooms, route)
    return _judge(record, within_reach(rooms, route.source), findings)


def _judge(record: ExecutionRecord, rooms: Sequence[Room], findings: list[str]) -> Verdict:
    route, prices, stock = record.route, record.prices, record.book.inventory_units
    pair = {"source": route.source, "target": route.target}
    least = source_units_min(rooms, stock, prices, **pair, target_units=route.target_units)
    most = target_units_max(rooms, stock, prices, **pair, source_units=route.source_units)
    unit = prices[route.source]
    steps = sum((prices.get(leg.buy, unit) + prices.get(leg.sell, unit) for leg in route.legs), Fraction(0))
    rounding = int((steps + prices[route.target]) / unit) + 1 + route.source_units // _PRECISION
    if route.source_units - least > rounding:
        findings.append(
            f"{route.source_units - least} units of {route.source} less may have been enough; rounding explains "
            f"{rounding} at most"
        )
    return Verdict(tuple(findings), least, most, rounding)


def _root(record: ExecutionRecord) -> bytes | None:
    try:
        return commit(record.book, record.digests).root
    except (KeyError, ValueError):
        return None


def _is_loop(book: Book, loop: Sequence[str]) -> bool:
    """Whether the offers lead from one to the next and round, and give back what they take, or nearly."""
    offers = {offer.id: offer for offer in book.offers}
    chain = [offers[one] for one in loop if one in offers]
    if len(chain) != len(loop) or any(
        one.sell != then.buy for one, then in zip(chain, chain[1:] + chain[:1], strict=True)
    ):
        return False
    price = Fraction(1)
    for offer in chain:
        price *= Fraction(offer.buy_units, offer.sell_units_max)
    return price <= _CROSSED_STEP ** len(chain)


def _outwards(rooms: Sequence[Room], route: Route) -> list[Room]:
    """The offers that a route may use where quotes cross: each step leads further away, or to the target."""
    sellers: defaultdict[str, set[str]] = defaultdict(set)
    for room in rooms:
        sellers[room.offer.buy].add(room.offer.sell)
    steps, waiting = {route.source: 0}, deque([route.source])
    while waiting:
        code = waiting.popleft()
        for other in sorted(sellers[code] - steps.keys()):
            steps[other] = steps[code] + 1
            waiting.append(other)
    return [
        room for room in rooms
        if room.offer.buy in steps and room.offer.buy != route.target and room.offer.sell != route.source
        and (room.offer.sell == route.target or steps[room.offer.buy] < steps[room.offer.sell])
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Withheld:
    """A quote that was acknowledged and not committed to: with it, `route` would have saved `saved_units` of source."""

    route: Route
    saved_units: int


def find_withheld(record: ExecutionRecord, acknowledged: Offer, digest: bytes, stock_units: int) -> Withheld | None:
    """What a maker shows with the acknowledgement of a quote that was live: the route that it was kept out of.

    None where the quote was committed to, at this much left or more, or would have changed nothing. The route is the
    proof: anyone can add it up.
    """
    is_committed = any(
        one.sell_units_left >= acknowledged.sell_units_left for one in record.book.offers
        if record.digests.get(one.id) == digest
    )  # fmt: skip
    if is_committed:
        return None
    others = tuple(one for one in record.book.offers if one.id != acknowledged.id)
    owner = (acknowledged.maker, acknowledged.sell)
    stock = {**record.book.inventory_units, owner: max(stock_units, record.book.inventory_units.get(owner, 0))}
    whole = replace(record.book, offers=(*others, acknowledged), inventory_units=stock)
    done = record.route
    try:
        better = Router(whole).route_to_target(done.source, done.target, done.target_units)
    except ChainwalletError:
        return None
    verify_route(whole, better)
    saved_units = done.source_units - better.source_units
    uses = any(leg.offer_id == acknowledged.id for leg in better.legs)
    return Withheld(better, saved_units) if saved_units > 0 and uses else None
