"""The settle worker against a chain that disagrees: what the hub would refuse is found before it is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chainwallet.entrypoints.workers import settle as settle_worker
from chainwallet.keys.intents import PaymentOrder
from chainwallet.ledger import verify
from chainwallet.payments.renewal import sign_again
from chainwallet.settlement.makers import MakerQuoteStatus
from chainwallet.settlement.orders import PlacedOrder, order_statuses, settle_placed, withdraw_orders

if TYPE_CHECKING:
    from tests.integration.conftest import Bench


def test_overtaken__is_signed_again_behind_what_waits_and_settles_once(bench: Bench) -> None:
    """Later nonces of its payer are on chain already, and one more waits."""
    payer, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="100.00"), bench.customer()
    early = [bench.send(payer, payee, "EUR", "EUR", "1.00") for _ in range(12)]
    _put(bench, "aside", *early)
    late = bench.send(payer, payee, "EUR", "EUR", "20.00")
    bench.run()
    before = {one: bench.order(one) for one in early}
    _put(bench, "placed", *early)
    waiting, fine = bench.send(payer, payee, "EUR", "EUR", "5.00"), bench.send(other, payee, "EUR", "EUR", "30.00")
    bench.run()
    assert bench.statuses(*early, late, waiting, fine) == ["settled"] * 15
    after = [bench.order(one) for one in (waiting, *early)]
    assert [order.nonce for order in after] == [*range(14, 27)], "what waited keeps its place"
    assert after == sorted(after, key=lambda order: order.seq or 0)
    for one in early:
        assert len(bench.events_of(one)) == 1
        order = bench.order(one)
        assert order.order_hash != before[one].order_hash
        assert _terms(order) == _terms(before[one]), "the same payment"
    assert bench.units(payer.id, "EUR") == (63_000_000, 0), "nothing stays held"
    with bench.database.transaction() as session:
        assert verify(session) == []


def _put(bench: Bench, status: str, *transfer_ids: str) -> None:
    for one in transfer_ids:
        bench.rows("UPDATE payment_order SET status = :status WHERE id = :id RETURNING id", status=status, id=one)


def _terms(order: PlacedOrder) -> PaymentOrder:
    return replace(order.signed(), nonce=0)


def test_stale_nonce_that_these_books_never_saw_used__fails_by_name_while_the_rest_settles(bench: Bench) -> None:
    """Nobody here knows what settled in its place: it is not signed again, in case it was the same payment."""
    payer, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="100.00"), bench.customer()
    early = bench.send(payer, payee, "EUR", "EUR", "10.00")
    _put(bench, "aside", early)
    late = bench.send(payer, payee, "EUR", "EUR", "20.00")
    bench.run()
    _put(bench, "unknown", late)
    _put(bench, "placed", early)
    fine = bench.send(other, payee, "EUR", "EUR", "30.00")
    bench.run()
    assert bench.statuses(early, late, fine) == ["failed", "settled", "settled"]
    failed = bench.transfer(early)
    assert failed.failure_code == "TRANSFER_REFUSED_BY_HUB"
    assert "OrderNonceStale" in (failed.failure_detail or "")
    assert bench.holds(early) == {early: "released"}
    assert bench.units(payer.id, "EUR") == (80_000_000, 0), "nothing stays held"


def test_overtaken_and_cancelled_by_its_payer__is_not_signed_again(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    early = bench.send(payer, payee, "EUR", "EUR", "10.00")
    _put(bench, "aside", early)
    bench.send(payer, payee, "EUR", "EUR", "20.00")
    bench.run()
    _put(bench, "placed", early)
    bench.rows(
        "UPDATE account SET cancelled_nonce = 1 WHERE owner_id = :id AND kind = 'customer' RETURNING id", id=payer.id
    )
    with bench.database.transaction() as session:
        assert sign_again(session, bench.services.vault, bench.services.domain) == []


def test_frozen_payer__fails_by_name_while_the_rest_settles(bench: Bench) -> None:
    payer, other, payee = bench.funded(EUR="100.00"), bench.funded(EUR="100.00"), bench.customer()
    refused = bench.send(payer, payee, "EUR", "EUR", "10.00")
    fine = bench.send(other, payee, "EUR", "EUR", "30.00")
    bench.on_hub("freeze", payer.address)()
    bench.run()
    assert bench.statuses(refused, fine) == ["failed", "settled"]
    assert "OrderPayerFrozen" in (bench.transfer(refused).failure_detail or "")
    assert bench.holds(refused) == {refused: "released"}


def test_frozen_maker__its_quote_is_never_filled_again_and_others_fund_the_payment(bench: Bench) -> None:
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    other, _ = bench.maker()
    bench.fund(other, USD="1000.00")
    payer, payee = bench.funded(EUR="200.00"), bench.customer()
    first = bench.send(payer, payee, "EUR", "USD", "100.00")
    bench.on_hub("freeze", maker.address)()
    bench.run()
    assert bench.statuses(first) == ["accepted"], "nobody else sells USD: it waits"
    assert bench.maker_quotes()[offer.id].status == MakerQuoteStatus.REFUSED
    local = bench.funded(EUR="50.00")
    assert bench.statuses(bench.send(local, payee, "EUR", "EUR", "50.00")) == ["accepted"]
    bench.run()
    assert bench.rows("SELECT count(*) FROM transfer WHERE status = 'accepted'") == [(1,)], "it holds nobody up"
    bench.maker_quote(other, "USD", "1000.00", "EUR", "899.00")
    bench.run()
    assert bench.statuses(first) == ["settled"]


def test_overdue__fails_and_releases_everything(bench: Bench) -> None:
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    bench.rows("UPDATE payment_order SET deadline = 1 WHERE id = :id RETURNING id", id=transfer_id)
    assert bench.settle(), "failing it is progress"
    failed = bench.transfer(transfer_id)
    assert (failed.status, failed.failure_code) == ("failed", "TRANSFER_EXPIRED")
    assert set(bench.holds(transfer_id, f"{transfer_id}:legs").values()) == {"released"}
    assert int(bench.maker_quotes()[offer.id].reserved_units) == 0
    assert bench.units(payer.id, "EUR") == (100_000_000, 0)
    assert bench.units(maker.id, "USD") == (1_000_000_000, 0)
    assert bench.rows("SELECT type FROM outbox_event WHERE subject_id = :id ORDER BY seq", id=transfer_id)[-1] == (
        "transfer.failed",
    )


def test_reverted_on_chain__everything_goes_back_and_the_next_batch_settles(bench: Bench) -> None:
    """The simulation passed, and then the chain changed its mind: the payer is frozen while the batch is under way."""
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    freeze = bench.on_hub("freeze", payer.address)
    assert bench.settle()
    assert bench.statuses(transfer_id) == ["submitted"]
    freeze()  # mined before the batch, whose nonce is the next one
    bench.submit()
    bench.index()
    bench.submit()
    assert bench.rows("SELECT status FROM chain_tx ORDER BY id DESC LIMIT 1") == [("reverted",)]
    assert bench.statuses(transfer_id) == ["accepted"]
    assert int(bench.maker_quotes()[offer.id].filled_units) == 0
    assert bench.units(maker.id, "USD") == (1_000_000_000, 0)
    assert bench.holds(transfer_id) == {transfer_id: "open"}
    bench.on_hub("unfreeze", payer.address)()
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert len(bench.events_of(transfer_id)) == 1


def test_hub_that_refuses_everything__raises_and_leaves_the_orders(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that names neither order nor quote is nobody's fault: the step fails, loudly, and is tried again."""
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    settled = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    used = bench.order(settled).batch_id
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    monkeypatch.setattr(settle_worker, "next_batch_id", lambda _session: used)
    with pytest.raises(Exception, match="BatchAlreadySettled"):
        bench.settle()
    monkeypatch.undo()
    assert bench.statuses(transfer_id) == ["accepted"]
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    with bench.database.transaction() as session:
        assert verify(session, is_idle=True) == []


def test_money_that_a_fork_took_back__is_waited_for(bench: Bench) -> None:
    """The payer's deposit was final and is no longer on chain: it comes again, and the payment with it."""
    payer, payee = bench.customer(), bench.customer()
    snapshot = bench.services.node.request("evm_snapshot", [])
    bench.fund(payer, EUR="10.00")
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.services.node.request("evm_revert", [snapshot])
    bench.services.node.request("evm_mine", [])
    assert not bench.settle(), "the fork is not even followed yet"
    assert bench.statuses(transfer_id) == ["accepted"]
    bench.index()
    assert not bench.settle(), "the deposit is being sent again"
    assert bench.statuses(transfer_id) == ["accepted"]
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]


def test_money_that_is_gone_for_good__fails_by_name(bench: Bench) -> None:
    """The payer's wallet signed elsewhere: the books have more than the chain, and nothing is under way."""
    payer, other, payee = bench.funded(EUR="10.00"), bench.funded(EUR="10.00"), bench.customer()
    with bench.tampered_books(payer.id, "EUR", 5_000_000):
        short = bench.send(payer, payee, "EUR", "EUR", "15.00")
        fine = bench.send(other, payee, "EUR", "EUR", "10.00")
        bench.run()
        assert bench.statuses(short, fine) == ["failed", "settled"]
        assert "OrderFundsShort" in (bench.transfer(short).failure_detail or "")


def test_chain_slower_than_payments__what_waits_shares_the_next_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.services.settings, "transactions_ahead_max", 2)
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    early = []
    for _ in range(2):
        early.append(bench.send(payer, payee, "EUR", "EUR", "1.00"))
        assert bench.settle()
    late = [bench.send(payer, payee, "EUR", "EUR", "1.00") for _ in range(5)]
    assert not bench.settle(), "two are on their way and not mined"
    assert bench.statuses(*late) == ["accepted"] * 5
    bench.run()
    assert set(bench.statuses(*early, *late)) == {"settled"}
    batches = bench.rows("SELECT count(*) FROM payment_order WHERE batch_id > 0 GROUP BY batch_id ORDER BY batch_id")
    assert [count for (count,) in batches][-3:] == [1, 1, 5]


def test_chain_slower_than_deposits__what_waits_shares_the_next_transactions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.services.settings, "transactions_ahead_max", 1)
    owner = bench.customer()
    before = len(bench.rows("SELECT id FROM chain_tx WHERE kind = 'deposit'"))
    bench.ask_deposits(owner, EUR="1.00")
    assert bench.settle()
    bench.ask_deposits(owner, EUR="2.00")
    bench.ask_deposits(owner, EUR="3.00")
    assert not bench.settle()
    bench.run()
    assert bench.units(owner.id, "EUR") == (6_000_000, 0)
    assert len(bench.rows("SELECT id FROM chain_tx WHERE kind = 'deposit'")) == before + 2


def test_settled_by_a_batch_that_is_not_in_these_books__only_what_waits_is_marked(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    gone, seen, other = [bench.send(payer, payee, "EUR", "EUR", "1.00") for _ in range(3)]
    with bench.database.transaction() as session:
        withdraw_orders(session, [gone])
        settle_placed(session, [gone, seen])
        assert order_statuses(session, [gone, seen, other]) == {gone: "withdrawn", seen: "settled", other: "placed"}
        session.rollback()
