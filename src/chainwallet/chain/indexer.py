"""Follows the chain by block hash and keeps the hub's events. What a fork undoes is marked orphaned, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.chain.blocks import BlockRef, RawObject, parse_block, parse_log
from chainwallet.chain.bloom import may_have_logs_of
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.finality import final_number
from chainwallet.chain.node import Node
from chainwallet.chain.proofs import verify_block, verify_header
from chainwallet.kit.database import Database, insert_many

CHUNK_BLOCKS = 64
_LOCK_KEY = 0x636861696E  # "chain": one follower at a time writes


class ChainBlock(SQLModel, table=True):
    """A block that was followed. Of the blocks with one number at most one is not orphaned."""

    __tablename__ = "chain_block"
    __table_args__ = (Index("ix_chain_block_canonical", "number", unique=True, postgresql_where=text("NOT orphaned")),)

    hash: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    parent_hash: str
    timestamp: int = Field(sa_column=Column(BigInteger, nullable=False))
    orphaned: bool = False


class ChainEvent(SQLModel, table=True):
    """An event of the hub. `key1` is what it is looked up by: order hash, deposit id, quote hash, batch or currency id.

    `payload` holds the event's fields under their Solidity names, amounts as decimal strings.
    """

    __tablename__ = "chain_event"
    __table_args__ = (
        UniqueConstraint("block_hash", "log_index"),
        Index("ix_chain_event_key", "name", "key1"),
        Index(
            "ix_chain_event_unmatched",
            "block_number",
            "log_index",
            postgresql_where=text("NOT matched AND NOT orphaned"),
        ),
        Index("ix_chain_event_tx", "tx_hash"),
        Index("ix_chain_event_number", "block_number"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    block_hash: str
    block_number: int = Field(sa_column=Column(BigInteger, nullable=False))
    tx_hash: str
    log_index: int
    name: str
    key1: str
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    orphaned: bool = False
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What one pass did. `head`: the last block followed. `fork_block`, where blocks were orphaned: the highest block
    that the old branch and the new one share."""

    new_blocks: int = 0
    orphaned_blocks: int = 0
    fork_block: int = 0
    head: int = 0


@dataclass(slots=True)
class _Branch:
    """Blocks read from the node that continue the followed ones after `base`, and the events in them."""

    base: int
    base_hash: str | None
    blocks: list[BlockRef] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


def follow(
    database: Database,
    node: Node,
    hub: SettlementHub,
    *,
    from_block: int,
    limit: int = 512,
    verify: bool = True,
    on_fork: Callable[[Session, int], None] = lambda _session, _fork_block: None,
) -> Progress:
    """Read up to `limit` new blocks, checking that each names the one before it as its parent, and store them.

    On a fork, and when the node's head is lower than before (a node restarted from an older state), the blocks that
    are no longer on the chain are orphaned with their events. With `verify` no event is believed before its block's
    receipts hash to the header; ProofRefused if they do not. The chain is read outside database transactions, one
    transaction per CHUNK_BLOCKS blocks. Safe to run in several processes. `on_fork` is called with the fork block in
    the transaction that orphans what lies above it, so that whatever follows from a fork is never forgotten.
    """
    new = orphaned = 0
    fork = head = from_block - 1
    while new < limit:
        with database.transaction() as session:
            tip = followed_tip(session)
        latest = node.head()
        if tip is not None and tip.hash == latest.hash:
            head = tip.number
            break
        base = from_block - 1
        if tip is not None:
            base = _common_block(database, node, tip, latest, from_block, verify=verify)
        branch = _read(node, hub, base=base, latest=latest, limit=min(CHUNK_BLOCKS, limit - new), verify=verify)
        if branch is None:
            break  # the chain forked while it was read; the next pass looks again
        undone = _store(database, branch, tip, on_fork)
        if undone is None:
            break  # another process was faster
        new += len(branch.blocks)
        if undone:
            fork = base if not orphaned else min(fork, base)
            orphaned += undone
        head = branch.blocks[-1].number if branch.blocks else base
        if head >= latest.number:
            break
    return Progress(new, orphaned, fork, head)


def followed_tip(session: Session) -> ChainBlock | None:
    """The highest block that is followed and not orphaned."""
    statement = select(ChainBlock).where(~col(ChainBlock.orphaned)).order_by(col(ChainBlock.number).desc())
    return session.exec(statement.limit(1)).first()


def followed_hash(session: Session, number: int) -> str | None:
    """The hash of the followed block with this number."""
    statement = select(ChainBlock.hash).where(ChainBlock.number == number, ~col(ChainBlock.orphaned))
    return session.exec(statement).first()


def final_block(session: Session, confirmations: int) -> int | None:
    """The number of the highest followed block with that many confirmations, itself counted; None without one."""
    tip = followed_tip(session)
    return None if tip is None else final_number(tip.number, confirmations=confirmations)


def is_final(session: Session, block_hash: str, confirmations: int) -> bool:
    """Whether this very block is followed and has that many confirmations.

    The block is locked against being orphaned, so what the transaction records of it and a fork that undoes it
    happen one after the other, never past each other.
    """
    block = session.exec(select(ChainBlock).where(ChainBlock.hash == block_hash).with_for_update(read=True)).first()
    final = final_block(session, confirmations)
    return block is not None and not block.orphaned and final is not None and block.number <= final


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that waits to be matched, as ChainEvent has it."""

    id: int
    block_number: int
    tx_hash: str
    log_index: int
    name: str
    key1: str
    payload: dict[str, Any]


_UNMATCHED = """
SELECT id, block_number, tx_hash, log_index, name, key1, payload FROM chain_event
WHERE NOT matched AND NOT orphaned AND block_number {where}
ORDER BY block_number, log_index {limit} FOR UPDATE
"""


def unmatched_events(session: Session, *, up_to_block: int, limit: int) -> list[OpenEvent]:
    """The oldest events that are not matched yet, in the chain's order, locked; whole blocks at a time.

    About `limit` of them: never part of a block, so a single block's events may be more.
    """

    def read(statement: str, block: int) -> list[OpenEvent]:
        return [OpenEvent(*row) for row in session.connection().exec_driver_sql(statement, {"block": block})]

    found = read(_UNMATCHED.format(where="<= %(block)s", limit=f"LIMIT {limit:d}"), up_to_block)
    if len(found) < limit:
        return found
    last = found[-1].block_number
    if found[0].block_number < last:
        return [event for event in found if event.block_number < last]
    return read(_UNMATCHED.format(where="= %(block)s", limit=""), last)


def has_events_of(session: Session, tx_hashes: Sequence[str]) -> bool:
    """Whether an event of one of these transactions is on the followed chain."""
    statement = select(ChainEvent.id).where(col(ChainEvent.tx_hash).in_(tx_hashes), ~col(ChainEvent.orphaned))
    return session.exec(statement.limit(1)).first() is not None


def without_events(session: Session, tx_hashes: Sequence[str]) -> int:
    """How many of these transactions have no event on the followed chain: they are not mined, or not seen mined yet."""
    if not tx_hashes:
        return 0
    found = session.connection().exec_driver_sql(
        """SELECT count(*) FROM unnest(%(hashes)s::text[]) AS asked(tx_hash) WHERE NOT EXISTS (
             SELECT 1 FROM chain_event e WHERE e.tx_hash = asked.tx_hash AND NOT e.orphaned)""",
        {"hashes": list(tx_hashes)},
    )
    return int(found.scalar_one())


def awaits_booking(session: Session, name: str, key: str) -> bool:
    """Whether an event of this name and key is on the followed chain and not booked yet."""
    statement = select(ChainEvent.id).where(
        ChainEvent.name == name,
        ChainEvent.key1 == key,
        ~col(ChainEvent.orphaned),
        ~col(ChainEvent.matched),
    )
    return session.exec(statement.limit(1)).first() is not None


def mark_matched(session: Session, event_ids: Sequence[int]) -> None:
    """These events are booked."""
    session.connection().exec_driver_sql(
        "UPDATE chain_event SET matched = true WHERE id = ANY(%(ids)s::bigint[])",
        {"ids": "{" + ",".join(map(str, event_ids)) + "}"},
    )


def booked_up_to(session: Session) -> int | None:
    """The highest followed block such that every event in it and below is matched; None before the first block."""
    tip = followed_tip(session)
    if tip is None:
        return None
    first_open = session.exec(
        select(ChainEvent.block_number)
        .where(~col(ChainEvent.matched), ~col(ChainEvent.orphaned))
        .order_by(col(ChainEvent.block_number))
        .limit(1)
    ).first()
    return tip.number if first_open is None else first_open - 1


def _common_block(
    database: Database, node: Node, tip: ChainBlock, latest: BlockRef, from_block: int, *, verify: bool
) -> int:
    """The number of the highest followed block that is on the node's chain; below `from_block` if none is.

    A block in the place of one that is followed counts only with a header that hashes to what it is called: a made-up
    hash must not undo what it stands on. A head below the tip counts only where the node has lost the tip itself.
    """
    if latest.parent_hash == tip.hash:
        return tip.number
    if latest.number < tip.number and (held := node.block(tip.number)) is not None and held.hash == tip.hash:
        return tip.number
    below = min(tip.number, latest.number)
    while below >= from_block and (ours := _followed_at_most(database, below)):
        for number, block_hash in ours:
            theirs = node.raw_block(number)
            if theirs is not None and parse_block(theirs).hash == block_hash:
                return number
            if theirs is not None and verify:
                verify_header(theirs)
        below = ours[-1][0] - 1
    return from_block - 1


def _followed_at_most(database: Database, number: int) -> list[tuple[int, str]]:
    """Number and hash of followed blocks, highest first."""
    statement = (
        select(ChainBlock.number, ChainBlock.hash)
        .where(~col(ChainBlock.orphaned), ChainBlock.number <= number)
        .order_by(col(ChainBlock.number).desc())
        .limit(CHUNK_BLOCKS)
    )
    with database.transaction() as session:
        return [(found, block_hash) for found, block_hash in session.exec(statement)]


def _read(node: Node, hub: SettlementHub, *, base: int, latest: BlockRef, limit: int, verify: bool) -> _Branch | None:
    """The next blocks after `base` with their events; None if they do not follow from one another."""
    branch = _Branch(base, None)
    for number in range(base + 1, min(latest.number, base + limit) + 1):
        raw = node.raw_block(number)
        if raw is None:
            return None
        block = parse_block(raw)
        if branch.blocks and branch.blocks[-1].hash != block.parent_hash:
            return None
        branch.blocks.append(block)
        branch.events += _events_of(node, hub, raw, verify=verify)
    if branch.blocks:
        branch.base_hash = branch.blocks[0].parent_hash
    return branch


def _events_of(node: Node, hub: SettlementHub, raw: RawObject, *, verify: bool) -> list[dict[str, Any]]:
    if not may_have_logs_of(raw["logsBloom"], hub.address):
        if verify:
            verify_header(raw)  # the bloom that spares us the receipts is then the header's own
        return []
    receipts = verify_block(node, raw) if verify else node.raw_receipts(raw["hash"])
    logs = [parse_log(log) for receipt in receipts for log in receipt["logs"]]
    return [
        {
            "block_hash": log.block_hash,
            "block_number": log.block_number,
            "tx_hash": log.tx_hash,
            "log_index": log.log_index,
            "name": event.name,
            "key1": event.key,
            "payload": event.payload(),
            "orphaned": False,
            "matched": False,
        }
        for log, event in hub.decode_events(logs)
    ]


def _store(
    database: Database, branch: _Branch, tip: ChainBlock | None, on_fork: Callable[[Session, int], None]
) -> int | None:
    """Orphan what lies above the branch's base and add the branch. How many were orphaned; None if the tip moved."""
    with database.transaction() as session:
        session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        now = followed_tip(session)
        if (now.hash if now else None) != (tip.hash if tip else None):
            return None
        if not _joins(session, branch):
            return None
        undone = _orphan_above(session, branch.base)
        if undone:
            on_fork(session, branch.base)
        blocks = [
            {
                "hash": block.hash,
                "number": block.number,
                "parent_hash": block.parent_hash,
                "timestamp": block.timestamp,
                "orphaned": False,
            }
            for block in branch.blocks
        ]
        # A branch that lost may win again: its blocks and events come back instead of being added twice.
        insert_many(session, ChainBlock, blocks, suffix="ON CONFLICT (hash) DO UPDATE SET orphaned = false")
        insert_many(
            session,
            ChainEvent,
            branch.events,
            suffix="ON CONFLICT (block_hash, log_index) DO UPDATE SET orphaned = false",
        )
        return undone


def _joins(session: Session, branch: _Branch) -> bool:
    """Whether the branch's first block names the followed block below it as its parent."""
    below = followed_hash(session, branch.base)
    return below is None or branch.base_hash is None or below == branch.base_hash


def _orphan_above(session: Session, number: int) -> int:
    connection = session.connection()
    blocks = connection.exec_driver_sql(
        "UPDATE chain_block SET orphaned = true WHERE number > %s AND NOT orphaned", (number,)
    )
    if blocks.rowcount:
        connection.exec_driver_sql(
            "UPDATE chain_event SET orphaned = true WHERE block_number > %s AND NOT orphaned", (number,)
        )
    return int(blocks.rowcount)
