"""A Merkle-sum tree: many claims in one currency under one hash, whose total cannot be understated. Pure.

Each node is a hash and a sum, and a parent's hash covers both sums of its children: covering only their total would
let an operator show a smaller one (Hu, Zhang, Guo: "Broken proofs of solvency in blockchain custodial wallets").

    leaf      SHA-256(0x00 | salt 32 | account 20 | currency 2 | units 16)           sum: units
    node      SHA-256(0x01 | left hash 32 | left sum 16 | right hash 32 | right sum 16)   sum: left + right
    currency  SHA-256(0x02 | currency 2 | leaves 8 | root hash 32 | root sum 16)
    root      SHA-256(0x03 | chain id 8 | hub 20 | block number 8 | block hash 32 | currencies 2 | each currency 32)

Numbers are big-endian and unsigned, so that no sum can be negative; a sum of 2**128 or more is refused. Leaves stand in
the order of their hashes, which their random salts decide: neighbours say nothing of each other. A node without a
sibling rises as it is. Where a leaf stands and how many there are decide the way up, so a proof carries sums and hashes
of siblings and no directions. A currency nobody has is a root of 32 zero bytes over no leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from chainwallet.kit.errors import ChainwalletError

UNITS_LIMIT = 1 << 128
_LEAF, _NODE, _CURRENCY, _ROOT = (bytes((tag,)) for tag in range(4))


class SumRefused(ChainwalletError):
    """A number, a length or a place that no honest tree has."""

    code = "RESERVES_SUM_REFUSED"
    status = 422


@dataclass(frozen=True, slots=True)
class Node:
    """A hash and the sum of what is under it, in units."""

    hash: bytes
    units: int


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """A currency's tree as the root commits to it: how many leaves, and its top node."""

    currency: int
    leaves: int
    top: Node


EMPTY = Node(bytes(32), 0)


def leaf(salt: bytes, account: bytes, currency: int, units: int) -> Node:
    """What an account (20 bytes) is owed in a currency (the hub's id); `salt` is 32 random bytes."""
    if len(salt) != 32 or len(account) != 20:
        raise SumRefused("A leaf has a salt of 32 bytes and an account of 20.")
    return Node(_sha256(_LEAF, salt, account, _word(currency, 2), _word(units, 16)), units)


def join(left: Node, right: Node) -> Node:
    """The parent of two nodes. RESERVES_SUM_REFUSED if a sum is negative or too large for its 16 bytes."""
    if len(left.hash) != 32 or len(right.hash) != 32:
        raise SumRefused("The hash of a node has 32 bytes.")
    total = left.units + right.units
    _word(total, 16)
    content = (left.hash, _word(left.units, 16), right.hash, _word(right.units, 16))
    return Node(_sha256(_NODE, *content), total)


def levels(leaves: Sequence[Node]) -> list[list[Node]]:
    """The tree, its leaves (in the order of their hashes) first and its top last. EMPTY alone over no leaves."""
    rows = [sorted(leaves, key=lambda node: node.hash) or [EMPTY]]
    while len(rows[-1]) > 1:
        below = rows[-1]
        pairs = [join(*below[at : at + 2]) for at in range(0, len(below) - 1, 2)]
        rows.append(pairs + below[2 * len(pairs) :])
    return rows


def siblings_of(place: int, leaves: int) -> list[tuple[int, int]]:
    """(level, place) of the siblings on the way up from a leaf, of which there are `leaves`."""
    if not 0 <= place < leaves:
        raise SumRefused("A leaf stands at a place below the number of leaves.")
    found = []
    for level in range((leaves - 1).bit_length()):
        if place ^ 1 < leaves:
            found.append((level, place ^ 1))
        place, leaves = place // 2, (leaves + 1) // 2
    return found


def climb(start: Node, place: int, leaves: int, siblings: Sequence[Node]) -> Node:
    """The top that a leaf at this place leads to. RESERVES_SUM_REFUSED unless every sibling is used, once."""
    way = siblings_of(place, leaves)
    if len(way) != len(siblings):
        raise SumRefused(f"From place {place} of {leaves} the way up has {len(way)} siblings, not {len(siblings)}.")
    node = start
    for (_, beside), sibling in zip(way, siblings, strict=True):
        node = join(node, sibling) if beside % 2 else join(sibling, node)
    return node


def liabilities_root(
    totals: Sequence[CurrencyTotal], *, chain_id: int, hub: bytes, block_number: int, block_hash: bytes
) -> bytes:
    """The root over every currency's tree, as of a block. Currencies come in rising order, each once."""
    ids = [total.currency for total in totals]
    if ids != sorted(set(ids)):
        raise SumRefused("The currencies of a root come in rising order, each once.")
    if len(hub) != 20 or len(block_hash) != 32:
        raise SumRefused("A hub has 20 bytes, a block hash 32.")
    head = (_word(chain_id, 8), hub, _word(block_number, 8), block_hash, _word(len(ids), 2))
    return _sha256(_ROOT, *head, *map(_commitment, totals))


def _commitment(total: CurrencyTotal) -> bytes:
    if (total.leaves == 0) != (total.top == EMPTY) or len(total.top.hash) != 32:
        raise SumRefused("A currency without leaves has the empty root, any other a hash of 32 bytes.")
    currency, leaves = _word(total.currency, 2), _word(total.leaves, 8)
    return _sha256(_CURRENCY, currency, leaves, total.top.hash, _word(total.top.units, 16))


def _word(number: int, width: int) -> bytes:
    try:
        return number.to_bytes(width, "big")
    except OverflowError:
        raise SumRefused(f"{number} does not fit {width} unsigned bytes.") from None


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
