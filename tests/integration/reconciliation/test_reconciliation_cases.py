"""Breaks as cases: the account that differs is held back, all others go on; who looks after it, and why it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.controls.identity.customers import Customer
from chainwallet.kit.money import currency
from chainwallet.ledger import AccountFrozen, HoldPart, HoldRequest, frozen_accounts, place_holds
from chainwallet.payments.quotes import QuoteLiquidityGone
from chainwallet.reconciliation.breaks import (
    BreakClosesByItself,
    BreakKind,
    BreakUnknown,
    assign_break,
    close_break,
    open_break,
    open_breaks,
)
from chainwallet.reconciliation.comparison import record

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

CENT = 10_000


@contextmanager
def _differs(bench: Bench, owner: Customer, code: str) -> Iterator[None]:
    """The chain has a cent more of it than the books: a figure that the service cannot explain."""
    honest, place = SettlementHub.positions, (owner.address, currency(code).id)

    def positions(hub: SettlementHub, pairs: Sequence[tuple[str, int]], **options: Any) -> list[int]:
        figures = honest(hub, pairs, **options)
        return [units + CENT * (pair == place) for pair, units in zip(pairs, figures, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SettlementHub, "positions", positions)
        yield


def _record(bench: Bench) -> None:
    with bench.database.transaction() as session:
        record(session, bench.compare())


def _frozen(bench: Bench) -> list[str]:
    with bench.database.transaction() as session:
        return [f"{key.owner_id}/{key.currency}" for key in frozen_accounts(session)]


def test_position_differs__that_account_promises_nothing_new_and_all_others_go_on(bench: Bench) -> None:
    wrong, right, payee = bench.funded(EUR="50.00", USD="50.00"), bench.funded(EUR="50.00"), bench.customer()
    with _differs(bench, wrong, "EUR"):
        _record(bench)
        assert _frozen(bench) == [f"{wrong.id}/EUR"]
        with pytest.raises(AccountFrozen):
            bench.send(wrong, payee, "EUR", "EUR", "1.00")
        bench.send(wrong, payee, "USD", "USD", "1.00")
        bench.send(right, payee, "EUR", "EUR", "1.00")
        bench.send(right, wrong, "EUR", "EUR", "1.00")
        with bench.database.transaction() as session:
            account = bench.rows("SELECT id FROM account WHERE owner_id = :id AND currency = 'EUR'", id=wrong.id)[0][0]
            (refused,) = place_holds(session, [HoldRequest("another verb", (HoldPart(account, CENT),))])
            assert isinstance(refused.error(), AccountFrozen)
    bench.run()
    _record(bench)
    assert _frozen(bench) == []
    bench.send(wrong, payee, "EUR", "EUR", "1.00")


def test_position_differs__what_was_accepted_before_settles(bench: Bench) -> None:
    wrong, payee = bench.funded(EUR="50.00"), bench.customer()
    transfer_id = bench.send(wrong, payee, "EUR", "EUR", "5.00")
    with _differs(bench, wrong, "EUR"):
        _record(bench)
        bench.run()
        assert bench.rows("SELECT status FROM transfer WHERE id = :id", id=transfer_id) == [("settled",)]
    _record(bench)


def test_makers_position_differs__its_quotes_are_not_used(bench: Bench) -> None:
    maker, _ = bench.maker(("GBP", "100.00", "CHF", "110.00"))
    payer, payee = bench.funded(CHF="50.00"), bench.customer()
    quote = bench.quote("CHF", "GBP", send="11.00")
    with _differs(bench, maker, "GBP"):
        _record(bench)
        with pytest.raises(QuoteLiquidityGone):
            bench.pay(payer, payee, quote)
    _record(bench)


def test_case__is_assigned_explained_and_closed_by_whoever_may(bench: Bench) -> None:
    with bench.database.transaction() as session:
        open_break(session, BreakKind.UNKNOWN_PAYMENT, "0xabc", "in 0xdef")
        (case,) = open_breaks(session)
        opened_at, case_id = case.opened_at, case.id or 0
        assign_break(session, case_id, assignee="settlement desk", cause=None)
        open_break(session, BreakKind.UNKNOWN_PAYMENT, "0xabc", "seen again")
        session.expire_all()
        assert (case.assignee, case.detail, case.opened_at) == ("settlement desk", "seen again", opened_at)
        close_break(session, case_id, cause="settled by hand on that day", actor="key_1")
        assert open_breaks(session) == []
        with pytest.raises(BreakUnknown):
            close_break(session, case_id, cause="again", actor="key_1")
        open_break(session, BreakKind.UNKNOWN_PAYMENT, "0xabc", "and again")
        session.expire_all()
        assert (case.assignee, case.cause, case.closed_by) == (None, None, None), "a new case"
        assert case.opened_at > opened_at
        close_break(session, case_id, cause="the same", actor="key_1")


def test_position_differed__is_looked_at_again_and_thaws_without_anybody_asking(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happens to a frozen account, so nothing that happens would have it compared again."""
    owner = bench.funded(EUR="50.00")
    with _differs(bench, owner, "EUR"):
        _record(bench)
    assert _frozen(bench) == [f"{owner.id}/EUR"]
    monkeypatch.setattr("chainwallet.entrypoints.workers.reconcile.AGAIN_EVERY_S", 0)
    bench.book()
    assert _frozen(bench) == []
    assert bench.breaks() == {}


def test_figures_that_are_compared__close_by_being_right_only(bench: Bench) -> None:
    owner = bench.funded(EUR="50.00")
    with _differs(bench, owner, "EUR"):
        _record(bench)
        with bench.database.transaction() as session:
            case = next(one for one in open_breaks(session) if one.kind == BreakKind.POSITION_DIFFERS)
            with pytest.raises(BreakClosesByItself):
                close_break(session, case.id or 0, cause="wishful", actor="key_1")
    _record(bench)
    assert bench.breaks() == {}


def test_fork_deeper_than_finality__is_a_case_until_all_is_back(
    anvil_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = anvil_bench
    payer, payee = bench.funded(EUR="20.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "5.00")
    bench.run()
    assert bench.rows("SELECT status FROM transfer WHERE id = :id", id=transfer_id) == [("settled",)]
    bench.services.node.request("anvil_reorg", [1, []])
    bench.index()
    assert set(bench.breaks().values()) == {"finality_broken"}
    bench.run()
    monkeypatch.setattr("chainwallet.entrypoints.workers.reconcile.AGAIN_EVERY_S", 0)
    bench.book()
    assert bench.breaks() == {}
    assert bench.rows("SELECT count(*) FROM chain_event WHERE NOT orphaned AND name = 'PaymentSettled'") == [(1,)]
