"""Batches on a real database and a real chain: drafted, committed, settled, failed, and what may move in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError

from chainwallet.controls.identity.customers import CustomerType
from chainwallet.ledger import AccountKey, AccountKind, HoldPart, HoldRequest, ensure_accounts, place_holds
from chainwallet.market.gain import GainRule
from chainwallet.payments.endings import cancel_transfer
from chainwallet.payments.transfers import TransferStatus, advance
from chainwallet.settlement.batches import (
    BatchStale,
    BatchStatus,
    BatchUnknown,
    Draft,
    commit_batch,
    draft_batch,
    fail_batch,
    find_batch,
    list_batches,
    next_batch_id,
    settle_batch,
)
from chainwallet.settlement.lanes import ChainTx, Fees
from chainwallet.settlement.makers import refuse_quote, use_quotes, withdraw_quote
from chainwallet.settlement.orders import OrderStatus

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

GWEI = 10**9
Exact = Callable[[str, str], int]


def draft(bench: Bench, *, limit: int = 100) -> Draft:
    with bench.database.transaction() as session:
        found = draft_batch(session, bench.services.mids, limit=limit)
    assert found is not None
    return found


def commit(bench: Bench, found: Draft) -> ChainTx:
    services = bench.services
    with bench.database.transaction() as session:
        batch_id = next_batch_id(session)
        tx = commit_batch(
            session,
            found,
            batch_id,
            data=found.encode(batch_id),
            hub=services.hub.address,
            treasury=services.hub.treasury(),
            signer=services.operator,
            chain_id=services.node.chain_id,
            fees=Fees(100 * GWEI, GWEI),
            mids=services.mids,
        )
        advance(session, [order.id for order in found.orders], TransferStatus.SUBMITTED)
        return tx


def test_nothing_placed__no_draft(bench: Bench) -> None:
    with bench.database.transaction() as session:
        assert draft_batch(session, bench.services.mids, limit=10) is None


def test_commit__moves_orders_reservations_and_holds_together(bench: Bench, exact: Exact) -> None:
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    reserved = int(bench.maker_quotes()[offer.id].reserved_units)
    assert reserved > 0
    assert bench.holds(f"{transfer_id}:legs") == {f"{transfer_id}:legs": "open"}
    found = draft(bench)
    tx = commit(bench, found)
    quote = bench.maker_quotes()[offer.id]
    filled = found.clearing.fills[0].sold_units
    assert (int(quote.reserved_units), int(quote.filled_units)) == (0, filled), "reserved becomes filled"
    assert bench.holds(f"{transfer_id}:legs", f"batch:{tx.reference}", transfer_id) == {
        f"{transfer_id}:legs": "released",
        f"batch:{tx.reference}": "open",
        transfer_id: "open",
    }
    assert bench.units(maker.id, "USD")[1] == filled, "the maker's inventory is held for the fill alone"
    assert bench.order(transfer_id).status == OrderStatus.BATCHED
    assert tx.status == "signed"
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert bench.holds(f"batch:{tx.reference}", transfer_id) == {
        f"batch:{tx.reference}": "captured",
        transfer_id: "captured",
    }


def test_cancelled_between_draft_and_commit__stale_and_nothing_changed(bench: Bench) -> None:
    bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    first = bench.send(payer, payee, "EUR", "USD", "40.00")
    second = bench.send(payer, payee, "EUR", "USD", "50.00")
    found = draft(bench)
    with bench.database.transaction() as session:
        cancel_transfer(session, first)
    before = bench.state()
    with pytest.raises(BatchStale):
        commit(bench, found)
    assert bench.state() == before
    bench.run()
    assert bench.statuses(first, second) == ["cancelled", "settled"]


def test_quote_taken_between_draft_and_commit__stale_and_nothing_changed(bench: Bench) -> None:
    better = bench.fund(bench.customer(CustomerType.MAKER), USD="500.00")
    _, (first,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    offer = bench.maker_quote(better, "USD", "500.00", "EUR", "400.00")
    found = draft(bench)
    assert {fill.offer_id for fill in found.clearing.fills} == {offer.id}, "a better quote came after the payment"
    with bench.database.transaction() as session:
        use_quotes(session, reserve={offer.id: int(offer.sell_units)}, fill={})
    before = bench.state()
    with pytest.raises(BatchStale):
        commit(bench, found)
    assert bench.state() == before
    assert {fill.offer_id for fill in draft(bench).clearing.fills} == {first.id}, "its own reservation is still there"
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]


def test_inventory_used_between_draft_and_commit__stale_and_nothing_changed(bench: Bench) -> None:
    better = bench.fund(bench.customer(CustomerType.MAKER), USD="500.00")
    _, (first,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    bench.send(payer, payee, "EUR", "USD", "100.00")
    offer = bench.maker_quote(better, "USD", "500.00", "EUR", "400.00")
    found = draft(bench)
    assert {fill.offer_id for fill in found.clearing.fills} == {offer.id}
    with bench.database.transaction() as session:
        account = ensure_accounts(session, [AccountKey(better.id, "USD", AccountKind.CUSTOMER)])
        part = HoldPart(next(iter(account.values())), 450_000_000)
        place_holds(session, [HoldRequest("test-elsewhere", (part,))])
    before = bench.state()
    with pytest.raises(BatchStale):
        commit(bench, found)
    assert bench.state() == before
    assert first.id in {fill.offer_id for fill in draft(bench).clearing.fills}, "the next draft asks whoever is left"


def test_set_aside__waits_and_keeps_what_is_reserved_for_it(bench: Bench) -> None:
    """What a payment that waits has reserved stays its own, even where another could use it at a better price."""
    dearer = bench.fund(bench.customer(CustomerType.MAKER), USD="1000.00", MXN="3000.00")
    _, (usd, mxn) = bench.maker(("USD", "100.00", "EUR", "90.00"), ("MXN", "1800.00", "USD", "100.00"))
    payer, payee = bench.funded(EUR="500.00"), bench.customer()
    other, receiver = bench.funded(EUR="500.00"), bench.customer()
    waiting = bench.send(payer, payee, "EUR", "MXN", "85.00")
    assert {leg["quote_id"] for leg in bench.order(waiting).legs} == {usd.id, mxn.id}
    dear = bench.maker_quote(dearer, "USD", "1000.00", "EUR", "950.00")
    going = bench.send(other, receiver, "EUR", "USD", "80.00")
    assert dear.id in {leg["quote_id"] for leg in bench.order(going).legs}
    with bench.database.transaction() as session:
        refuse_quote(session, mxn.id, reason="QuoteExpired")  # the only way to MXN is gone
    assert [order.id for order in draft(bench).orders] == [going]
    bench.run()
    assert bench.statuses(waiting, going) == ["accepted", "settled"]
    assert int(bench.maker_quotes()[usd.id].reserved_units) > 0, "still reserved for the one that waits"
    bench.maker_quote(dearer, "MXN", "1800.00", "USD", "99.00")
    bench.run()
    assert bench.statuses(waiting) == ["settled"], "it goes when there is a way again"


def test_withdrawn_quote__still_fills_what_was_reserved_of_it(bench: Bench) -> None:
    _, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    with bench.database.transaction() as session:
        withdraw_quote(session, offer.id)
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]


def test_opposite_payments__net_without_any_fill(bench: Bench, exact: Exact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(bench.services), "gain_rule", GainRule(0, 0))  # shares: test_settlement_shares.py
    bench.maker(("USD", "1000.00", "EUR", "900.00"), ("EUR", "1000.00", "USD", "1200.00"))
    alice, bob = bench.funded(EUR="100.00"), bench.funded(USD="120.00")
    there = bench.pay(alice, bob, bench.quote("EUR", "USD", send="100.00"))
    back = bench.pay(bob, alice, bench.quote("USD", "EUR", send="120.00"))
    treasury = {code: bench.units("treasury", code, AccountKind.TREASURY)[0] for code in ("EUR", "USD")}
    orders = [bench.order(there), bench.order(back)]
    assert draft(bench).clearing.fills == (), "what one brings the other takes"
    bench.run()
    assert bench.statuses(there, back) == ["settled", "settled"]
    for code in ("EUR", "USD"):
        came = sum(int(o.source_units) for o in orders if o.source_currency == code)
        went = sum(int(o.target_units) for o in orders if o.target_currency == code)
        grown = bench.units("treasury", code, AccountKind.TREASURY)[0] - treasury[code]
        assert grown == came - went, "the treasury gets exactly what is left over"
    with bench.database.transaction() as session:
        batch, fills, transfers, _ = find_batch(session, bench.order(there).batch_id or 0)
    assert (fills, sorted(transfers)) == ([], sorted([there, back]))
    assert int(batch.maker_usd_units) == 0


def test_fee_and_surplus__reach_the_treasury_to_the_unit(bench: Bench, exact: Exact) -> None:
    bench.maker(("USD", "1000.00", "EUR", "900.00"))
    before = bench.units("treasury", "EUR", AccountKind.TREASURY)[0]
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    fills = draft(bench).clearing.fills
    bench.run()
    order = bench.order(transfer_id)
    grown = bench.units("treasury", "EUR", AccountKind.TREASURY)[0] - before
    assert grown == int(order.source_units) - sum(fill.bought_units for fill in fills) >= int(order.fee_units)
    assert bench.units(payee.id, "USD") == (int(order.target_units), 0)
    position = bench.services.hub.positions([(bench.services.hub.treasury(), 978)])[0]
    assert position == bench.units("treasury", "EUR", AccountKind.TREASURY)[0]


def test_failed_batch__gives_everything_back_and_the_next_settles(bench: Bench) -> None:
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    tx = commit(bench, draft(bench))
    with bench.database.transaction() as session:
        assert fail_batch(session, int(tx.reference)) == [transfer_id]
        advance(session, [transfer_id], TransferStatus.ACCEPTED)
        assert fail_batch(session, int(tx.reference)) == [], "twice changes nothing"
        assert not settle_batch(session, int(tx.reference)), "what was given up is not settled"
    quote = bench.maker_quotes()[offer.id]
    assert (int(quote.reserved_units), int(quote.filled_units)) == (0, 0)
    assert bench.units(maker.id, "USD") == (1_000_000_000, 0)
    assert bench.order(transfer_id).status == OrderStatus.PLACED
    assert bench.units(payer.id, "EUR") == (100_000_000, 100_000_000), "the payer's money stays held for the next batch"
    _send_instead(bench, tx)
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    with bench.database.transaction() as session:
        statuses = {batch.id: batch.status for batch, _ in list_batches(session, before=None, limit=10)}
    assert statuses[int(tx.reference)] == BatchStatus.FAILED


def _send_instead(bench: Bench, tx: ChainTx) -> None:
    """Take the abandoned transaction's nonce with an empty one."""
    from chainwallet.settlement.lanes import TxKind, replace

    services = bench.services
    with bench.database.transaction() as session:
        live = session.get_one(ChainTx, tx.id)
        live.kind = TxKind.FILLER
        assert live.id is not None
        replace(
            session, live.id, signer=services.operator, chain_id=services.node.chain_id, fees=Fees(200 * GWEI, 2 * GWEI)
        )


def test_unknown_batch__is_said_by_name(bench: Bench) -> None:
    with bench.database.transaction() as session:
        assert not settle_batch(session, 10**12)
        with pytest.raises(BatchUnknown):
            find_batch(session, 10**12)


def test_one_draft__committed_twice__is_one_batch(bench: Bench) -> None:
    """As when two processes believe that they lead: the orders are in one live batch."""
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    one, other = draft(bench), draft(bench)
    commit(bench, one)
    before = bench.state()
    with pytest.raises(BatchStale):
        commit(bench, other)
    assert bench.state() == before
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]


def test_quote__never_promised_beyond_what_was_signed(bench: Bench) -> None:
    """The database's own guard, should everything before it be wrong."""
    _, (offer,) = bench.maker(("USD", "10.00", "EUR", "9.00"))
    for reserve, fill in ((10_000_001, 0), (0, 10_000_001), (5_000_000, 5_000_001), (-1, 0), (0, -1)):
        with pytest.raises(IntegrityError), bench.database.transaction() as session:
            session.connection().exec_driver_sql(
                "UPDATE maker_quote SET reserved_units = %(reserve)s, filled_units = %(fill)s WHERE id = %(id)s",
                {"reserve": reserve, "fill": fill, "id": offer.id},
            )
    with bench.database.transaction() as session:
        assert use_quotes(session, reserve={offer.id: 10_000_001}, fill={}) == frozenset(), "and the guard before it"
    quote = bench.maker_quotes()[offer.id]
    assert (int(quote.reserved_units), int(quote.filled_units)) == (0, 0)


def test_committing_and_accepting_at_once__never_deadlock(bench: Bench) -> None:
    """One order of locks: batches take their makers' accounts together, as acceptance does."""
    makers = [bench.maker(("USD", "1000.00", "EUR", f"9{n}0.00"), ("JPY", "100000", "EUR", "600.00")) for n in range(3)]
    assert makers
    payer, payee = bench.funded(EUR="500.00"), bench.customer()
    errors: list[BaseException] = []

    def accept() -> None:
        for number in range(15):
            bench.send(payer, payee, "EUR", ("USD", "JPY")[number % 2], "5.00")

    def settle() -> None:
        for _ in range(15):
            bench.settle()

    def watched(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=watched, args=(work,)) for work in (accept, settle)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    bench.run()
    assert set(bench.rows("SELECT status FROM transfer WHERE payer_id = :id", id=payer.id)) == {("settled",)}
