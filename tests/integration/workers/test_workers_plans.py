"""What a payment costs does not grow with the payments before it: tables that grow are read by their indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.integration.conftest import OPERATOR

from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.entrypoints.workers.deliver import deliver_step
from chainwallet.entrypoints.workers.housekeep import purge_step, replaced_step
from chainwallet.entrypoints.workers.ingest import ingest_step, market_step
from chainwallet.kit.money import Money
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.endings import cancel_transfer
from chainwallet.payments.pricing import PriceRequest
from chainwallet.payments.receipts import receipt
from chainwallet.payments.transfers import TransferStatus, list_transfers, settlement_of
from chainwallet.records.outbox import last_position, place, read_after

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

DO_NOT_GROW = {"alembic_version", "lane"}


def test_life_of_payments__reads_no_growing_table_as_a_whole(
    patient_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL may not read a table from end to end where there is any other way; then it counts how often it did."""
    bench = patient_bench
    monkeypatch.setattr(type(bench), "open_work", lambda _: 0)  # the bench's own look, which the service does not take
    _forbid_scans(bench)
    before = _scans(bench)
    _pay_in_every_way(bench)
    _work(bench)
    after = _scans(bench)
    scanned = {table: count - before[table] for table, count in after.items() if count > before[table]}
    assert {table: count for table, count in scanned.items() if table not in DO_NOT_GROW} == {}


def _pay_in_every_way(bench: Bench) -> None:
    bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    settled = bench.send(payer, payee, "EUR", "USD", "10.00")
    quote = bench.services.pricer.price(PriceRequest("EUR", "USD", fixed_target=Money.parse("USD", "11.00")))
    at_once = TransferRequest(
        quote, payer.id, PayeeRef(customer_id=payee.id), OPERATOR, idempotency_key="k" * 20, body_sha256=b"1" * 32
    )
    for _ in range(2):
        bench.services.transfers.submit_wait(at_once)
    cancelled = bench.send(payer, payee, "EUR", "EUR", "1.00")
    with bench.database.transaction() as session:
        cancel_transfer(session, cancelled)
    bench.run()
    with bench.database.transaction() as session:
        receipt(session, settled, bench.services.domain, operator=bench.services.operator.address)
        settlement_of(session, settled)
        for payer_id, customer_id in ((payer.id, None), (None, payer.id), (None, None)):
            for status in (TransferStatus.SETTLED, TransferStatus.ACCEPTED, None):
                list_transfers(
                    session, payer_id=payer_id, bank_or_customer_id=customer_id, status=status, before=None, limit=10
                )


def _work(bench: Bench) -> None:
    for step in (deliver_step, ingest_step, market_step, purge_step, replaced_step):
        step(bench.services)
    with bench.database.transaction() as session:
        place(session)
        read_after(session, last_position(session) - 1, audience=None)


def _forbid_scans(bench: Bench) -> None:
    with bench.database.transaction() as session:
        name = session.execute(text("SELECT current_database()")).scalar_one()
        session.execute(text(f'ALTER DATABASE "{name}" SET enable_seqscan = off'))


def _scans(bench: Bench) -> dict[str, int]:
    """How often each table was read as a whole; backends tell of it when they end."""
    bench.database.engine.dispose()
    bench.database._lazy.dispose()
    return {table: count for table, count in bench.rows("SELECT relname, seq_scan FROM pg_stat_user_tables")}
