"""Owners who leave and cancel on chain, asking nobody: the books follow, and what cannot be kept is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.chain.contracts.settlement_hub import (
    encode_cancel_exit,
    encode_cancel_orders,
    encode_exit,
    encode_request_exit,
)
from chainwallet.keys.signers import LocalSigner
from chainwallet.ledger import NONCE_MAX, AccountKind
from chainwallet.reconciliation import matching
from chainwallet.reconciliation.room import Plan, make_room

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

    from chainwallet.controls.identity.customers import Customer

EUR = 978


@pytest.fixture
def bench(leavers_bench: Bench) -> Bench:
    return leavers_bench


def leaving(bench: Bench, owner: Customer, code: str = "EUR") -> int:
    """Units that the books say are set aside."""
    return bench.units(owner.id, code, AccountKind.EXIT)[0]


def exits(bench: Bench, owner: Customer) -> list[str]:
    return [
        row[0] for row in bench.rows("SELECT status FROM owner_exit WHERE customer_id = :id ORDER BY id", id=owner.id)
    ]


def failure(bench: Bench, transfer_id: str) -> tuple[str, str | None]:
    transfer = bench.transfer(transfer_id)
    return transfer.status, transfer.failure_code


def balanced(bench: Bench) -> bool:
    comparison = bench.compare()
    assert comparison.balanced, comparison.differences
    return comparison.balanced


def test_request__leaves_the_customers_account_at_once(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    bench.leave(owner, "EUR", "40.00")
    bench.run()
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert leaving(bench, owner) == 40_000_000
    assert exits(bench, owner) == ["waiting"]
    assert balanced(bench)
    change = "UPDATE account SET posted_units = posted_units {sign} 1 WHERE owner_id = :id AND kind = 'exit'"
    for sign, is_right in (("+", False), ("-", True)):
        with bench.database.transaction() as session:
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text(change.format(sign=sign)), {"id": owner.id})
        subjects = {found.subject for found in bench.compare().differences if found.kind == "position_differs"}
        assert subjects == (set() if is_right else {f"{owner.id}/EUR/exit"})


def test_cancel_exit__comes_back(bench: Bench) -> None:
    owner = bench.funded(EUR="100.00")
    bench.leave(owner, "EUR", "40.00")
    bench.run()
    bench.on_chain(owner, encode_cancel_exit(EUR))
    bench.run()
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    assert leaving(bench, owner) == 0
    assert exits(bench, owner) == ["cancelled"]
    assert balanced(bench)


def test_exit_by_anyone__after_the_delay__leaves_the_books_and_the_hub(bench: Bench) -> None:
    owner, stranger = bench.funded(EUR="100.00"), bench.customer()
    token = CurrencyToken(bench.services.node, bench.services.deployment.tokens["EUR"])
    bench.leave(owner, "EUR", "40.00", to=stranger.address)
    bench.wait_out_the_delay()
    bench.on_chain(stranger, encode_exit(owner.address, EUR))
    bench.run()
    assert token.balance_of(stranger.address) == 40_000_000
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert leaving(bench, owner) == 0
    assert exits(bench, owner) == ["paid"]
    assert balanced(bench)


def test_all_of_it_in_one_pass__in_the_chains_order(bench: Bench) -> None:
    """The second request takes what the cancellation of the first one gave back."""
    owner = bench.funded(EUR="100.00")
    for data in (
        encode_request_exit(EUR, 90_000_000, bench.haven),
        encode_cancel_exit(EUR),
        encode_request_exit(EUR, 95_000_000, bench.haven),
    ):
        bench.on_chain(owner, data)
    bench.wait_out_the_delay()
    bench.on_chain(owner, encode_exit(owner.address, EUR))
    bench.on_chain(owner, encode_request_exit(EUR, 5_000_000, bench.haven))
    bench.run()
    assert bench.units(owner.id, "EUR") == (0, 0)
    assert leaving(bench, owner) == 5_000_000
    assert exits(bench, owner) == ["cancelled", "paid", "waiting"]
    assert balanced(bench)


def test_events_seen_again__are_booked_once(bench: Bench) -> None:
    """Also at another place of another block."""
    owner = bench.funded(EUR="100.00")
    snapshot = bench.services.node.request("evm_snapshot", [])
    request = bench.leave(owner, "EUR", "40.00")
    bench.run()
    entries = bench.rows("SELECT count(*) FROM journal_entry")
    bench.rows("UPDATE chain_event SET matched = false, log_index = log_index + 9999 WHERE NOT orphaned RETURNING id")
    bench.book()
    assert bench.rows("SELECT count(*) FROM journal_entry") == entries
    bench.rows("UPDATE chain_event SET log_index = log_index - 9999 WHERE NOT orphaned RETURNING id")
    bench.services.node.request("evm_revert", [snapshot])
    for _ in range(3):
        bench.services.node.request("evm_mine", [])
    bench.index()
    assert bench.leave(owner, "EUR", "40.00") == request, "the same transaction, in another block"
    bench.run()
    assert bench.rows("SELECT count(*) FROM journal_entry") == entries
    assert bench.units(owner.id, "EUR") == (60_000_000, 0)
    assert exits(bench, owner) == ["waiting"]
    assert balanced(bench)


def test_strangers__are_booked_under_their_address(bench: Bench) -> None:
    stranger = LocalSigner("0x" + "5f" * 32)
    bench.gift(stranger.address, "EUR", "10.00")
    bench.run()
    bench.on_chain(stranger, encode_cancel_orders(EUR, 7))
    bench.leave(stranger, "EUR", "4.00")
    bench.run()
    assert bench.units(stranger.address, "EUR") == (6_000_000, 0)
    assert bench.units(stranger.address, "EUR", AccountKind.EXIT) == (4_000_000, 0)
    assert balanced(bench)
    bench.wait_out_the_delay()
    bench.on_chain(stranger, encode_exit(stranger.address, EUR))
    bench.run()
    assert bench.units(stranger.address, "EUR", AccountKind.EXIT) == (0, 0)
    assert balanced(bench)


def test_orders_whose_money_left__fail_youngest_first(bench: Bench) -> None:
    """100 held as 30, 30 and 30; 60 leave: the two that came last cannot be paid any more."""
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    first, second, third = [bench.send(owner, payee, "EUR", "EUR", "30.00") for _ in range(3)]
    bench.leave(owner, "EUR", "60.00")
    bench.index()
    bench.book()
    assert [failure(bench, one) for one in (first, second, third)] == [
        ("accepted", None),
        ("failed", "TRANSFER_FUNDS_LEFT"),
        ("failed", "TRANSFER_FUNDS_LEFT"),
    ]
    assert bench.units(owner.id, "EUR") == (40_000_000, 30_000_000)
    bench.run()
    assert bench.statuses(first) == ["settled"]
    assert bench.units(owner.id, "EUR") == (10_000_000, 0)
    assert balanced(bench)


def test_promised_anew_while_room_was_made__the_pass_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is made before accounts are locked: what a payment takes in that moment is seen when they are."""
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    late: list[str] = []

    def hasty(*arguments: Any, **options: Any) -> Plan:
        plan = make_room(*arguments, **options)
        if not late:
            late.append(bench.send(owner, payee, "EUR", "EUR", "60.00"))
        return plan

    bench.leave(owner, "EUR", "50.00")
    bench.index()
    monkeypatch.setattr(matching, "make_room", hasty)
    bench.book()
    assert failure(bench, late[0]) == ("failed", "TRANSFER_FUNDS_LEFT")
    assert bench.units(owner.id, "EUR") == (50_000_000, 0)
    assert balanced(bench)


def test_makers_money_left__others_fund_the_payment(bench: Bench) -> None:
    leaver, _ = bench.maker(("USD", "1000.00", "EUR", "890.00"))
    bench.maker(("USD", "1000.00", "EUR", "890.20"))
    payer, payee = bench.funded(EUR="200.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    assert {leg["maker_id"] for leg in bench.order(transfer_id).legs} == {leaver.id}, "the cheaper one"
    bench.leave(leaver, "USD", "1000.00")
    bench.index()
    bench.book()
    assert bench.statuses(transfer_id) == ["accepted"]
    assert bench.order(transfer_id).legs == []
    assert bench.holds(transfer_id, f"{transfer_id}:legs") == {transfer_id: "open", f"{transfer_id}:legs": "released"}
    assert sum(int(quote.reserved_units) for quote in bench.maker_quotes().values() if quote.maker_id == leaver.id) == 0
    assert bench.units(leaver.id, "USD") == (0, 0)
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert balanced(bench)


def test_in_flight__request_mined_first__the_batch_reverts_and_is_retried_without(bench: Bench) -> None:
    owner, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="100.00"), bench.customer()
    doomed = bench.send(owner, payee, "EUR", "EUR", "80.00")
    fine = bench.send(other, payee, "EUR", "EUR", "80.00")
    assert bench.settle()
    assert bench.statuses(doomed, fine) == ["submitted", "submitted"]
    bench.leave(owner, "EUR", "50.00")
    bench.index()
    bench.book()
    assert bench.units(owner.id, "EUR") == (50_000_000, 0), "what was held for the batch is no longer there"
    assert bench.statuses(doomed, fine) == ["submitted", "submitted"], "only the chain decides"
    bench.run()
    assert failure(bench, doomed) == ("failed", "TRANSFER_FUNDS_LEFT")
    assert bench.statuses(fine) == ["settled"]
    assert bench.breaks() == {}
    assert balanced(bench)


def test_in_flight__batch_mined_first__it_settles_and_the_request_is_what_was_left(bench: Bench) -> None:
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(owner, payee, "EUR", "EUR", "80.00")
    bench.settle()
    bench.submit()
    bench.on_chain(owner, encode_request_exit(EUR, 50_000_000, bench.haven), reverts=True)
    bench.leave(owner, "EUR", "20.00")
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert bench.units(owner.id, "EUR") == (0, 0)
    assert leaving(bench, owner) == 20_000_000
    assert balanced(bench)


def test_in_flight__money_is_back_in_time__the_batch_settles_and_what_was_promised_anew_fails(bench: Bench) -> None:
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    first = bench.send(owner, payee, "EUR", "EUR", "80.00")
    bench.settle()
    bench.leave(owner, "EUR", "50.00")
    bench.index()
    bench.book()
    second = bench.send(owner, payee, "EUR", "EUR", "50.00")
    bench.on_chain(owner, encode_cancel_exit(EUR))
    for step in (bench.submit, bench.index, bench.book):
        step()
    assert bench.statuses(first) == ["settled"]
    assert failure(bench, second) == ("failed", "TRANSFER_FUNDS_LEFT")
    assert bench.units(owner.id, "EUR") == (20_000_000, 0)
    bench.run()
    assert bench.breaks() == {}
    assert balanced(bench)


def test_in_flight__makers_money_left__the_batch_reverts_and_others_fund_it(bench: Bench) -> None:
    maker, _ = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    other, _ = bench.maker()
    bench.fund(other, USD="1000.00")
    payer, payee = bench.funded(EUR="200.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    bench.settle()
    bench.leave(maker, "USD", "1000.00")
    bench.index()
    bench.book()
    assert bench.units(maker.id, "USD") == (0, 0), "nothing is held for the batch any more"
    for step in (bench.submit, bench.index, bench.submit):
        step()
    assert bench.statuses(transfer_id) == ["accepted"]
    bench.maker_quote(other, "USD", "1000.00", "EUR", "899.00")
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert balanced(bench)


def test_cancelled_orders__end_and_later_ones_settle(bench: Bench) -> None:
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    first, second = [bench.send(owner, payee, "EUR", "EUR", "10.00") for _ in range(2)]
    bench.on_chain(owner, encode_cancel_orders(EUR, bench.order(second).nonce + 5))
    bench.index()
    bench.book()
    assert [failure(bench, one) for one in (first, second)] == [("cancelled", "ORDER_CANCELLED_ON_CHAIN")] * 2
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    third = bench.send(owner, payee, "EUR", "EUR", "10.00")
    assert bench.order(third).nonce == bench.order(second).nonce + 6, "above what was cancelled"
    bench.run()
    assert bench.statuses(third) == ["settled"]
    assert balanced(bench)


def test_cancelled_in_flight__reverts_and_ends(bench: Bench) -> None:
    owner, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="100.00"), bench.customer()
    doomed, fine = bench.send(owner, payee, "EUR", "EUR", "10.00"), bench.send(other, payee, "EUR", "EUR", "10.00")
    bench.settle()
    bench.on_chain(owner, encode_cancel_orders(EUR, bench.order(doomed).nonce))
    bench.index()
    bench.book()
    assert bench.statuses(doomed) == ["submitted"]
    bench.run()
    assert failure(bench, doomed) == ("cancelled", "ORDER_CANCELLED_ON_CHAIN")
    assert bench.statuses(fine) == ["settled"]
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    assert balanced(bench)


@pytest.mark.parametrize("nonce", [NONCE_MAX, NONCE_MAX + 1, 2**64 - 1], ids=["bigint", "above", "uint64"])
def test_every_order_cancelled_for_good__the_books_go_on_and_payments_are_refused(bench: Bench, nonce: int) -> None:
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    bench.on_chain(owner, encode_cancel_orders(EUR, nonce))
    bench.run()
    with pytest.raises(Exception, match="has cancelled every order"):
        bench.send(owner, payee, "EUR", "EUR", "10.00")
    assert bench.units(owner.id, "EUR") == (100_000_000, 0)
    assert bench.statuses(bench.send(bench.funded(EUR="5.00"), payee, "EUR", "EUR", "5.00")) == ["accepted"]
    assert balanced(bench)


def test_exit_of_money_that_the_books_lack__opens_a_break_and_holds_nobody_up(bench: Bench) -> None:
    owner, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="10.00"), bench.customer()
    bench.correct(owner.id, "EUR", -50_000_000)
    bench.leave(owner, "EUR", "80.00")
    transfer_id = bench.send(other, payee, "EUR", "EUR", "10.00")
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert list(bench.breaks().values()).count("unfunded_entry") == 1
    assert {found.kind for found in bench.compare().differences} == {"position_differs", "total_differs"}
    bench.correct(owner.id, "EUR", -30_000_000)
    bench.correct(owner.id, "EUR", 80_000_000, kind=AccountKind.EXIT)
    assert balanced(bench), "put right by a correction"


def test_treasury__may_leave_too_and_be_given_money(bench: Bench) -> None:
    services = bench.services
    assert services.operator.address == services.deployment.treasury
    bench.gift(services.deployment.treasury, "EUR", "10.00")
    bench.run()
    before, _ = bench.units("treasury", "EUR", AccountKind.TREASURY)
    bench.operate(services.hub.address, encode_request_exit(EUR, 4_000_000, bench.haven))
    bench.run()
    assert bench.units("treasury", "EUR", AccountKind.TREASURY) == (before - 4_000_000, 0)
    assert bench.units("treasury", "EUR", AccountKind.EXIT) == (4_000_000, 0)
    assert balanced(bench)
    bench.operate(services.hub.address, encode_cancel_exit(EUR))
    bench.run()
