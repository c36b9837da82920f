"""Exits through the service, step by step: what the chain does in between, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chainwallet.chain.contracts.settlement_hub import encode_cancel_exit, encode_cancel_orders, encode_exit
from chainwallet.entrypoints.workers import leave as leave_worker
from chainwallet.kit.money import Money
from chainwallet.ledger import AccountKind, verify
from chainwallet.payments.exits import Exit, ExitUnderWay, request_exit

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

    from chainwallet.controls.identity.customers import Customer

EUR = 978
GWEI = 10**9


@pytest.fixture
def bench(leavers_bench: Bench) -> Bench:
    return leavers_bench


def ask(bench: Bench, owner: Customer, value: str = "40.00") -> str:
    with bench.database.transaction() as session:
        row = request_exit(
            session, owner, amount=Money.parse("EUR", value), recipient=bench.haven, domain=bench.services.domain
        )
        return row.id


def found(bench: Bench, exit_id: str) -> Exit:
    with bench.database.transaction() as session:
        return session.get_one(Exit, exit_id)


def outcome(bench: Bench, exit_id: str) -> tuple[str, str | None]:
    row = found(bench, exit_id)
    return row.status, row.failure_code


def try_now(bench: Bench) -> None:
    """What was put off is due."""
    bench.rows("UPDATE owner_exit SET try_at = now() WHERE status IN ('placed', 'waiting') RETURNING id")


def test_asked__held_signed_stored_sent_and_followed(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    exit_id = ask(bench, owner)
    assert bench.units(owner.id, "EUR") == (100_000_000, 40_000_000)
    assert bench.settle()
    assert bench.rows("SELECT kind, status FROM chain_tx ORDER BY id DESC LIMIT 1") == [("exit_request", "signed")]
    assert bench.services.hub.pending_exit(owner.address, EUR) is None, "stored, and not yet sent"
    bench.run()
    assert outcome(bench, exit_id) == ("waiting", None)
    assert bench.holds(exit_id) == {exit_id: "captured"}
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert bench.units(owner.id, "EUR", AccountKind.EXIT) == (40_000_000, 0)
    bench.wait_out_the_delay()
    bench.run()
    assert outcome(bench, exit_id) == ("paid", None)
    assert bench.units(owner.id, "EUR", AccountKind.EXIT) == (0, 0)
    assert bench.compare().balanced


def test_exit_made_on_chain__is_paid_out_by_the_service_too(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    bench.leave(owner, "EUR", "40.00")
    bench.run()
    bench.wait_out_the_delay()
    bench.run()
    assert bench.services.hub.pending_exit(owner.address, EUR) is None
    assert bench.rows("SELECT status FROM owner_exit WHERE customer_id = :id", id=owner.id) == [("paid",)]


def test_asked_twice__one_at_a_time(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    ask(bench, owner)
    with pytest.raises(ExitUnderWay):
        ask(bench, owner)
    bench.run()
    with pytest.raises(ExitUnderWay):
        ask(bench, owner)
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)


def test_owner_was_faster__ours_fails_and_gives_back(bench: Bench) -> None:
    """The request is stored when the owner's own, for other money, is mined: the hub takes one at a time."""
    owner = bench.funded(EUR="100.00")
    exit_id = ask(bench, owner)
    bench.settle()
    bench.leave(owner, "EUR", "10.00")
    bench.run()
    assert outcome(bench, exit_id) == ("failed", "EXIT_OVERTAKEN")
    assert bench.units(owner.id, "EUR") == (90_000_000, 0)
    assert bench.rows("SELECT status FROM owner_exit WHERE customer_id = :id ORDER BY id", id=owner.id) == [
        ("failed",),
        ("waiting",),
    ]


def test_somebody_else_carried_our_order__it_is_ours_all_the_same(bench: Bench) -> None:
    """Whoever saw the signed order may send it first. Our own transaction then reverts, and nothing is lost."""
    owner, services = bench.funded(EUR="100.00"), bench.services
    exit_id = ask(bench, owner)
    bench.settle()
    ((data,),) = bench.rows("SELECT data FROM chain_tx WHERE reference = :id", id=exit_id)
    bench.on_chain(bench.customer(), bytes(data))
    bench.submit()
    bench.index()
    bench.submit()  # ours has reverted: known before the other is booked
    assert outcome(bench, exit_id) == ("failed", "EXIT_REFUSED_BY_HUB")
    bench.book()
    assert outcome(bench, exit_id) == ("waiting", None)
    bench.run()
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert bench.units(owner.id, "EUR", AccountKind.EXIT) == (40_000_000, 0)
    assert services.hub.pending_exit(owner.address, EUR) is not None


def test_payments_on_their_way__the_request_waits_for_them(bench: Bench) -> None:
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    first = bench.send(owner, payee, "EUR", "EUR", "10.00")
    exit_id = ask(bench, owner)
    second = bench.send(owner, payee, "EUR", "EUR", "20.00")
    bench.settle()
    assert outcome(bench, exit_id)[0] == "placed"
    bench.run()
    assert bench.statuses(first, second) == ["settled", "settled"]
    try_now(bench)
    bench.run()
    assert outcome(bench, exit_id) == ("waiting", None)
    third = bench.send(owner, payee, "EUR", "EUR", "30.00")
    bench.run()
    assert bench.statuses(third) == ["settled"], "its nonce is above the exit's"


def test_money_left_before_it_was_signed__ends(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    with bench.database.transaction() as session:
        session.connection().exec_driver_sql("SELECT 1")
    exit_id = ask(bench, owner, "80.00")
    bench.leave(owner, "EUR", "50.00")
    bench.on_chain(owner, encode_cancel_exit(EUR))
    bench.leave(owner, "EUR", "90.00")
    bench.index()
    bench.book()
    assert outcome(bench, exit_id)[0] == "failed"
    assert bench.units(owner.id, "EUR") == (10_000_000, 0)


def test_frozen_on_chain__refused_before_it_is_sent(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    bench.on_hub("freeze", owner.address)()
    exit_id = ask(bench, owner)
    bench.run()
    assert outcome(bench, exit_id) == ("failed", "EXIT_REFUSED_BY_HUB")
    assert "AccountIsFrozen" in (found(bench, exit_id).failure_detail or "")
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    bench.on_hub("unfreeze", owner.address)()
    bench.run()


def test_frozen_when_it_is_ready__put_off_and_paid_later(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    exit_id = ask(bench, owner)
    bench.run()
    bench.on_hub("freeze", owner.address)()
    bench.wait_out_the_delay()
    bench.run()
    assert outcome(bench, exit_id) == ("waiting", None)
    bench.on_hub("unfreeze", owner.address)()
    try_now(bench)
    bench.run()
    assert outcome(bench, exit_id) == ("paid", None)


def test_payout_that_reverts__is_tried_again_or_is_somebody_elses(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    exit_id = ask(bench, owner)
    bench.run()
    bench.wait_out_the_delay()
    assert bench.settle()
    assert outcome(bench, exit_id)[0] == "paying"
    bench.on_chain(bench.customer(), encode_exit(owner.address, EUR))
    bench.run()
    assert outcome(bench, exit_id) == ("paid", None)
    assert bench.units(owner.id, "EUR", AccountKind.EXIT) == (0, 0)


def test_owner_cancels_beyond_the_request__it_is_numbered_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cancellation is on chain and not booked when the request is simulated: its nonce is stale."""
    owner = bench.funded(EUR="100.00")
    exit_id = ask(bench, owner)
    bench.on_chain(owner, encode_cancel_orders(EUR, 50))
    monkeypatch.setattr(leave_worker, "SOON_S", 0.0)
    bench.settle()
    assert outcome(bench, exit_id) == ("placed", None)
    bench.run()
    assert outcome(bench, exit_id) == ("waiting", None)
    assert (found(bench, exit_id).nonce or 0) > 50


def test_request_that_reverts__fails_and_gives_back(bench: Bench) -> None:
    owner, services = bench.funded(EUR="100.00"), bench.services
    freeze = bench.on_hub("freeze", owner.address)
    exit_id = ask(bench, owner)
    bench.settle()
    freeze()
    bench.run()
    assert outcome(bench, exit_id) == ("failed", "EXIT_REFUSED_BY_HUB")
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    bench.on_hub("unfreeze", owner.address)()
    bench.run()
    with bench.database.transaction() as session:
        assert verify(session) == []
    assert services.hub.position(owner.address, EUR).units == 100_000_000


def test_fork_undoes_the_request__the_same_bytes_and_one_exit(bench: Bench) -> None:
    owner, node = bench.funded(EUR="100.00"), bench.services.node
    snapshot = node.request("evm_snapshot", [])
    exit_id = ask(bench, owner)
    bench.run()
    entries = bench.rows("SELECT count(*) FROM journal_entry")
    node.request("evm_revert", [snapshot])
    for _ in range(3):
        node.request("evm_mine", [])
    bench.run()
    assert bench.rows("SELECT count(*) FROM journal_entry") == entries
    assert outcome(bench, exit_id) == ("waiting", None)
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert bench.compare().balanced
