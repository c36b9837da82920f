"""The demo: a fresh service, a bank's file of payments through its door, and figures from what it left behind."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chainwallet.adapters.iso20022 import Instruction, read_pain001
from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound
from chainwallet.chain.receipts import verify_receipt
from chainwallet.client import ApiError, Client, Json
from chainwallet.entrypoints.demo.population import Flow, build_population, flows, world_bank_cost_bps
from chainwallet.entrypoints.demo.process import ServiceProcess
from chainwallet.entrypoints.demo.stage import Tell, set_stage
from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.rates import MidMarket
from chainwallet.payments.execution_check import check_execution

RECEIPTS = 20
SEED = 20_260_101
FINAL = ("settled", "failed", "declined", "cancelled", "returned", "rejected")


class DemoStalled(ChainwalletError):
    code = "DEMO_STALLED"
    status = 500


def committed_payments() -> Path:
    """The committed file of 2,000 payments."""
    return Path(str(files("chainwallet.entrypoints.demo") / "data" / "payments.pain.001.001.09.xml"))


@contextmanager
def _progress(console: Console) -> Iterator[Tell]:
    columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield tell


def run_demo(*, payments_file: Path | None, data_dir: Path | None, chain: str | None, console: Console) -> Json:
    """Run the whole demo and return its figures; everything it started is stopped again."""
    began = time.monotonic()
    file = payments_file or committed_payments()
    folder = data_dir or Path(tempfile.mkdtemp(prefix="cw-demo-"))
    try:
        service = ServiceProcess(folder, chain=chain or _best_chain())
        with service, service.client() as client, _progress(console) as tell:
            figures = _run(client, file.read_bytes(), tell)
        figures["seconds"] = round(time.monotonic() - began, 1)
        return figures
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def _best_chain() -> str:
    """anvil where it is installed; otherwise the chain that comes with Python."""
    try:
        find_anvil()
    except AnvilNotFound:
        return "embedded"
    return "anvil"


def _run(client: Client, xml: bytes, tell: Tell) -> Json:
    instructions = read_pain001(xml).instructions
    mids = MidMarket(EcbRates().fixing())
    chain = client.get("/v1/chain")
    set_stage(client, instructions, mids.mid, [one["code"] for one in chain["currencies"]], tell)
    before = client.get("/v1/chain")["transactions"]
    file_id = hand_in(client, xml)
    counts = await_file(client, file_id, tell)
    transfers = [t for t in client.items("/v1/transfers", limit=200) if t["end_to_end_id"] is not None]
    reconciliation = client.get("/v1/reconciliation")
    verified = _verify_receipts(client, transfers, chain["rpc_url"], tell)
    batches = list(client.items("/v1/batches", limit=200))
    return {
        "payments": len(instructions),
        "settled": counts.get("settled", 0),
        "failed": sum(counts.values()) - counts.get("settled", 0),
        **_batch_figures(batches),
        "transactions": client.get("/v1/chain")["transactions"] - before,
        "world_bank_cost_bps": world_bank_cost_bps(_remittances(instructions, mids)),
        "accepted_to_settled_ms": _latencies(transfers),
        "reconciled": reconciliation["status"] == "balanced",
        "receipts_verified": verified,
        "executions_verified": _verify_executions(client, transfers, tell),
        "rates_date": mids.fixing.date.isoformat(),
        "chain": chain["kind"],
        "seconds": 0.0,
        "corridors": _corridors(instructions, transfers, mids),
    }


def _remittances(instructions: Sequence[Instruction], mids: MidMarket) -> list[Flow]:
    """What people sent: the World Bank's figures are about them, not about invoices."""
    people = {one.account for one in build_population().customers if one.type == "individual"}
    sent_by_people = [instruction for instruction in instructions if instruction.debtor_account in people]
    return flows(sent_by_people, mids.mid)


def hand_in(client: Client, xml: bytes) -> str:
    """Hand the file in; its id. If an earlier attempt did arrive although its answer was lost, that one's."""
    try:
        return str(client.upload_payments(xml)["id"])
    except ApiError as error:
        if error.code != "PAYMENT_FILE_DUPLICATE":
            raise
        return str(error.problem["context"]["payment_file_id"])


def await_file(client: Client, file_id: str, tell: Tell, *, stalled_s: float = 120) -> dict[str, int]:
    """Wait until every instruction of a file has ended; how many ended how. DEMO_STALLED if nothing moves."""
    last, moved = -1, time.monotonic()
    while True:
        file = client.get(f"/v1/payment-files/{file_id}")
        counts: dict[str, int] = file["counts"]
        total = file["instructions"]
        ended = sum(counts.get(status, 0) for status in FINAL)
        tell("payments accepted", total - counts.get("pending", 0), total)
        tell("payments settled", counts.get("settled", 0), total)
        if ended == total:
            return counts
        progress = ended * 1_000_000 - counts.get("pending", 0)
        if progress != last:
            last, moved = progress, time.monotonic()
        if time.monotonic() - moved > stalled_s:
            raise DemoStalled(f"Nothing has moved for {stalled_s:.0f} s; the payments stand at {counts}.")
        time.sleep(0.1)


def _verify_receipts(client: Client, transfers: Sequence[Json], rpc_url: str, tell: Tell) -> int:
    settled = [transfer["id"] for transfer in transfers if transfer["status"] == "settled"]
    drawn = random.Random(SEED).sample(sorted(settled), min(RECEIPTS, len(settled)))
    verified = 0
    for number, transfer_id in enumerate(drawn, start=1):
        checks = verify_receipt(client.receipt(transfer_id), rpc_url=rpc_url)
        verified += all(check.passed for check in checks)
        tell("receipts verified", number, len(drawn))
    return verified


def _verify_executions(client: Client, transfers: Sequence[Json], tell: Tell) -> int:
    exchanged = [one["id"] for one in transfers if one["source_amount"]["currency"] != one["target_amount"]["currency"]]
    drawn = random.Random(SEED).sample(sorted(exchanged), min(RECEIPTS, len(exchanged)))
    verified = 0
    for number, transfer_id in enumerate(drawn, start=1):
        verified += all(check.passed for check in check_execution(client.execution(transfer_id)))
        tell("best execution verified", number, len(drawn))
    return verified


def _usd(batches: Sequence[Json], name: str) -> float:
    return float(sum(float(batch["usd"][name]) for batch in batches))


def _batch_figures(batches: Sequence[Json]) -> Json:
    """Costs are what leaves for fees and makers' spread, in basis points of what the payers sent, at mid."""
    settled = [batch for batch in batches if batch["status"] == "settled"]
    payments = sum(batch["payments"] for batch in settled)
    gas = sum(batch["gas_used"] for batch in settled)
    source, target = _usd(settled, "source"), _usd(settled, "target")
    fee, surplus = _usd(settled, "fee"), _usd(settled, "surplus")
    gain = {name: round(_usd(settled, f"gain_{name}"), 2) for name in ("payers", "makers")}
    return {
        "batches": len(settled),
        "gas_total": gas,
        "gas_per_payment": round(gas / max(payments, 1)),
        "cost_bps": round((source - target - surplus + fee) / source * 10_000, 2) if source else 0.0,
        "cost_bps_unnetted": round((source - target) / source * 10_000, 2) if source else 0.0,
        "maker_volume_usd": round(_usd(settled, "maker_volume")),
        "maker_volume_usd_unnetted": round(_usd(settled, "maker_volume_alone")),
        "netting_gain_usd": round(surplus - fee, 2),
        "gain_shared_usd": gain | {"treasury": round(surplus - fee - sum(gain.values()), 2)},
    }


def _latencies(transfers: Sequence[Json]) -> dict[str, int]:
    waits = sorted(_wait_ms(transfer) for transfer in transfers if transfer["status"] == "settled")
    if not waits:
        return {"p50": 0, "p99": 0}
    return {"p50": waits[len(waits) // 2], "p99": waits[min(len(waits) * 99 // 100, len(waits) - 1)]}


def _wait_ms(transfer: Json) -> int:
    at = {step["status"]: datetime.fromisoformat(step["at"]) for step in transfer["timeline"]}
    return round((at["settled"] - at["accepted"]).total_seconds() * 1000)


def _corridors(instructions: Sequence[Instruction], transfers: Sequence[Json], mids: MidMarket) -> list[Json]:
    """The eight corridors with the most payments: what they cost here, and what the World Bank found."""
    by_id = {transfer["end_to_end_id"]: transfer for transfer in transfers}
    grouped: dict[tuple[str, str], list[tuple[Flow, Json]]] = {}
    for instruction, flow in zip(instructions, flows(instructions, mids.mid), strict=True):
        transfer = by_id.get(instruction.end_to_end_id)
        if transfer is not None and flow.sender_country != flow.receiver_country:
            grouped.setdefault(flow.countries, []).append((flow, transfer))
    busiest = sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))[:8]
    return [_corridor(countries, members) for countries, members in busiest]


def _corridor(countries: tuple[str, str], members: Sequence[tuple[Flow, Json]]) -> Json:
    volume = sum(flow.usd_units for flow, _ in members) or 1
    cost = sum(flow.usd_units * float(transfer["cost_bps"]) for flow, transfer in members) / volume
    return {
        "corridor": " to ".join(countries),
        "payments": len(members),
        "volume_usd": round(volume / 1_000_000),
        "cost_bps": round(cost, 1),
        "world_bank_cost_bps": world_bank_cost_bps([flow for flow, _ in members]),
    }


def open_showcase(client: Client, *, console: Console) -> tuple[str, str]:
    """Fill a service with the demo's people and makers and its first 100 payments; a payer's id, a payee's alias."""
    instructions = read_pain001(committed_payments().read_bytes()).instructions
    mids = MidMarket(EcbRates().fixing())
    codes = [one["code"] for one in client.get("/v1/chain")["currencies"]]
    with _progress(console) as tell:
        stage = set_stage(client, instructions, mids.mid, codes, tell)
    customers = build_population().customers
    payer = next(one for one in customers if one.country == "DE" and one.type == "individual")
    payee = next(one for one in customers if one.country == "MX" and one.type == "individual")
    client.deposit(
        stage.ids[payer.alias], {"currency": "EUR", "value": "1000.00"}, idempotency_key="demo-showcase-deposit"
    )
    return stage.ids[payer.alias], payee.alias
