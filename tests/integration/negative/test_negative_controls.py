"""Each defence has a scenario that it survives, and a switch; with the switch off the same check goes red.

The switches exist here only: a defence is taken out by monkeypatching the line that is it, or by dropping its
constraint in a transaction that is rolled back. Nothing in the service can turn one off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from chainwallet.chain.errors import ProofRefused
from chainwallet.chain.proofs import EMPTY_RECEIPTS_ROOT
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.kit.database import Database
from chainwallet.kit.money import Money
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    HoldPart,
    HoldRequest,
    capture_and_post,
    ensure_accounts,
    place_holds,
)
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.deposits import request_deposit
from chainwallet.payments.pricing import PriceRequest
from chainwallet.records.idempotency import Fresh
from chainwallet.settlement import lanes
from chainwallet.settlement.lanes import Call, Fees, TxKind, store_calls

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

GWEI = 10**9
SINK = "0x00000000000000000000000000000000000000AA"


@pytest.fixture
def own(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A service of its own for each scenario: what one breaks is nobody else's."""
    from tests.integration.conftest import open_bench

    with open_bench(postgres, tmp_path_factory.mktemp("negative"), "embedded") as bench:
        yield bench


class Killed(Exception):
    """The process died here: what it had not committed is gone."""


# Stored bytes before send: the process dies after signing, before the commit.


def killed_between_signing_and_commit(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    payer, payee = bench.funded(EUR="20.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "5.00")
    services, known = bench.services, set(bench.breaks())

    def store_and_die(session: Session, *arguments: Any, **named: Any) -> None:
        (tx,) = store_calls(session, *arguments, **named)
        if is_off:
            services.node.send_raw(tx.raw)  # sent before anything is stored
        raise Killed

    with patch.context() as killing:
        killing.setattr("chainwallet.settlement.batches.store_calls", store_and_die)
        with pytest.raises(Killed):
            bench.settle()
    bench.index()
    bench.book()
    assert set(bench.breaks()) <= known, "the chain did what these books never heard of"
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]
    assert len(bench.events_of(transfer_id)) == 1


# Unique constraint: a booker forgets to look whether the entry stands.


def _in_a_transaction_that_never_was(bench: Bench, work: Callable[[Session], None]) -> None:
    class Undo(Exception):
        pass

    with suppress(Undo), bench.database.transaction() as session:
        work(session)
        raise Undo


def _customer_with(session: Session, units: int) -> tuple[int, int]:
    hub, one = AccountKey("hub", "EUR", AccountKind.HUB), AccountKey("cus_negative", "EUR", AccountKind.CUSTOMER)
    ids = ensure_accounts(session, [hub, one])
    if units:
        capture_and_post(session, [EntryDraft("deposit", "first", ((ids[hub], -units), (ids[one], units)))])
    return ids[hub], ids[one]


def _figures(session: Session, account: int) -> tuple[int, int]:
    row = session.connection().exec_driver_sql(
        "SELECT posted_units, held_units FROM account WHERE id = %(id)s", {"id": account}
    )
    posted, held = row.one()
    return int(posted), int(held)


def booked_twice_by_a_booker_that_does_not_look(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    def book_twice(session: Session) -> None:
        hub, customer = _customer_with(session, 0)
        if is_off:
            session.connection().exec_driver_sql("ALTER TABLE journal_entry DROP CONSTRAINT uq_journal_entry_once")
        patch.setattr("chainwallet.ledger.journal.booked_entries", lambda *_: {})
        for _ in range(2):
            try:
                with session.begin_nested():
                    capture_and_post(session, [EntryDraft("deposit", "dep_1", ((hub, -100), (customer, 100)))])
            except IntegrityError:
                continue
        assert _figures(session, customer) == (100, 0), "credited more than once"

    _in_a_transaction_that_never_was(bench, book_twice)


# Guarded balance: the code that decides takes everybody for rich.


def held_by_code_that_decides_wrongly(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    def hold_twice(session: Session) -> None:
        _, customer = _customer_with(session, 100)
        if is_off:
            drop = "ALTER TABLE account DROP CONSTRAINT ck_account_available_not_negative"
            session.connection().exec_driver_sql(drop)
        patch.setattr("chainwallet.ledger.accounts.LockedAccount.available_units", property(lambda _: 10**12))
        for number in range(2):
            try:
                with session.begin_nested():
                    place_holds(session, [HoldRequest(f"hold {number}", (HoldPart(customer, 60),))])
            except IntegrityError:
                continue
        posted, held = _figures(session, customer)
        assert held <= posted, "the same money is promised twice"

    _in_a_transaction_that_never_was(bench, hold_twice)


# Block hash: a node hides a block's events behind an empty bloom and no receipts.


def node_hides_the_events_of_a_block(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    payer, payee = bench.funded(EUR="20.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "5.00")
    bench.settle()
    bench.submit()
    real = bench.services.node.raw_block

    def hiding(block: int | str) -> Any:
        found = real(block)
        return found and {**found, "logsBloom": "0x" + "00" * 256, "receiptsRoot": EMPTY_RECEIPTS_ROOT}

    with patch.context() as lying:
        lying.setattr(bench.services.node, "raw_block", hiding)
        if is_off:
            lying.setattr("chainwallet.chain.indexer.verify_header", lambda _: b"")
            lying.setattr("chainwallet.chain.proofs.verify_header", lambda _: b"")
        try:
            bench.index()
        except ProofRefused:
            assert not is_off
    for _ in range(5):
        bench.index()
        bench.book()
    assert len(bench.events_of(transfer_id)) == 1, "the payment's event was hidden for good"


# Receipts root: a node makes a deposit larger.


def node_alters_an_amount(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    customer = bench.customer()
    with bench.database.transaction() as session:
        money = Money.parse("EUR", "7.00")
        request_deposit(session, customer_id=customer.id, account=customer.address, amount=money)
    bench.settle()
    bench.submit()
    bench.submit()
    real = bench.services.node.raw_receipts
    amount, larger = (money.units).to_bytes(32, "big").hex(), (money.units + 10**6).to_bytes(32, "big").hex()

    def altering(block: int | str) -> Any:
        receipts = real(block)
        for receipt in receipts:
            for log in receipt["logs"]:
                log["data"] = log["data"].replace(amount, larger)
        return receipts

    with patch.context() as lying:
        lying.setattr(bench.services.node, "raw_receipts", altering)
        if is_off:
            lying.setattr("chainwallet.chain.proofs.verify_receipts", lambda *_: None)
        try:
            bench.index()
        except ProofRefused:
            assert not is_off
    bench.run()
    assert bench.units(customer.id, "EUR") == (money.units, 0), "credited what never came"


# Idempotency: the client did not hear the answer and asks again.


def asked_again_after_a_lost_answer(bench: Bench, patch: pytest.MonkeyPatch, is_off: bool) -> None:
    payer, payee = bench.funded(EUR="20.00"), bench.customer()
    if is_off:
        patch.setattr("chainwallet.payments.acceptance.judge", lambda _, claims, _won: [Fresh() for _ in claims])
    services = bench.services
    from tests.integration.conftest import OPERATOR

    for _ in range(2):
        priced = services.pricer.price(PriceRequest("EUR", "EUR", fixed_source=Money.parse("EUR", "5.00")))
        request = TransferRequest(
            priced,
            payer.id,
            PayeeRef(customer_id=payee.id),
            OPERATOR,
            idempotency_key="one-payment",
            body_sha256=b"\x01" * 32,
        )
        services.transfers.submit_wait(request)
    made = bench.rows("SELECT count(*) FROM transfer WHERE payer_id = :id", id=payer.id)
    assert made == [(1,)], "paid twice"


# Nonce lane: two processes take a number at once.


def two_take_a_number_at_once(bench: Bench, _: pytest.MonkeyPatch, is_off: bool) -> None:
    services, gate = bench.services, threading.Barrier(2)

    def without_the_lock(session: Session, calls: Any, *, signer: Any, chain_id: int, fees: Fees) -> Any:
        ask = session.connection().exec_driver_sql
        first = ask("SELECT next_nonce FROM lane WHERE sender = %(s)s", {"s": signer.address}).scalar_one()
        gate.wait(timeout=10)
        ask("UPDATE lane SET next_nonce = %(n)s WHERE sender = %(s)s", {"n": first + len(calls), "s": signer.address})
        rows = [
            lanes._sign(c, signer=signer, chain_id=chain_id, nonce=first + n, fees=fees) for n, c in enumerate(calls)
        ]
        session.add_all(rows)
        session.flush()
        return rows

    store = without_the_lock if is_off else store_calls

    def call(number: int) -> bool:
        one = Call(TxKind.MINT, f"number {number}", SINK, bytes([number]), 60_000)
        try:
            with bench.database.transaction() as session:
                fees = Fees(100 * GWEI, GWEI)
                store(session, [one], signer=services.operator, chain_id=services.node.chain_id, fees=fees)
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        stored = list(pool.map(call, (1, 2)))
    bench.run()
    assert stored == [True, True], "a call lost its number to another"


DEFENCES: dict[str, Callable[[Bench, pytest.MonkeyPatch, bool], None]] = {
    "stored bytes before send": killed_between_signing_and_commit,
    "unique constraint": booked_twice_by_a_booker_that_does_not_look,
    "guarded balance": held_by_code_that_decides_wrongly,
    "block hash check": node_hides_the_events_of_a_block,
    "receipts root check": node_alters_an_amount,
    "idempotency claim": asked_again_after_a_lost_answer,
    "nonce lane lock": two_take_a_number_at_once,
}


@pytest.mark.parametrize("scenario", DEFENCES.values(), ids=DEFENCES)
def test_defence__in_place__its_scenario_passes(
    own: Bench, scenario: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario(own, monkeypatch, False)
    monkeypatch.undo()
    own.run()
    assert own.compare().balanced


@pytest.mark.parametrize("scenario", DEFENCES.values(), ids=DEFENCES)
def test_defence__switched_off__the_same_check_goes_red(
    own: Bench, scenario: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        scenario(own, monkeypatch, True)
