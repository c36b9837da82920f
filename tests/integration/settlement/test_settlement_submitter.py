"""The submitter against a real node that loses answers, drops, reorganises, and grows dear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlmodel import Session, col, select

from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.errors import ProofRefused
from chainwallet.chain.indexer import follow
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.outcome import Accepted, Sent, Unknown
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.settlement.lanes import (
    Call,
    ChainTx,
    Fees,
    TxKind,
    TxStatus,
    count_confirmed,
    has_open,
    mark,
    open_lane,
    reopen_from,
    replace,
    store_calls,
)
from chainwallet.settlement.submitter import Submitter, Sweep

GWEI = 10**9
CAP_WEI = 500 * GWEI
SINK = "0x00000000000000000000000000000000000000AA"
BROKEN = "0x00000000000000000000000000000000000000bb"


class Lossy:
    """A node on a bad line: `lose` says what becomes of the next sends: "request", "answer" or nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.lose: list[str | None] = []
        self.sent: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def send_raw(self, raw: bytes) -> Sent:
        self.sent.append(raw)
        lost = self.lose.pop(0) if self.lose else None
        if lost == "request":
            return Unknown("the line went dead")
        outcome = self._node.send_raw(raw)
        return Unknown("the line went dead") if lost == "answer" else outcome


@dataclass
class Post:
    """A lane of one sender on an anvil, its submitter, and the chain's events as they are followed."""

    database: Database
    node: Lossy
    signer: LocalSigner
    from_block: int
    undone: list[str] = field(default_factory=list)

    def store(self, count: int = 1, *, to: str = SINK, fees: Fees | None = None) -> list[ChainTx]:
        calls = [Call(TxKind.SETTLE, f"call-{number}", to, b"\x01", 60_000) for number in range(count)]
        with self.database.transaction() as session:
            chosen = fees or Fees(100 * GWEI, GWEI)
            return store_calls(session, calls, signer=self.signer, chain_id=self.node.chain_id, fees=chosen)

    def submitter(self, *, cap_wei: int = CAP_WEI, confirmations: int = 1, patience_s: float = 0) -> Submitter:
        return Submitter(
            self.database,
            self.node,  # type: ignore[arg-type]
            self.signer,
            confirmations=confirmations,
            cap_wei=cap_wei,
            on_reverted=self.undo,
            resend_after_s=patience_s,
            replace_after_s=patience_s,
        )

    def sweep(self, **options: Any) -> Sweep:
        return self.submitter(**options).sweep()

    def undo(self, _session: Session, tx: ChainTx) -> None:
        self.undone.append(tx.reference)

    def follow(self) -> None:
        hub = SettlementHub(self.node, SINK)  # type: ignore[arg-type]
        follow(
            self.database,
            self.node,  # type: ignore[arg-type]
            hub,
            from_block=self.from_block,
            on_fork=lambda session, fork_block: reopen_from(session, fork_block + 1),
        )

    def finish(self, **options: Any) -> None:
        for _ in range(3):
            self.sweep(**options)
            self.follow()

    def rows(self) -> list[ChainTx]:
        with self.database.transaction() as session:
            return list(session.exec(select(ChainTx).order_by(col(ChainTx.id))))

    def statuses(self) -> list[str]:
        return [tx.status for tx in self.rows()]

    def mined(self) -> int:
        return self.node.nonce(self.signer.address)

    def rpc(self, method: str, *params: Any) -> Any:
        return self.node.request(method, list(params))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = open_node("anvil", data_dir=tmp_path_factory.mktemp("submitter"))
    node.request("anvil_setCode", [BROKEN, "0x5f5ffd"])  # revert()
    yield node
    node.close()


@pytest.fixture
def post(chain: Node, database: Database, request: pytest.FixtureRequest) -> Iterator[Post]:
    signer = LocalSigner("0x" + bytes(request.node.name, "utf8").hex()[-64:].rjust(64, "1"))
    chain.fund(signer.address)
    chain.request("evm_mine", [])
    with database.transaction() as session:
        open_lane(session, signer.address, nonce=chain.nonce(signer.address))
    yield Post(database, Lossy(chain), signer, chain.head().number)
    chain.request("evm_setAutomine", [True])
    chain.request("anvil_dropAllTransactions", [])
    chain.request("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
    chain.request("evm_mine", [])


def test_crash_after_commit__the_stored_bytes_go_out(post: Post) -> None:
    (stored,) = post.store()
    assert post.mined() == 0, "nothing has left yet"
    post.finish()  # a new process, which knows only the database
    assert post.node.sent == [bytes(stored.raw)]
    assert post.statuses() == ["confirmed"]
    assert post.node.receipt(stored.tx_hash) is not None


def test_crash_after_send__is_recognised_as_mined(post: Post) -> None:
    (stored,) = post.store()
    post.node.send_raw(bytes(stored.raw))
    assert post.statuses() == ["signed"], "the note that it was sent is lost"
    post.finish()
    assert post.statuses() == ["confirmed"]
    assert post.mined() == 1


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_outcome_unknown__the_same_bytes_again_until_they_are_mined_once(post: Post, lost: str) -> None:
    stored = post.store(3)
    post.node.lose = [lost]
    assert not post.sweep().progress, "later nonces wait for the first"
    assert len(post.node.sent) == 1
    post.finish()
    assert {bytes(raw) for raw in post.node.sent} == {bytes(tx.raw) for tx in stored}, "no other bytes ever"
    assert post.statuses() == ["confirmed"] * 3
    assert post.mined() == 3


def test_mined_but_not_followed__is_not_final(post: Post) -> None:
    post.store()
    post.sweep()
    post.sweep()
    assert post.mined() == 1
    assert post.statuses() == ["sent"], "only the chain that is followed counts"
    post.follow()
    post.sweep(confirmations=2)
    assert post.statuses() == ["sent"]
    post.rpc("evm_mine")
    post.follow()
    post.sweep(confirmations=2)
    assert post.statuses() == ["confirmed"]


def test_block_lost_before_it_was_followed__sent_again(post: Post) -> None:
    (stored,) = post.store()
    post.follow()
    post.sweep()
    post.sweep()
    post.rpc("anvil_reorg", 1, [])
    assert post.node.receipt(stored.tx_hash) is None
    post.finish()
    assert post.statuses() == ["confirmed"]
    assert post.node.sent[0] == post.node.sent[-1] == bytes(stored.raw)


def test_fork_after_confirmation__open_again_and_the_same_bytes(post: Post) -> None:
    stored = post.store(2)
    post.finish()
    assert post.statuses() == ["confirmed"] * 2
    with post.database.transaction() as session:
        assert count_confirmed(session) == 2
    first_block = post.rows()[0].block_number
    post.rpc("anvil_reorg", 2, [])
    post.follow()
    assert post.statuses() == ["sent"] * 2, "in the transaction that orphans their blocks"
    assert [tx.block_number for tx in post.rows()] == [None, None]
    post.finish()
    assert post.statuses() == ["confirmed"] * 2
    assert post.rows()[0].block_number != first_block
    assert [tx.tx_hash for tx in post.rows()] == [tx.tx_hash for tx in stored]
    assert post.mined() == 2


def test_receipt_of_a_branch_that_lost__is_none_and_the_transaction_goes_out_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = post.store(2)
    post.sweep()
    post.follow()
    stale = {tx.tx_hash: post.node.receipt(tx.tx_hash) for tx in stored}
    assert all(stale.values()), "mined, and not final"
    post.rpc("anvil_reorg", 2, [])
    honest = post.node.receipt
    monkeypatch.setattr(post.node, "receipt", lambda tx_hash: honest(tx_hash) or stale[tx_hash], raising=False)
    post.follow()
    post.finish()
    assert post.statuses() == ["confirmed"] * 2
    assert post.mined() == 2


def test_dropped_from_the_pool__sent_again(post: Post) -> None:
    (stored,) = post.store()
    post.rpc("evm_setAutomine", False)
    post.sweep()
    post.rpc("anvil_dropTransaction", stored.tx_hash)
    assert not post.node.knows(stored.tx_hash)
    post.sweep(patience_s=60)
    assert not post.node.knows(stored.tx_hash), "patience first"
    post.sweep()
    assert post.node.knows(stored.tx_hash)
    post.rpc("evm_mine")
    post.finish()
    assert post.statuses() == ["confirmed"]


def _outsider(post: Post, nonce: int) -> str:
    """The settling key, used elsewhere: a transaction that the lane never heard of."""
    intent = Transaction(post.node.chain_id, nonce, SINK, b"\x02", 60_000, 100 * GWEI, GWEI)
    sent = post.node._node.send_raw(post.signer.sign_transaction(intent).raw)
    assert isinstance(sent, Accepted), sent
    return sent.hash


def test_nonce_taken_elsewhere__what_it_was_for_is_undone_once_and_the_lane_goes_on(post: Post) -> None:
    taken, _ = post.store(2)
    _outsider(post, taken.nonce)
    post.follow()
    post.finish()
    assert post.undone == ["call-0"]
    assert post.statuses() == ["replaced", "confirmed"]
    post.store()
    post.finish()
    assert post.statuses() == ["replaced", "confirmed", "confirmed"]


def test_nonces_taken_ahead_of_the_lane__the_lane_goes_on_above_them(post: Post) -> None:
    (stored,) = post.store()
    for ahead in range(3):
        _outsider(post, stored.nonce + ahead)
    post.follow()
    post.finish()
    assert post.undone == ["call-0"]
    (again,) = post.store()
    assert again.nonce == stored.nonce + 3
    post.finish()
    assert post.statuses() == ["replaced", "confirmed"]


def test_nonce_taken_in_a_block_that_is_not_final__nothing_is_undone(post: Post) -> None:
    (stored,) = post.store()
    _outsider(post, stored.nonce)
    post.follow()
    post.finish(confirmations=3)
    assert post.undone == []
    post.rpc("anvil_reorg", 1, [])
    post.follow()
    post.finish()
    assert post.statuses() == ["confirmed"], "the fork undid what took its nonce"
    assert post.undone == []


def test_nonce_too_high_at_the_start__the_gap_is_filled(post: Post) -> None:
    with post.database.transaction() as session:
        open_lane(session, post.signer.address, nonce=post.mined() + 3)
    post.store(2)
    post.rpc("evm_mine")
    post.follow()
    for _ in range(3):
        post.finish()
    assert sorted(post.statuses()) == ["confirmed"] * 5
    assert [tx.kind for tx in post.rows()].count("filler") == 3
    assert post.undone == []


@pytest.mark.parametrize("lie", ["0x0", "0x1"])
def test_receipt_with_another_status__is_not_believed(post: Post, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    """A node that calls a success a failure would have a deposit made twice; the reverse would lose a batch."""
    post.store(to=SINK if lie == "0x0" else BROKEN)
    post.sweep()
    post.follow()
    honest = post.node.raw_receipt

    def lying(tx_hash: str) -> Any:
        told = honest(tx_hash)
        return told and {**told, "status": lie}

    with monkeypatch.context() as patch:
        patch.setattr(post.node._node, "raw_receipt", lying)
        post.sweep()
    assert post.undone == ([] if lie == "0x0" else ["call-0"]), "what its block proves"
    assert post.statuses() == ["confirmed" if lie == "0x0" else "reverted"]


def test_receipt_of_what_was_never_mined__is_refused(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.rpc("evm_mine")
    post.follow()
    (stored,) = post.store()
    post.node.lose = ["request"]
    post.sweep()
    head = post.node.head()
    with post.database.transaction() as session:
        mark(session, stored.id or 0, TxStatus.SENT)
    told = {
        "transactionHash": stored.tx_hash,
        "transactionIndex": "0x0",
        "blockHash": head.hash,
        "blockNumber": hex(head.number),
        "status": "0x1",
        "gasUsed": "0x1",
        "logs": [],
    }
    with monkeypatch.context() as patch:
        patch.setattr(post.node._node, "raw_receipt", lambda _hash: told)
        with pytest.raises(ProofRefused):
            post.sweep()
    assert post.statuses() == ["sent"]
    post.finish()
    assert post.statuses() == ["confirmed"]


def _grow_dear(post: Post, base_fee_wei: int) -> None:
    post.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
    post.rpc("evm_mine")


@pytest.fixture
def stuck(post: Post) -> ChainTx:
    """A transaction in the pool that offers less than the chain asks."""
    post.rpc("evm_setAutomine", False)
    (stored,) = post.store(fees=Fees(40 * GWEI, GWEI))
    post.sweep()
    _grow_dear(post, 60 * GWEI)
    assert post.node.receipt(stored.tx_hash) is None
    return stored


def test_stuck__is_replaced_under_the_cap_and_recorded(post: Post, stuck: ChainTx) -> None:
    post.sweep(patience_s=60)
    assert post.statuses() == ["sent"], "patience first"
    assert post.sweep().replaced == 1
    old, new = post.rows()
    assert (old.status, new.status) == ("replaced", "sent")
    assert (old.nonce, bytes(old.data), old.reference) == (new.nonce, bytes(new.data), new.reference)
    assert int(new.max_fee_wei) * 8 >= int(old.max_fee_wei) * 9, "nodes take 12.5 % more"
    assert int(new.max_priority_wei) * 8 >= int(old.max_priority_wei) * 9
    assert post.node.base_fee_wei() <= int(new.max_fee_wei) <= CAP_WEI, "one step reaches what the chain asks"
    post.rpc("evm_mine")
    post.finish()
    assert post.statuses() == ["replaced", "confirmed"]
    assert post.mined() == 1


def test_stuck_at_the_cap__the_same_bytes_go_out_again(post: Post, stuck: ChainTx) -> None:
    post.sweep(cap_wei=40 * GWEI)
    assert post.statuses() == ["sent"]
    assert set(post.node.sent) == {bytes(stuck.raw)}
    _grow_dear(post, GWEI)
    post.sweep()
    post.rpc("evm_mine")
    post.finish()
    assert post.statuses() == ["confirmed"], "until the chain is cheap again"


def test_replaced_version_was_the_one_mined__is_found(post: Post, stuck: ChainTx) -> None:
    post.sweep()
    old, new = post.rows()
    post.rpc("anvil_dropTransaction", new.tx_hash)
    _grow_dear(post, GWEI)
    post.node.send_raw(bytes(old.raw))  # somewhere it was still in a pool
    post.rpc("evm_mine")
    assert post.node.receipt(old.tx_hash) is not None
    post.finish()
    assert post.statuses() == ["confirmed", "replaced"]
    assert post.mined() == 1


def test_refused_as_too_cheap__is_replaced_at_once_and_the_lane_goes_on(post: Post) -> None:
    _grow_dear(post, 60 * GWEI)
    stored = post.store(3, fees=Fees(40 * GWEI, GWEI))
    for _ in range(8):
        post.sweep(patience_s=60)
        post.follow()
    rows = post.rows()
    assert sorted(tx.status for tx in rows) == ["confirmed"] * 3 + ["replaced"] * 3
    assert {tx.nonce for tx in rows if tx.status == "confirmed"} == {tx.nonce for tx in stored}
    assert post.mined() == 3


def test_reverted__is_undone_once_in_the_same_transaction(post: Post) -> None:
    post.store(to=BROKEN)
    post.sweep()
    post.follow()

    def fails(_session: Session, _tx: ChainTx) -> None:
        raise RuntimeError("cut off")

    cut_off = post.submitter()
    with pytest.raises(RuntimeError, match="cut off"):
        Submitter(**{name: getattr(cut_off, name) for name in cut_off.__slots__} | {"on_reverted": fails}).sweep()
    assert post.statuses() == ["sent"], "the record and what follows from it are one commit"
    post.finish()
    assert post.statuses() == ["reverted"]
    assert post.undone == ["call-0"]


def test_reverted_then_forked_away__a_filler_takes_its_nonce(post: Post) -> None:
    """What it was for has gone on without it: executed now, it would happen twice."""
    reverted, after = post.store(to=BROKEN) + post.store()
    post.finish()
    assert post.statuses() == ["reverted", "confirmed"]
    post.rpc("anvil_setCode", BROKEN, "0x")
    post.rpc("anvil_reorg", 2, [])
    post.follow()
    post.finish()
    rows = post.rows()
    assert [(tx.kind, tx.status) for tx in rows] == [
        ("filler", "replaced"),
        ("settle", "confirmed"),
        ("filler", "confirmed"),
    ]
    filler = rows[2]
    assert (filler.to, bytes(filler.data), filler.nonce) == (post.signer.address, b"", reverted.nonce)
    assert post.node.receipt(reverted.tx_hash) is None
    assert post.node.receipt(after.tx_hash) is not None
    assert post.undone == ["call-0"]
    post.rpc("anvil_setCode", BROKEN, "0x5f5ffd")


@pytest.fixture
def lane(database: Database) -> Callable[[], int]:
    def next_nonce() -> int:
        from sqlalchemy import text

        with database.transaction() as session:
            return int(session.execute(text("SELECT next_nonce FROM lane")).scalar_one())

    return next_nonce


def test_lane__follows_the_chain_upwards_only(database: Database, lane: Callable[[], int]) -> None:
    with database.transaction() as session:
        open_lane(session, SINK, nonce=5)
        open_lane(session, SINK, nonce=3)
    assert lane() == 5, "a node that lost blocks does not take nonces back"
    with database.transaction() as session:
        open_lane(session, SINK, nonce=9)
    assert lane() == 9


def test_has_open__replaced_meanwhile__is_as_old_as_its_first_version(post: Post) -> None:
    """Else a payment whose money a fork took back would be failed although that money is on its way again."""
    (tx,) = post.store()
    moment = utc_now()
    with post.database.transaction() as session:
        replace(session, tx.id, signer=post.signer, chain_id=post.node.chain_id, fees=Fees(200 * GWEI, 2 * GWEI))
    with post.database.transaction() as session:
        assert has_open(session, post.signer.address, created_before=moment)
        assert not has_open(session, post.signer.address, created_before=tx.created_at)
