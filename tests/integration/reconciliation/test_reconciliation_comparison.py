"""Books against chain: what was tampered with is found, by name, and closed when it is put right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from chainwallet.chain.errors import StateUnavailable
from chainwallet.ledger import AccountKey, AccountKind
from chainwallet.reconciliation.comparison import BooksKeepMoving, compare, record
from chainwallet.reconciliation.drafts import customer_account

if TYPE_CHECKING:
    from tests.integration.conftest import Bench


@contextmanager
def _tampered(bench: Bench, change: str, back: str, **values: object) -> Iterator[None]:
    """Someone who may switch off the triggers changes rows by hand; put right again afterwards."""
    for statement in (change, None, back):
        if statement is None:
            yield
            continue
        with bench.database.transaction() as session:
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text(statement), values)


def test_changed_balance__names_the_account_and_closes_when_put_right(bench: Bench) -> None:
    owner = bench.funded(EUR="50.00")
    change = "UPDATE account SET posted_units = posted_units {sign} 1 WHERE owner_id = :id AND currency = 'EUR'"
    with _tampered(bench, change.format(sign="+"), change.format(sign="-"), id=owner.id):
        comparison = bench.compare()
        (differs,) = [found for found in comparison.differences if found.kind == "position_differs"]
        assert differs.subject == f"{owner.id}/EUR"
        assert "books 50.000001, chain 50.00" in differs.detail
        assert "total_differs" in {found.kind for found in comparison.differences}
        assert "ledger_violation" in {found.kind for found in comparison.differences}
        assert bench.breaks()[f"{owner.id}/EUR"] == "position_differs"
    assert bench.compare().balanced
    assert bench.breaks() == {}


def test_changed_posting__is_found_by_the_ledgers_own_check(bench: Bench) -> None:
    owner = bench.funded(EUR="50.00")
    change = (
        "UPDATE posting SET units = units {sign} 1 WHERE account_id ="
        " (SELECT id FROM account WHERE owner_id = :id AND currency = 'EUR')"
    )
    with _tampered(bench, change.format(sign="+"), change.format(sign="-"), id=owner.id):
        kinds = {found.kind for found in bench.compare().differences}
        assert kinds == {"ledger_violation"}
    assert bench.compare().balanced


def test_position_without_books__is_found(bench: Bench) -> None:
    """The opposite: the chain moved and the books did not."""
    owner = bench.funded(EUR="50.00")
    with _tampered(
        bench,
        "UPDATE account SET posted_units = 0 WHERE owner_id = :id",
        "UPDATE account SET posted_units = 50000000 WHERE owner_id = :id",
        id=owner.id,
    ):
        assert f"{owner.id}/EUR" in {found.subject for found in bench.compare().differences}


def test_missing_tokens__are_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.funded(EUR="50.00")
    hub, services = bench.services.hub, bench.services
    real = hub.total(978)
    monkeypatch.setattr("chainwallet.reconciliation.comparison.CurrencyToken.balance_of", lambda *_, **__: real - 1)
    comparison = compare(
        bench.database,
        services.node,
        hub,
        {"EUR": services.deployment.tokens["EUR"]} | dict(services.deployment.tokens),
    )
    found = {(one.kind, one.subject) for one in comparison.differences}
    assert ("tokens_missing", "EUR") in found


def test_partial_comparison__closes_only_what_it_looked_at(bench: Bench) -> None:
    one, other = bench.funded(EUR="50.00"), bench.funded(EUR="60.00")
    services = bench.services
    change = "UPDATE account SET posted_units = posted_units {sign} 1 WHERE owner_id IN (:one, :other)"
    with _tampered(bench, change.format(sign="+"), change.format(sign="-"), one=one.id, other=other.id):
        bench.compare()
        assert set(bench.breaks()) >= {f"{one.id}/EUR", f"{other.id}/EUR"}
        with _tampered(
            bench,
            "UPDATE account SET posted_units = posted_units - 1 WHERE owner_id = :id",
            "UPDATE account SET posted_units = posted_units + 1 WHERE owner_id = :id",
            id=one.id,
        ):
            only = [customer_account(one.id, "EUR")]
            comparison = compare(bench.database, services.node, services.hub, services.deployment.tokens, only=only)
            assert comparison.balanced
            with bench.database.transaction() as session:
                record(session, comparison)
            assert f"{one.id}/EUR" not in bench.breaks(), "what was looked at is right again"
            assert bench.breaks()[f"{other.id}/EUR"] == "position_differs", "what was not is not"
            assert "total_differs" in bench.breaks().values()


def test_worker__compares_what_it_booked_even_if_the_chain_forgot_the_block(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node keeps the state of its latest blocks only: the comparison is put off, never dropped."""
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    bench.send(payer, payee, "EUR", "EUR", "10.00")
    for step in (bench.settle, bench.submit, bench.index):
        step()
    asked: list[int] = []

    def forgotten(*_: object, **__: object) -> list[int]:
        asked.append(1)
        raise StateUnavailable("pruned")

    monkeypatch.setattr(bench.services.hub.__class__, "positions", forgotten)
    assert bench.book()
    assert not bench.book(), "nothing more to book; comparing fails quietly"
    assert asked
    with pytest.raises(BooksKeepMoving):
        bench.compare()
    monkeypatch.undo()
    compared: list[object] = []
    monkeypatch.setattr(
        "chainwallet.entrypoints.workers.reconcile.record", lambda _session, comparison: compared.append(comparison)
    )
    assert not bench.book()
    (comparison,) = compared
    assert f"{payer.id}/EUR" in comparison.subjects  # type: ignore[attr-defined]


def test_fork_that_is_not_followed_yet__is_not_compared_with_the_old_branch(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    node = bench.services.node
    snapshot = node.request("evm_snapshot", [])
    bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    height = node.head().number
    node.request("evm_revert", [snapshot])
    while node.head().number < height:
        node.request("evm_mine", [])
    with pytest.raises(BooksKeepMoving):
        bench.compare()
    bench.run()
    assert bench.compare().balanced


def test_treasury__is_compared_at_its_address(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    assert bench.units("treasury", "EUR", AccountKind.TREASURY)[0] > 0
    services = bench.services
    only = [AccountKey("treasury", "EUR", AccountKind.TREASURY)]
    assert compare(bench.database, services.node, services.hub, services.deployment.tokens, only=only).balanced


def test_difference_seen_once__is_no_difference(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """anvil, asked about its head while it executes the next block, answers with what that block changed."""
    owner = bench.funded(EUR="50.00")
    services = bench.services
    real = services.hub.positions
    lies = [1]

    def hasty(*pairs: Any, **options: Any) -> list[int]:
        ahead = lies.pop() if lies else 0
        return [units + ahead for units in real(*pairs, **options)]

    monkeypatch.setattr(services.hub, "positions", hasty, raising=False)
    only = [customer_account(owner.id, "EUR")]
    assert compare(bench.database, services.node, services.hub, services.deployment.tokens, only=only).balanced
    assert lies == []
    monkeypatch.setattr(services.hub, "positions", lambda *a, **o: [u + 1 for u in real(*a, **o)], raising=False)
    assert not compare(bench.database, services.node, services.hub, services.deployment.tokens, only=only).balanced
