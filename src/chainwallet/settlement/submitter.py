"""Sends what lanes hold: stored bytes out, receipts in, stuck transactions replaced, dropped ones sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from chainwallet.chain.blocks import Receipt
from chainwallet.chain.errors import ProofRefused, RpcRefused
from chainwallet.chain.fees import bump, suggest
from chainwallet.chain.indexer import final_block, followed_hash, has_events_of, is_final
from chainwallet.chain.node import Node
from chainwallet.chain.outcome import Rejected, RejectReason, Sent, Unknown
from chainwallet.chain.proofs import proven_nonce, proven_receipt
from chainwallet.keys.signers import Signer
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.settlement.lanes import (
    Fees,
    OpenTx,
    TxKind,
    TxStatus,
    fill_gap,
    mark,
    open_lane,
    open_transactions,
    replace,
    replaced_versions,
    signed_bytes,
    supersede,
)

_log = structlog.get_logger(__name__)

RESEND_AFTER_S = 3.0
REPLACE_AFTER_S = 30.0


@dataclass(slots=True)
class Sweep:
    """What one pass over the open transactions did."""

    sent: int = 0
    replaced: int = 0
    confirmed: list[OpenTx] = field(default_factory=list)
    reverted: list[OpenTx] = field(default_factory=list)

    @property
    def progress(self) -> bool:
        return bool(self.sent or self.replaced or self.confirmed or self.reverted)


@dataclass(frozen=True, slots=True)
class Submitter:
    """Sends the lane of one account. Safe to cut off anywhere: what was sent is sent again as the same bytes.

    `confirmations` blocks make a transaction final; `cap_wei` is the most it may offer per gas. `on_reverted` runs
    in the database transaction that records a revert, to undo what the call was for.
    """

    database: Database
    node: Node
    signer: Signer
    confirmations: int
    cap_wei: int
    on_reverted: Callable[[Session, OpenTx], None]
    resend_after_s: float = RESEND_AFTER_S
    replace_after_s: float = REPLACE_AFTER_S
    _proven: dict[str, int | None] = field(default_factory=dict)  # of this pass: the lane's nonce after a block

    def sweep(self) -> Sweep:
        """One pass: send what is signed, by nonce, and see what became of what was sent before.

        A send whose outcome is unknown is looked up by its hash; the same bytes go out again when it is not found.
        """
        done = Sweep()
        self._proven.clear()
        with self.database.transaction() as session:
            transactions = open_transactions(session, self.signer.address)
            replaced = replaced_versions(session, self.signer.address, [tx.nonce for tx in transactions])
        for tx in transactions:
            due = self._due(tx, replaced.get(tx.nonce, ()), done)
            if due is not None and not self._send(due, done):
                break  # later nonces cannot be mined before this one
        return done

    def _due(self, tx: OpenTx, replaced: Sequence[OpenTx], done: Sweep) -> OpenTx | None:
        """What is to be sent now under the transaction's nonce, if anything."""
        is_sent = tx.status == TxStatus.SENT
        if is_sent and self._track(tx, replaced, done):
            return None
        if tx.kind == TxKind.FILLER and tx.has_data:
            return self._replace(tx, done)  # the same nonce, now empty
        if is_sent and not _is_older(tx.sent_at, self.resend_after_s):
            return None
        if is_sent and self._heal(tx, replaced, done):
            return None
        return self._replace(tx, done) if is_sent and self._is_stuck(tx) else tx

    def _track(self, tx: OpenTx, replaced: Sequence[OpenTx], done: Sweep) -> bool:
        """True when a version of the transaction is mined: recorded once it is final, left to get deeper until then."""
        for version in (tx, *replaced):
            receipt = self.node.receipt(version.tx_hash)
            if receipt is not None and self._record(tx, version, receipt, done):
                return True
        return False

    def _record(self, tx: OpenTx, mined: OpenTx, told: Receipt, done: Sweep) -> bool:
        """False where another block is followed in the place of the one told: the receipt is of a branch that lost.

        A node may answer with such receipts after a fork, and behind a balancer one that lags does.
        """
        with self.database.transaction() as session:
            if followed_hash(session, told.block_number) not in (None, told.block_hash):
                return False
            if not is_final(session, told.block_hash, self.confirmations):
                return True
        receipt = proven_receipt(self.node, mined.tx_hash)  # what is told is believed of what is not final only
        if receipt is None:
            return True
        with self.database.transaction() as session:
            if not is_final(session, receipt.block_hash, self.confirmations):
                return True
            if mined.id != tx.id:
                supersede(session, tx.id)
            status = TxStatus.CONFIRMED if receipt.status else TxStatus.REVERTED
            mark(session, mined.id, status, block_number=receipt.block_number, gas_used=receipt.gas_used)
            if not receipt.status:
                _log.error("transaction_reverted", kind=tx.kind, reference=tx.reference, tx_hash=mined.tx_hash)
                self.on_reverted(session, mined)
        (done.confirmed if receipt.status else done.reverted).append(mined)
        return True

    def _heal(self, tx: OpenTx, replaced: Sequence[OpenTx], done: Sweep) -> bool:
        """True where the chain's own nonce proves that the transaction will never be mined: somebody else took its
        nonce. What it was for is undone as if it had reverted. Below a nonce that nobody took, gaps are filled."""
        with self.database.transaction() as session:
            number = final_block(session, self.confirmations)
            block_hash = None if number is None else followed_hash(session, number)
        nonce = None if block_hash is None else self._proven_nonce(block_hash)
        if nonce is None or nonce == tx.nonce:
            return False
        fees = Fees(*suggest(self.node, self.cap_wei))
        with self.database.transaction() as session:
            if nonce < tx.nonce:
                chain_id = self.node.chain_id
                if filled := fill_gap(
                    session, below=tx.nonce, down_to=nonce, signer=self.signer, chain_id=chain_id, fees=fees
                ):
                    _log.warning("nonce_gap_filled", below=tx.nonce, count=filled)
                return False
            if followed_hash(session, number or 0) != block_hash or has_events_of(
                session, [tx.tx_hash, *(version.tx_hash for version in replaced)]
            ):
                return False  # it is mined after all, and the node says so later
            open_lane(session, self.signer.address, nonce=nonce)
            supersede(session, tx.id)
            self.on_reverted(session, tx)
        _log.error("nonce_taken_elsewhere", kind=tx.kind, reference=tx.reference, nonce=tx.nonce, tx_hash=tx.tx_hash)
        done.reverted.append(tx)
        return True

    def _proven_nonce(self, block_hash: str) -> int | None:
        """The sender's nonce after a block, asked for once in a pass; None where the node does not prove it now."""
        if block_hash not in self._proven:
            try:
                self._proven[block_hash] = proven_nonce(self.node, self.signer.address, block_hash)
            except (ProofRefused, RpcRefused) as refused:
                _log.warning("nonce_not_proven", detail=refused.detail)
                self._proven[block_hash] = None
        return self._proven[block_hash]

    def _is_stuck(self, tx: OpenTx) -> bool:
        return _is_older(tx.created_at, self.replace_after_s) and self.node.base_fee_wei() > tx.max_fee_wei

    def _send(self, tx: OpenTx, done: Sweep) -> bool:
        """False when later nonces of the lane had better wait."""
        with self.database.transaction() as session:
            raw = signed_bytes(session, tx.id)
        outcome = self.node.send_raw(raw)
        if _is_out(outcome):
            with self.database.transaction() as session:
                mark(session, tx.id, TxStatus.SENT)
            done.sent += 1
            return True
        if isinstance(outcome, Unknown):
            _log.warning("send_outcome_unknown", tx_hash=tx.tx_hash, error=outcome.error)
        elif isinstance(outcome, Rejected):
            _log.warning("send_rejected", tx_hash=tx.tx_hash, reason=outcome.reason, message=outcome.message)
            if outcome.reason == RejectReason.UNDERPRICED:
                self._replace(tx, done)  # goes out with the next pass
        return False

    def _replace(self, tx: OpenTx, done: Sweep) -> OpenTx:
        """The transaction with fees that are taken now: 12.5 % more or today's, within the cap; itself at the cap."""
        today_wei, today_priority_wei = suggest(self.node, self.cap_wei)
        fees = Fees(
            min(max(bump(tx.max_fee_wei), today_wei), self.cap_wei),
            min(max(bump(tx.max_priority_wei), today_priority_wei), self.cap_wei),
        )
        if fees.max_fee_wei <= tx.max_fee_wei and not (tx.kind == TxKind.FILLER and tx.has_data):
            _log.error("fee_cap_reached", tx_hash=tx.tx_hash, max_fee_wei=tx.max_fee_wei)
            return tx  # the fee may not rise further: the same bytes go out again until the chain is cheaper
        with self.database.transaction() as session:
            new = replace(session, tx.id, signer=self.signer, chain_id=self.node.chain_id, fees=fees)
        _log.warning("transaction_replaced", tx_hash=tx.tx_hash, by=new.tx_hash, max_fee_wei=fees.max_fee_wei)
        done.replaced += 1
        return new


def _is_older(moment: datetime | None, age_s: float) -> bool:
    return moment is not None and utc_now() - moment > timedelta(seconds=age_s)


def _is_out(outcome: Sent) -> bool:
    """Whether the node has the bytes. A nonce that is too low is a version of ours, mined: tracking finds which."""
    if isinstance(outcome, Rejected):
        return outcome.reason == RejectReason.NONCE_TOO_LOW
    return not isinstance(outcome, Unknown)
