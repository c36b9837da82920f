"""Booking: each event of the chain once, whatever is repeated, forked away, or strange."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from chainwallet.chain.contracts.currency_token import encode_mint
from chainwallet.chain.contracts.settlement_hub import HubDeposit, encode_deposit, encode_settle
from chainwallet.keys.intents import PaymentOrder
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.payments.receipts import ReceiptNotReady, receipt
from chainwallet.reconciliation.matching import book_events
from chainwallet.settlement.lanes import Call, Fees, TxKind, store_calls

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

    from chainwallet.controls.identity.customers import Customer

GWEI = 10**9
EUR = 978


def send_call(bench: Bench, to: str, data: bytes, kind: TxKind = TxKind.MINT) -> None:
    """A transaction of the operator's that this database knows nothing more of."""
    services = bench.services
    with bench.database.transaction() as session:
        call = Call(kind, "elsewhere", to, data, 1_000_000)
        fees = Fees(100 * GWEI, GWEI)
        store_calls(session, [call], signer=services.operator, chain_id=services.node.chain_id, fees=fees)


def entries(bench: Bench) -> int:
    return int(bench.rows("SELECT count(*) FROM journal_entry")[0][0])


def fills_told(bench: Bench, maker: Customer) -> int:
    told = "SELECT count(*) FROM outbox_event WHERE type = 'maker_quote.filled'"
    return int(bench.rows(f"{told} AND '{maker.id}' = ANY(audience)")[0][0])


def test_events_seen_again__are_booked_once(bench: Bench) -> None:
    maker, _ = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "100.00")
    bench.run()
    assert fills_told(bench, maker) == 1
    before, balances = entries(bench), bench.rows("SELECT id, posted_units, held_units FROM account ORDER BY id")
    bench.rows("UPDATE chain_event SET matched = false RETURNING id")
    with bench.database.transaction() as session:
        booked = book_events(session, up_to_block=10**9, treasury=bench.services.deployment.treasury)
    assert booked is not None
    assert booked.settled_transfers == ()
    assert entries(bench) == before
    assert bench.rows("SELECT id, posted_units, held_units FROM account ORDER BY id") == balances
    assert bench.transfer(transfer_id).status == "settled"
    assert fills_told(bench, maker) == 1, "its maker is told once"
    with bench.database.transaction() as session:
        assert book_events(session, up_to_block=10**9, treasury=bench.services.deployment.treasury) is None


def test_only_final_events_are_booked(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    for step in (bench.settle, bench.submit, bench.index):
        step()
    head = bench.services.node.head().number
    with bench.database.transaction() as session:
        assert book_events(session, up_to_block=head - 1, treasury=bench.services.deployment.treasury) is None, (
            "two confirmations would ask for another block"
        )
    assert bench.statuses(transfer_id) == ["submitted"]


def test_fork_after_booking__one_live_event_and_nothing_booked_twice(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    snapshot = bench.services.node.request("evm_snapshot", [])
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    (first,) = bench.events_of(transfer_id)
    before = entries(bench)
    bench.services.node.request("evm_revert", [snapshot])
    for _ in range(3):
        bench.services.node.request("evm_mine", [])  # another branch, longer than the one that was followed
    bench.index()
    assert bench.events_of(transfer_id) == []
    with bench.database.transaction() as session, pytest.raises(ReceiptNotReady):
        receipt(session, transfer_id, bench.services.domain, operator=bench.services.operator.address)
    assert bench.statuses(transfer_id) == ["settled"], "it was final for all that anyone knew"
    bench.run()
    (again,) = bench.events_of(transfer_id)
    assert again.block_hash != first.block_hash
    assert again.tx_hash == first.tx_hash, "the same bytes"
    assert again.matched
    assert entries(bench) == before
    assert bench.units(payer.id, "EUR") == (90_000_000, 0)
    with bench.database.transaction() as session:
        assert (
            receipt(session, transfer_id, bench.services.domain, operator=bench.services.operator.address)[
                "settlement"
            ]["block_hash"]
            == again.block_hash
        )


def test_fork_before_booking__settles_once(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    snapshot = bench.services.node.request("evm_snapshot", [])
    for step in (bench.settle, bench.submit, bench.index):
        step()
    assert len(bench.events_of(transfer_id)) == 1
    bench.services.node.request("evm_revert", [snapshot])
    bench.services.node.request("evm_mine", [])
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert len(bench.events_of(transfer_id)) == 1
    assert bench.units(payer.id, "EUR") == (90_000_000, 0)


def test_node_that_went_back__lower_than_what_was_followed(bench: Bench) -> None:
    """As after a restart from an older state: the head is lower, and nothing new is on it."""
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    snapshot = bench.services.node.request("evm_snapshot", [])
    transfer_ids = []
    for _ in range(3):
        transfer_ids.append(bench.send(payer, payee, "EUR", "EUR", "10.00"))
        bench.run()
    bench.services.node.request("evm_revert", [snapshot])
    bench.run()
    assert bench.statuses(*transfer_ids) == ["settled"] * 3
    assert [len(bench.events_of(one)) for one in transfer_ids] == [1, 1, 1]
    assert bench.units(payer.id, "EUR") == (70_000_000, 0)


def test_deposit_of_nobody_here__is_booked_to_its_address_once(bench: Bench) -> None:
    """Also when a fork includes it at another place of its block."""
    stranger = LocalSigner("0x" + "5e" * 32).address
    services = bench.services
    snapshot = services.node.request("evm_snapshot", [])
    send_call(bench, services.deployment.tokens["EUR"], encode_mint(services.operator.address, 3_000_000))
    deposits = [HubDeposit(stranger, 1_000_000, bytes(32)), HubDeposit(stranger, 2_000_000, bytes(32))]
    send_call(bench, services.hub.address, encode_deposit(EUR, deposits))
    bench.run()
    assert bench.units(stranger, "EUR") == (3_000_000, 0)
    services.node.request("evm_revert", [snapshot])
    services.node.request("evm_mine", [])
    bench.run()
    bench.rows("UPDATE chain_event SET log_index = log_index + 9999, matched = false WHERE NOT orphaned RETURNING id")
    bench.book()
    assert bench.units(stranger, "EUR") == (3_000_000, 0)
    bench.rows("UPDATE chain_event SET log_index = log_index - 9999 WHERE NOT orphaned RETURNING id")
    assert bench.compare().balanced


@pytest.fixture
def foreign(bench: Bench) -> Iterator[str]:
    """A batch that is on chain and not in this database: its order's hash. Booked away again afterwards."""
    services = bench.services
    payer, payee = LocalSigner("0x" + "7a" * 32), bench.customer()
    payer.pin(services.domain)
    send_call(bench, services.deployment.tokens["EUR"], encode_mint(services.operator.address, 5_000_000))
    send_call(bench, services.hub.address, encode_deposit(EUR, [HubDeposit(payer.address, 5_000_000, bytes(32))]))
    bench.run()
    deadline = unix_seconds(utc_now()) + 600
    nonce = services.hub.position(payer.address, EUR).nonce + 1
    order = PaymentOrder(payer.address, payee.address, EUR, 5_000_000, EUR, 5_000_000, nonce, deadline, bytes(32))
    batch_id = 9_000_000 + bench.services.node.head().number
    data = encode_settle(batch_id, [order], [payer.sign_order(services.domain, order)], [], [], [])
    send_call(bench, services.hub.address, data)
    bench.run()
    yield str(batch_id)
    for owner, units in ((payer.address, -5_000_000), (payee.id, 5_000_000)):
        bench.correct(owner, "EUR", units)


def test_batch_of_nobody_here__opens_breaks_and_books_on(bench: Bench, foreign: str) -> None:
    """As after the database was restored from a backup: the chain knows more. Nothing that comes later is held up."""
    payer, payee = bench.funded(EUR="10.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    kinds = sorted(bench.breaks().values())
    assert kinds == ["unknown_batch", "unknown_payment"]
    assert bench.breaks()[foreign] == "unknown_batch"
    (differs,) = bench.compare().differences
    assert differs.kind == "position_differs", "the books of the payer, whose money left without this database"
