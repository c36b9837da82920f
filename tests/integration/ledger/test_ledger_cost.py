"""What a batch costs: a fixed number of statements, and thousands of payments a second on one connection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from chainwallet.kit.database import Database
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    HoldPart,
    HoldRequest,
    capture_and_post,
    ensure_accounts,
    place_holds,
    release_holds,
    renew_nonces,
    verify,
)

Fund = Callable[..., dict[str, int]]


@contextmanager
def _counting(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_statements__do_not_grow_with_the_batch(database: Database, funded: Fund, size: int) -> None:
    accounts = list(funded([f"C{number}" for number in range(size + 1)], 1_000).values())
    names = [f"t{number}" for number in range(size)]
    lanes = list(zip(names, accounts, accounts[1:], strict=False))
    requests = [HoldRequest(name, (HoldPart(payer, 9),), payer) for name, payer, _ in lanes]
    drafts = [EntryDraft("payment", name, ((payer, -9), (payee, 9)), (name,)) for name, payer, payee in lanes]
    keys = [AccountKey(f"C{number}", "EUR", AccountKind.CUSTOMER) for number in range(size)]
    counts = {}
    for label, work in {
        "find": lambda session: ensure_accounts(session, keys),
        "place": lambda session: place_holds(session, requests),
        "renew": lambda session: renew_nonces(session, names),
        "post": lambda session: capture_and_post(session, drafts),
        "post again": lambda session: capture_and_post(session, drafts),
        "release": lambda session: release_holds(session, names),
        "nothing": lambda session: (
            place_holds(session, []),
            capture_and_post(session, []),
            release_holds(session, []),
        ),
    }.items():
        with database.transaction() as session, _counting(database) as seen:
            work(session)
        counts[label] = len(seen)
    assert counts == {"find": 1, "place": 4, "renew": 3, "post": 7, "post again": 3, "release": 2, "nothing": 0}


@pytest.mark.soak
def test_throughput__of_one_connection(database: Database) -> None:
    """Floors are a fifth of what two quiet cores do (9,000 holds and 5,000 captured payments a second)."""
    customers, batches, size, batch_max = 1_000, 60, 64, 250
    keys = [AccountKey(f"C{n}", code, AccountKind.CUSTOMER) for n in range(customers) for code in ("EUR", "USD")]
    own = [AccountKey(kind, code, kind) for kind in (AccountKind.HUB, AccountKind.CLEARING) for code in ("EUR", "USD")]
    with database.transaction() as session:
        ids = ensure_accounts(session, [*keys, *own])
        hub = {key.currency: ids[key] for key in own if key.kind is AccountKind.HUB}
        clearing = {key.currency: ids[key] for key in own if key.kind is AccountKind.CLEARING}
        capture_and_post(
            session,
            [
                EntryDraft(
                    "deposit", f"{key.owner_id}.{key.currency}", ((hub[key.currency], -(10**9)), (ids[key], 10**9))
                )
                for key in keys
            ],
        )
    rng = random.Random(1)
    payers = [
        ids[AccountKey(f"C{rng.randrange(customers)}", "EUR", AccountKind.CUSTOMER)] for _ in range(batches * size)
    ]
    payees = [ids[AccountKey(f"C{rng.randrange(customers)}", "USD", AccountKind.CUSTOMER)] for _ in payers]
    requests = [HoldRequest(f"t{n}", (HoldPart(payer, 100),), payer) for n, payer in enumerate(payers)]
    drafts = [
        EntryDraft(
            "payment",
            f"t{n}",
            ((payer, -100), (clearing["EUR"], 100), (clearing["USD"], -110), (payee, 110)),
            (f"t{n}",),
        )
        for n, (payer, payee) in enumerate(zip(payers, payees, strict=True))
    ]
    holds_per_s = _rate(database, place_holds, requests, size)
    captures_per_s = _rate(database, capture_and_post, drafts, batch_max)
    print(f"{holds_per_s:,.0f} holds/s in groups of {size}; {captures_per_s:,.0f} payments/s in batches of {batch_max}")
    with database.transaction() as session:
        assert verify(session) == []
    assert holds_per_s > 1_500
    assert captures_per_s > 1_000


def _rate(database: Database, work: Callable[..., object], items: list[object], size: int) -> float:
    start = time.perf_counter()
    for place in range(0, len(items), size):
        with database.transaction() as session:
            work(session, items[place : place + size])
    return len(items) / (time.perf_counter() - start)
