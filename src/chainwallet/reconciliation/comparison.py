"""Books against the chain: every position, every currency's total, and the tokens behind them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.errors import StateUnavailable
from chainwallet.chain.indexer import booked_up_to, followed_hash
from chainwallet.chain.node import Node
from chainwallet.controls.identity import ids_to_addresses
from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import currency, format_units
from chainwallet.ledger import AccountKey, AccountKind, freeze_only, verify
from chainwallet.reconciliation.breaks import BreakKind, close_breaks, open_break, open_subjects
from chainwallet.reconciliation.drafts import TREASURY

SEEN_AGAIN_AFTER_S = 0.25
SEEN_WHOLE = frozenset({BreakKind.TOTAL_DIFFERS, BreakKind.TOKENS_MISSING, BreakKind.LEDGER_VIOLATION})
"""What only a comparison of everything finds."""


class BooksKeepMoving(ChainwalletError):
    code = "RECONCILIATION_BOOKS_MOVING"
    status = 503
    retryable = True


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that differs between books and chain."""

    kind: BreakKind
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The books compared with the chain as of a block; `balanced` when nothing differs.

    `subjects` are the positions that were compared; None for all there are, and everything else with them.
    """

    as_of_block: int
    positions: int
    differences: tuple[Difference, ...]
    subjects: tuple[str, ...] | None = None

    @property
    def balanced(self) -> bool:
        return not self.differences


def compare(
    database: Database,
    node: Node,
    hub: SettlementHub,
    tokens: Mapping[str, str],
    *,
    only: Collection[AccountKey] | None = None,
    attempts: int = 20,
) -> Comparison:
    """Compare at the block that the books stand at. RECONCILIATION_BOOKS_MOVING if they never rest meanwhile.

    With `only`, just those accounts' positions; otherwise everything, the ledger's own invariants included. A
    difference counts when it is seen twice: a node that is asked about its head while it executes the next block may
    answer with what that block has changed already (anvil does).
    """
    first = _compare_at_rest(database, node, hub, tokens, only, attempts)
    if first.balanced:
        return first
    time.sleep(SEEN_AGAIN_AFTER_S)
    again = _compare_at_rest(database, node, hub, tokens, only, attempts)
    seen = {(difference.kind, difference.subject) for difference in first.differences}
    lasting = tuple(found for found in again.differences if (found.kind, found.subject) in seen)
    return replace(again, differences=lasting)


def _compare_at_rest(
    database: Database,
    node: Node,
    hub: SettlementHub,
    tokens: Mapping[str, str],
    only: Collection[AccountKey] | None,
    attempts: int,
) -> Comparison:
    for _ in range(attempts):
        try:
            found = _compare_once(database, node, hub, tokens, only)
        except StateUnavailable:
            continue  # the chain has gone on so far that it forgot the block; the books follow
        if found is not None:
            return found
    raise BooksKeepMoving("Payments keep settling while the books are compared; try again in a quieter moment.")


def _compare_once(
    database: Database,
    node: Node,
    hub: SettlementHub,
    tokens: Mapping[str, str],
    only: Collection[AccountKey] | None,
) -> Comparison | None:
    """None when books or chain moved meanwhile, so that what was read of them does not belong together."""
    with database.transaction() as session:
        session.connection().exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        block = booked_up_to(session) or 0
        block_hash = followed_hash(session, block)
        books = _books(session, only)
        addresses = ids_to_addresses(session, sorted({key.owner_id for key in books}))
        violations = verify(session) if only is None else []
    addresses[TREASURY] = hub.treasury()
    found = [Difference(BreakKind.LEDGER_VIOLATION, broken.invariant, broken.detail) for broken in violations]
    found += _positions(hub, books, addresses, block)
    if only is None:
        found += _totals(node, hub, tokens, books, block)
    with database.transaction() as session:
        if (booked_up_to(session) or 0) != block:
            return None
    theirs = node.block(block)
    if block_hash is not None and (theirs is None or theirs.hash != block_hash):
        return None  # a fork that is not followed yet
    subjects = None if only is None else tuple(_subject(key) for key in only)
    return Comparison(block, len(books), tuple(found), subjects)


def _subject(key: AccountKey) -> str:
    return f"{key.owner_id}/{key.currency}" + ("/exit" if key.kind is AccountKind.EXIT else "")


def differing_accounts(session: Session) -> set[AccountKey]:
    """The accounts whose positions differ, as the open cases have it."""
    found = set()
    for subject in open_subjects(session, BreakKind.POSITION_DIFFERS):
        owner_id, code, *rest = subject.split("/")
        kinds = (AccountKind.EXIT,) if rest else (AccountKind.CUSTOMER, AccountKind.TREASURY)
        found |= {AccountKey(owner_id, code, kind) for kind in kinds}
    return found


def _holdable(subject: str) -> AccountKey:
    """The account that would be held on, of the owner and currency that a difference is about."""
    owner_id, code, *_ = subject.split("/")
    return AccountKey(owner_id, code, AccountKind.CUSTOMER)


def _books(session: Session, only: Collection[AccountKey] | None) -> dict[AccountKey, int]:
    rows = session.connection().exec_driver_sql(
        "SELECT owner_id, currency, kind, posted_units FROM account WHERE kind IN ('customer', 'treasury', 'exit')"
    )
    books = {AccountKey(owner, code, AccountKind(kind)): int(units) for owner, code, kind, units in rows}
    return books if only is None else {key: books[key] for key in only if key in books}


def _positions(
    hub: SettlementHub, books: Mapping[AccountKey, int], addresses: Mapping[str, str], block: int
) -> list[Difference]:
    """Of each account what it can spend, or has set aside to leave with."""
    pairs = {key: (addresses.get(key.owner_id, key.owner_id), currency(key.currency).id) for key in sorted(books)}
    spent = [key for key in pairs if key.kind is not AccountKind.EXIT]
    left = [key for key in pairs if key.kind is AccountKind.EXIT]
    keys = [*spent, *left]
    on_chain = hub.positions([pairs[key] for key in spent], block=block)
    on_chain += hub.exiting([pairs[key] for key in left], block=block)
    return [
        Difference(
            BreakKind.POSITION_DIFFERS,
            _subject(key),
            f"books {_show(books[key], key.currency)}, chain {_show(units, key.currency)} at block {block}",
        )
        for key, units in zip(keys, on_chain, strict=True)
        if units != books[key]
    ]


def _totals(
    node: Node, hub: SettlementHub, tokens: Mapping[str, str], books: Mapping[AccountKey, int], block: int
) -> list[Difference]:
    sums: dict[str, int] = defaultdict(int)
    for key, units in books.items():
        sums[key.currency] += units
    found = []
    for code, units in sorted(sums.items()):
        total = hub.total(currency(code).id, block=block)
        held = CurrencyToken(node, tokens[code]).balance_of(hub.address, block=block)
        if total != units:
            detail = f"books {_show(units, code)}, chain {_show(total, code)} at block {block}"
            found.append(Difference(BreakKind.TOTAL_DIFFERS, code, detail))
        if held < total:
            detail = f"positions {_show(total, code)}, tokens held {_show(held, code)} at block {block}"
            found.append(Difference(BreakKind.TOKENS_MISSING, code, detail))
    return found


def _show(units: int, code: str) -> str:
    return format_units(units, minor_digits=currency(code).minor_digits)


def record(session: Session, comparison: Comparison) -> None:
    """Open a break for each difference, and close those of what was compared that are gone.

    An account is frozen while its position differs: nothing new is promised of it, and everybody else goes on.
    """
    seen: dict[BreakKind, list[str]] = defaultdict(list)
    for difference in comparison.differences:
        open_break(session, difference.kind, difference.subject, difference.detail)
        seen[difference.kind].append(difference.subject)
    kind = BreakKind.POSITION_DIFFERS
    close_breaks(session, kind, subjects=comparison.subjects, seen=seen[kind])
    freeze_only(session, map(_holdable, open_subjects(session, kind)))
    if comparison.subjects is None:
        for kind in sorted(SEEN_WHOLE):
            close_breaks(session, kind, subjects=None, seen=seen[kind])
