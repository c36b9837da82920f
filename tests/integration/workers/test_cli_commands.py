"""The commands that look at the books and the chain: what they print, and the exit status that scripts rely on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound
from chainwallet.chain.serve import serve
from chainwallet.client import Client
from chainwallet.entrypoints.cli.main import app
from chainwallet.entrypoints.cli.reconciling import reconcile
from chainwallet.entrypoints.demo.process import ServiceProcess
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.kit.database import open_database
from chainwallet.payments.receipts import receipt

if TYPE_CHECKING:
    from tests.integration.conftest import Bench


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture
def receipt_of_a_payment(bench: Bench) -> dict[str, Any]:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.run()
    with bench.database.transaction() as session:
        return receipt(session, transfer_id, bench.services.domain, operator=bench.services.operator.address)


@pytest.fixture
def verify(bench: Bench, tmp_path: Path) -> Iterator[Callable[[Any], tuple[int, str]]]:
    """`chainwallet verify-receipt` of a document, against the chain over HTTP."""
    with serve(bench.services.node._transport) as url:  # type: ignore[arg-type]

        def verify(document: Any) -> tuple[int, str]:
            file = tmp_path / "receipt.json"
            file.write_text(json.dumps(document))
            return run("verify-receipt", str(file), "--rpc-url", url)

        yield verify


def test_verify_receipt__good__exit_0(
    verify: Callable[[Any], tuple[int, str]], receipt_of_a_payment: dict[str, Any]
) -> None:
    code, output = verify(receipt_of_a_payment)
    assert code == 0, output
    assert "NO" not in output


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("transfer", "source_amount", "value"), "11.00"),
        (("transfer", "particulars", "reference"), "something else"),
        (("order", "message", "targetAmount"), "1"),
        (("settlement", "tx_hash"), "0x" + "ab" * 32),
        (("settlement", "log_index"), 9),
        (("order_hash",), "0x" + "cd" * 32),
    ],
)
def test_verify_receipt__tampered__exit_1(
    verify: Callable[[Any], tuple[int, str]], receipt_of_a_payment: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    document = json.loads(json.dumps(receipt_of_a_payment))
    place = document
    for name in path[:-1]:
        place = place[name]
    assert place[path[-1]] != value
    place[path[-1]] = value
    code, output = verify(document)
    assert code == 1
    assert "NO" in output


def test_verify_receipt__no_receipt_or_no_node__exit_1(
    verify: Callable[[Any], tuple[int, str]], receipt_of_a_payment: dict[str, Any], tmp_path: Path
) -> None:
    code, output = verify({"version": 1})
    assert code == 1
    assert "RECEIPT_MALFORMED" in output
    file = tmp_path / "good.json"
    file.write_text(json.dumps(receipt_of_a_payment))
    code, output = run("verify-receipt", str(file), "--rpc-url", "http://127.0.0.1:9")
    assert code == 1
    assert "CHAIN_UNREACHABLE" in output


def test_reconcile__beside_a_running_service__only_compares(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.settle()
    bench.submit()
    service = LeaderLock(bench.database)
    assert service.take()
    before = bench.rows("SELECT count(*) FROM chain_block")
    said: list[str] = []
    comparison = reconcile(bench.services, say=said.append)
    assert comparison.balanced, "as of the block that the service has come to"
    assert "only comparing" in said[-1]
    assert bench.rows("SELECT count(*) FROM chain_block") == before
    assert bench.statuses(transfer_id) == ["submitted"]
    service.release()


def test_reconcile__alone__catches_up_and_lets_the_next_lead(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    bench.settle()
    bench.submit()
    assert reconcile(bench.services, say=lambda _: None).balanced
    assert bench.statuses(transfer_id) == ["settled"]
    service = LeaderLock(bench.database)
    assert service.take()
    service.release()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    try:
        find_anvil()
    except AnvilNotFound:
        pytest.skip("anvil is not installed (npm install)")
    with ServiceProcess(tmp_path / "d") as running:
        yield running


def _paid(client: Client) -> dict[str, Any]:
    """A settled transfer's receipt."""
    payer, payee = (client.create_customer(type="individual", full_name=f"Customer {n}", country="DE") for n in (1, 2))
    amount = {"currency": "EUR", "value": "50.00"}
    deposit_id = client.deposit(payer["id"], amount)["id"]
    until(lambda: client.get(f"/v1/deposits/{deposit_id}")["status"] == "settled", "the deposit settles")
    quote = client.quote(source_currency="EUR", target_currency="EUR", source_amount=amount)
    transfer = client.transfer(quote_id=quote["id"], payer_id=payer["id"], payee={"customer_id": payee["id"]})
    until(lambda: client.get_transfer(transfer["id"])["status"] == "settled", "the transfer settles")
    return client.receipt(transfer["id"])


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)  # another process is waited for


@pytest.mark.slow
def test_commands__with_a_service_on_anvil__beside_it_and_after_it(service: ServiceProcess, tmp_path: Path) -> None:
    with service.client() as client:
        document = _paid(client)
        rpc_url = client.get("/v1/chain")["rpc_url"]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(document))
    assert run("verify-receipt", str(file), "--rpc-url", rpc_url)[0] == 0
    document["transfer"]["target_amount"]["value"] = "49.96"
    file.write_text(json.dumps(document))
    assert run("verify-receipt", str(file), "--rpc-url", rpc_url)[0] == 1
    code, output = run("reconcile", "--data-dir", str(service.data_dir))
    assert code == 0, output
    assert "balanced" in output
    with service.client() as client:
        assert client.get("/v1/reconciliation")["status"] == "balanced", "the service goes on undisturbed"
    service.stop()
    assert run("reconcile", "--data-dir", str(service.data_dir))[0] == 0
    database = open_database(None, data_dir=service.data_dir)
    try:
        with create_engine(database.engine.url).begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            changed = connection.execute(
                text("UPDATE account SET posted_units = posted_units + 1 WHERE kind = 'customer'")
            )
            assert changed.rowcount
    finally:
        database.close()
    code, output = run("reconcile", "--data-dir", str(service.data_dir))
    assert code == 1
    assert "position_differs" in output
