"""Blocks followed by hash: events stored once, forks orphaned, lying nodes refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import col, select

from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.errors import ProofRefused
from chainwallet.chain.indexer import (
    ChainBlock,
    ChainEvent,
    Progress,
    booked_up_to,
    final_block,
    follow,
    is_final,
    mark_matched,
    unmatched_events,
)
from chainwallet.chain.node import Node
from chainwallet.kit.database import Database

EUR, USD = 978, 840
UNIT = 10**6


@pytest.fixture
def index(database: Database, world: Any) -> Callable[..., Progress]:
    return lambda **options: follow(database, world.node, world.hub, from_block=world.deployment.block, **options)


@pytest.fixture
def anvil_index(database: Database, anvil_world: Any) -> Callable[..., Progress]:
    world = anvil_world
    return lambda **options: follow(database, world.node, world.hub, from_block=world.deployment.block, **options)


def _blocks(database: Database, *, orphaned: bool = False) -> list[tuple[int, str]]:
    with database.transaction() as session:
        rows = session.exec(
            select(ChainBlock).where(col(ChainBlock.orphaned).is_(orphaned)).order_by(col(ChainBlock.number))
        )
        return [(row.number, row.hash) for row in rows]


def _events(database: Database, *, orphaned: bool = False) -> list[ChainEvent]:
    with database.transaction() as session:
        return list(
            session.exec(
                select(ChainEvent)
                .where(col(ChainEvent.orphaned).is_(orphaned))
                .order_by(col(ChainEvent.block_number), col(ChainEvent.log_index))
            )
        )


def _amounts(database: Database) -> list[str]:
    return [event.payload["amount"] for event in _events(database) if event.name == "Deposited"]


def _check_follows_node(database: Database, node: Node, from_block: int) -> None:
    """Every canonical block is followed, in one unbroken line, and nothing else counts."""
    blocks = _blocks(database)
    assert [number for number, _ in blocks] == list(range(from_block, node.head().number + 1))
    assert all(node.block(number).hash == block_hash for number, block_hash in blocks)  # type: ignore[union-attr]


def test_follow__new_chain__every_block_and_event_once(database: Database, world: Any, index: Any) -> None:
    account = world.operator.address
    tx_hash = world.deposit("EUR", EUR, account, 5 * UNIT)
    progress = index()
    assert progress.head == world.node.head().number
    assert progress.new_blocks == progress.head - world.deployment.block + 1
    assert progress.orphaned_blocks == 0
    _check_follows_node(database, world.node, world.deployment.block)
    events = _events(database)
    assert [event.name for event in events] == ["CurrencyListed", "CurrencyListed", "Deposited"]
    assert events[-1].tx_hash == tx_hash
    assert events[-1].key1 == events[-1].payload["id"] == f"0x{5 * UNIT:064x}"
    assert events[-1].payload == {
        "account": account,
        "currency": EUR,
        "amount": str(5 * UNIT),
        "id": events[-1].key1,
    }


def test_follow__nothing_new__nothing_done(database: Database, world: Any, index: Any) -> None:
    head = index().head
    assert index() == Progress(0, 0, world.deployment.block - 1, head)


def test_follow__limit__goes_on_where_it_stopped(database: Database, world: Any, index: Any) -> None:
    total = 0
    while new := index(limit=3).new_blocks:
        assert new <= 3
        total += new
    assert total == world.node.head().number - world.deployment.block + 1
    _check_follows_node(database, world.node, world.deployment.block)


def test_follow__before_the_first_block__nothing(database: Database, world: Any) -> None:
    progress = follow(database, world.node, world.hub, from_block=world.node.head().number + 5)
    assert progress.new_blocks == 0
    assert _blocks(database) == []


def test_follow__snapshot_reverted__orphans_what_is_gone(database: Database, world: Any, index: Any) -> None:
    index()
    snapshot, kept = world.node.request("evm_snapshot", []), world.node.head().number
    world.deposit("EUR", EUR, world.operator.address, 5 * UNIT)
    world.deposit("EUR", EUR, world.operator.address, 6 * UNIT)
    index()
    world.node.request("evm_revert", [snapshot])
    progress = index()  # the head is now lower than what is followed
    assert (progress.new_blocks, progress.orphaned_blocks, progress.fork_block) == (0, 4, kept)
    assert [event.name for event in _events(database, orphaned=True)] == ["Deposited", "Deposited"]
    _check_follows_node(database, world.node, world.deployment.block)

    world.deposit("EUR", EUR, world.operator.address, 7 * UNIT)
    progress = index()
    assert (progress.new_blocks, progress.orphaned_blocks) == (2, 0)
    assert _amounts(database)[-1] == str(7 * UNIT)
    _check_follows_node(database, world.node, world.deployment.block)


def test_follow__reverted_and_longer_than_before__orphans_and_adds_in_one_pass(
    database: Database, world: Any, index: Any
) -> None:
    index()
    snapshot, kept = world.node.request("evm_snapshot", []), world.node.head().number
    world.deposit("EUR", EUR, world.operator.address, 5 * UNIT)
    index()
    world.node.request("evm_revert", [snapshot])
    for units in (8 * UNIT, 9 * UNIT):
        world.deposit("EUR", EUR, world.operator.address, units)
    progress = index()
    assert (progress.new_blocks, progress.orphaned_blocks, progress.fork_block) == (4, 2, kept)
    assert _amounts(database)[-2:] == [str(8 * UNIT), str(9 * UNIT)]
    _check_follows_node(database, world.node, world.deployment.block)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_follow__anvil_reorg__orphans_exactly_that_deep(
    database: Database, anvil_world: Any, anvil_index: Any, depth: int
) -> None:
    for units in range(1, 5):
        anvil_world.deposit("EUR", EUR, anvil_world.operator.address, units * UNIT)
    anvil_index()
    before = len(_events(database))
    anvil_world.node.request("anvil_reorg", [depth, []])
    progress = anvil_index()
    head = anvil_world.node.head().number
    assert (progress.orphaned_blocks, progress.fork_block, progress.head) == (depth, head - depth, head)
    assert len(_events(database)) + len(_events(database, orphaned=True)) == before
    _check_follows_node(database, anvil_world.node, anvil_world.deployment.block)


def test_follow__many_reorgs__the_index_is_the_chain_every_time(
    database: Database, anvil_world: Any, anvil_index: Any
) -> None:
    for turn in range(1, 26):
        anvil_world.deposit("EUR", EUR, anvil_world.operator.address, turn * UNIT)
        anvil_index()
        anvil_world.node.request("anvil_reorg", [1 + turn % 3, []])
        anvil_index()
        _check_follows_node(database, anvil_world.node, anvil_world.deployment.block)


def test_follow__a_lost_branch_that_wins_again__comes_back_instead_of_twice(
    database: Database, anvil_world: Any, anvil_index: Any
) -> None:
    node = anvil_world.node
    anvil_index()
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 5 * UNIT)
    anvil_index()
    with database.transaction() as session:
        mark_matched(session, [event.id for event in unmatched_events(session, up_to_block=10**6, limit=100)])
    true_chain = _blocks(database)
    fork = true_chain[-3][0]
    node_block = node.raw_block

    def shorter(block: int | str) -> Any:
        return node_block(block) if isinstance(block, str) or block <= fork else None

    with pytest.MonkeyPatch.context() as patch:  # a node that has not seen the last two blocks
        patch.setattr(node, "raw_block", shorter)
        patch.setattr(node, "head", lambda: node.block(fork))
        assert anvil_index().orphaned_blocks == 2
    assert anvil_index().new_blocks == 2
    assert _blocks(database) == true_chain
    events = _events(database)
    assert events[-1].name == "Deposited"
    assert events[-1].matched
    assert _events(database, orphaned=True) == []


def test_follow__whole_chain_replaced__orphans_all_of_it(database: Database, anvil_world: Any) -> None:
    world = anvil_world
    follow(database, world.node, world.hub, from_block=world.deployment.block)
    total = len(_blocks(database))
    head = world.node.head()
    world.node.request("anvil_reorg", [head.number - world.deployment.block + 1, []])
    progress = follow(database, world.node, world.hub, from_block=world.deployment.block)
    assert (progress.orphaned_blocks, progress.fork_block) == (total, world.deployment.block - 1)
    assert _events(database) == []


def test_follow__several_at_once__as_if_it_were_one(database: Database, world: Any, index: Any) -> None:
    for units in range(1, 4):
        world.deposit("EUR", EUR, world.operator.address, units * UNIT)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: index(limit=4), range(12)))
    index()
    _check_follows_node(database, world.node, world.deployment.block)
    assert len(_events(database)) == 5


class _Liar:
    """A node that alters what passes through it."""

    def __init__(self, honest: Node, lie: Callable[[str, list[Any], Any], Any]) -> None:
        self._honest = honest
        self._lie = lie

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        return self._lie(method, params, copy.deepcopy(self._honest.request(method, params, retry=retry)))

    def batch(self, requests: Any) -> list[Any]:
        return [self.request(method, params) for method, params in requests]

    def close(self) -> None:
        """The honest node closes itself."""


def _with_logs(receipts: Any) -> Any:
    return next((receipt for receipt in receipts or [] if receipt["logs"]), None)


def _lies() -> dict[str, Callable[[str, list[Any], Any], Any]]:
    def on(method: str, change: Callable[[Any], Any]) -> Callable[[str, list[Any], Any], Any]:
        def lie(asked: str, _: list[Any], answer: Any) -> Any:
            if asked == method and answer:
                changed = change(answer)
                return answer if changed is None else changed
            return answer

        return lie

    def in_log(change: Callable[[Any], None]) -> Callable[[Any], None]:
        def on_receipts(receipts: Any) -> None:
            found = _with_logs(receipts)
            if found is not None:
                change(found["logs"][0])

        return on_receipts

    def flip_status(receipts: Any) -> None:
        receipts[0]["status"] = "0x0"

    def drop_log(receipts: Any) -> None:
        found = _with_logs(receipts)
        if found is not None:
            found["logs"].pop()

    def set_bloom(block: Any) -> None:
        block["logsBloom"] = "0x" + "00" * 256

    def set_root(block: Any) -> None:
        block["receiptsRoot"] = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"

    receipts, header = "eth_getBlockReceipts", "eth_getBlockByNumber"
    return {
        "altered amount": on(receipts, in_log(lambda log: log.update(data="0x" + "ff" * (len(log["data"]) // 2 - 1)))),
        "altered topic": on(receipts, in_log(lambda log: log["topics"].__setitem__(1, "0x" + "00" * 31 + "07"))),
        "altered contract": on(receipts, in_log(lambda log: log.update(address="0x" + "12" * 20))),
        "moved log": on(receipts, in_log(lambda log: log.update(logIndex="0x63"))),
        "another transaction's log": on(receipts, in_log(lambda log: log.update(transactionHash="0x" + "ab" * 32))),
        "another block's log": on(receipts, in_log(lambda log: log.update(blockHash="0x" + "cd" * 32))),
        "flipped status": on(receipts, flip_status),
        "dropped log": on(receipts, drop_log),
        "dropped receipts": on(receipts, lambda found: []),
        "repeated receipt": on(receipts, lambda found: found + found),
        "empty bloom": on(header, set_bloom),
        "empty receipts root": on(header, set_root),
        "earlier timestamp": on(header, lambda block: block.update(timestamp="0x1")),
    }


@pytest.mark.parametrize("lie", list(_lies()))
def test_follow__lying_node__refused_and_nothing_stored(database: Database, anvil_world: Any, lie: str) -> None:
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 5 * UNIT)
    last = anvil_world.node.head().number
    liar = Node(_Liar(anvil_world.node, _lies()[lie]), kind="remote", url="http://liar.test")
    hub = SettlementHub(liar, anvil_world.hub.address)
    with pytest.raises(ProofRefused):
        follow(database, liar, hub, from_block=last)
    assert _events(database) == []
    assert _blocks(database) == []


def test_follow__lying_node_unverified__is_believed(database: Database, anvil_world: Any) -> None:
    """The control: without verification the same lie gets in, so it is the verification that keeps it out."""
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 5 * UNIT)
    last = anvil_world.node.head().number
    liar = Node(_Liar(anvil_world.node, _lies()["altered amount"]), kind="remote", url="http://liar.test")
    follow(database, liar, SettlementHub(liar, anvil_world.hub.address), from_block=last, verify=False)
    assert _events(database)[0].payload["amount"] != str(5 * UNIT)


def test_unmatched_events__in_order_and_never_part_of_a_block(database: Database, world: Any, index: Any) -> None:
    for units in (1, 2, 3):
        world.deposit("USD", USD, world.operator.address, units * UNIT)
    index()
    head = world.node.head().number
    with database.transaction() as session:
        events = unmatched_events(session, up_to_block=head, limit=100)
        assert [event.name for event in events] == ["CurrencyListed"] * 2 + ["Deposited"] * 3
        assert unmatched_events(session, up_to_block=events[1].block_number, limit=100) == events[:2]
        # The two listings are in one block: a smaller limit returns both or neither.
        assert unmatched_events(session, up_to_block=head, limit=1) == events[:2]
        assert unmatched_events(session, up_to_block=head, limit=3) == events[:2]
        assert unmatched_events(session, up_to_block=head, limit=4) == events[:3]
        assert booked_up_to(session) == events[0].block_number - 1
        mark_matched(session, [event.id for event in events[:3]])
        assert booked_up_to(session) == events[3].block_number - 1
        mark_matched(session, [event.id for event in events[3:]])
        assert booked_up_to(session) == head
        assert unmatched_events(session, up_to_block=head, limit=100) == []


def test_final_block__depth_and_emptiness(database: Database, world: Any, index: Any) -> None:
    with database.transaction() as session:
        assert final_block(session, 1) is None
        assert booked_up_to(session) is None
    index()
    with database.transaction() as session:
        head = world.node.head().number
        assert final_block(session, 1) == head
        assert final_block(session, 3) == head - 2
        assert final_block(session, 10_000) is None


def test_is_final__this_very_block__until_a_fork_undoes_it(
    database: Database, anvil_world: Any, anvil_index: Any
) -> None:
    tx_hash = anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 5 * UNIT)
    block_hash = anvil_world.node.receipt(tx_hash).block_hash
    anvil_index()
    with database.transaction() as session:
        assert is_final(session, block_hash, 1)
        assert not is_final(session, block_hash, 2)
        assert not is_final(session, "0x" + "00" * 32, 1)
    anvil_world.node.request("anvil_reorg", [1, []])
    anvil_index()
    with database.transaction() as session:
        assert not is_final(session, block_hash, 1)


def test_follow__node_tells_other_hashes_for_a_moment__refused_and_nothing_is_undone(
    database: Database, anvil_world: Any, anvil_index: Any
) -> None:
    for units in (5 * UNIT, 6 * UNIT):
        anvil_world.deposit("EUR", EUR, anvil_world.operator.address, units)
        anvil_index()
    true_chain, node_block = _blocks(database), anvil_world.node.raw_block
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 7 * UNIT)

    lies = iter([{"hash": "0x" + "22" * 32}] * 2)

    def renamed(block: int | str) -> Any:  # it lies about two blocks, and then no more
        return node_block(block) | next(lies, {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anvil_world.node, "raw_block", renamed)
        with pytest.raises(ProofRefused):
            anvil_index()
    assert _blocks(database) == true_chain
    assert _blocks(database, orphaned=True) == []


def test_follow__head_told_is_an_old_one__what_is_followed_stays(
    database: Database, anvil_world: Any, anvil_index: Any
) -> None:
    """Behind a balancer a node that lags answers now and then: it still has the tip, or another one does."""
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 5 * UNIT)
    anvil_index()
    true_chain, node = _blocks(database), anvil_world.node
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node, "head", lambda: node.block(true_chain[-3][0]))
        assert anvil_index().orphaned_blocks == 0
    assert _blocks(database) == true_chain
    anvil_world.deposit("EUR", EUR, anvil_world.operator.address, 6 * UNIT)
    assert anvil_index().new_blocks == 2
    _check_follows_node(database, node, anvil_world.deployment.block)
