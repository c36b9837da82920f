"""Speed beside its ceiling: an empty FastAPI POST and the whole service, in one run on one machine.

Prints a table, and writes the figures as JSON and a plot. Timings of these figures depend on the machine;
the ratios to the ceiling of the same run are what to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httptools
from rich.console import Console
from rich.table import Table

from chainwallet.client import Client
from chainwallet.entrypoints.demo.process import ServiceProcess

CLIENTS = (1, 8, 32, 128)
PAYERS = 200
CEILING = """
from fastapi import FastAPI
from pydantic import BaseModel
class Body(BaseModel):
    name: str
    amount: int
app = FastAPI()
@app.post("/")
async def post(body: Body) -> dict[str, str]:
    return {"name": body.name}
"""
WAYS = {"": "accepted", "at once: ": "accepted_at_once"}
COLUMNS = ("accepted/s", "ratio", "p50 ms", "p99 ms")
console = Console(width=150)


@dataclass(slots=True)
class Load:
    """What one run of a load came to: `done` in `seconds`, each after `latencies_ms`."""

    done: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.latencies_ms) or [0.0]
        return {
            "per_s": round(self.done / self.seconds, 1),
            "p50_ms": round(ordered[len(ordered) // 2], 2),
            "p99_ms": round(ordered[len(ordered) * 99 // 100], 2),
        }


class Connection:
    """A keep-alive HTTP connection that costs the load generator as little as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"Host: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer {key}\r\n"

    async def post(self, path: str, body: dict[str, Any], *, idempotency_key: str = "") -> dict[str, Any]:
        content = json.dumps(body).encode()
        extra = f"Idempotency-Key: {idempotency_key}\r\n" if idempotency_key else ""
        head = f"POST {path} HTTP/1.1\r\n{self._head}{extra}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await self._reader.read(65_536)
            if not data:
                raise ConnectionError("the service closed the connection")
            parser.feed_data(data)
        document = json.loads(answer.body)
        if parser.get_status_code() >= 300:
            raise RuntimeError(f"{parser.get_status_code()}: {document}")
        return dict(document)


class _Answer:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@asynccontextmanager
async def connections(ports: Sequence[int], key: str, count: int) -> AsyncIterator[list[Connection]]:
    streams = [await asyncio.open_connection("127.0.0.1", ports[number % len(ports)]) for number in range(count)]
    try:
        yield [Connection(reader, writer, key) for reader, writer in streams]
    finally:
        for _, writer in streams:
            writer.close()


async def drive(
    ports: int | Sequence[int], key: str, clients: int, seconds: float, act: Callable[[Connection, int], Any]
) -> Load:
    """`clients` at once, each acting again as soon as it is answered, for `seconds`."""
    load = Load()
    async with connections([ports] if isinstance(ports, int) else ports, key, clients) as open_connections:
        began = time.perf_counter()

        async def one(number: int, connection: Connection) -> None:
            turn = number
            while time.perf_counter() - began < seconds:
                started = time.perf_counter()
                await act(connection, turn)
                load.latencies_ms.append((time.perf_counter() - started) * 1000)
                load.done += 1
                turn += clients

        await asyncio.gather(*(one(number, connection) for number, connection in enumerate(open_connections)))
        load.seconds = time.perf_counter() - began
    return load


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure_ceiling(seconds: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="cw-bench-"))
    (folder / "ceiling.py").write_text(CEILING)
    port = free_port()
    options = [
        "--port",
        str(port),
        "--log-level",
        "error",
        "--no-access-log",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    command = [sys.executable, "-m", "uvicorn", "ceiling:app", *options]
    child = subprocess.Popen(command, cwd=folder)
    try:
        _wait_for_port(port)

        async def act(connection: Connection, _: int) -> None:
            await connection.post("/", {"name": "ceiling", "amount": 1})

        asyncio.run(drive(port, "", 8, 0.5, act))
        return {str(n): asyncio.run(drive(port, "", n, seconds, act)).figures() for n in CLIENTS}
    finally:
        child.terminate()
        child.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_port(port: int, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the ceiling's server did not start")


@dataclass(frozen=True, slots=True)
class World:
    """Whom the load's payments are between."""

    payers: Sequence[str]
    payees: Sequence[str]


def build_world(client: Client) -> World:
    """Two makers that quote EUR/USD both ways without end, and payers with money."""

    def customer(kind: str, name: str) -> str:
        return str(client.create_customer(type=kind, full_name=name, country="DE")["id"])

    makers = [customer("maker", f"Maker {n}") for n in range(2)]
    payers = [customer("business", f"Payer {n}") for n in range(PAYERS)]
    payees = [customer("business", f"Payee {n}") for n in range(PAYERS)]
    for maker in makers:
        for code in ("EUR", "USD"):
            client.deposit(maker, {"currency": code, "value": "900000000.00"})
    for payer in payers:
        client.deposit(payer, {"currency": "EUR", "value": "10000000.00"})
    while any(client.get("/v1/deposits", status=s, limit=1)["items"] for s in ("pending", "submitted")):
        time.sleep(0.1)
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for number, maker in enumerate(makers):
        for sell, buy, price in (("USD", "EUR", 0.87), ("EUR", "USD", 1.17)):
            amount = {"currency": buy, "value": f"{400_000_000 * (price + number * 0.001):.2f}"}
            client.maker_quote(
                maker_id=maker, sell={"currency": sell, "value": "400000000.00"}, buy=amount, expires_at=expires_at
            )
    return World(payers, payees)


def payment(world: World, prefix: str) -> Callable[[Connection, int], Any]:
    """One whole payment over REST: ask for a quote, then execute it."""

    async def act(connection: Connection, turn: int) -> None:
        value = f"{10 + turn % 90}.{turn % 100:02d}"
        amount = {"currency": "EUR", "value": value}
        quote = await connection.post(
            "/v1/quotes", {"source_currency": "EUR", "target_currency": "USD", "source_amount": amount}
        )
        body = {
            "quote_id": quote["id"],
            "payer_id": world.payers[turn % PAYERS],
            "payee": {"customer_id": world.payees[turn * 7 % PAYERS]},
        }
        await connection.post("/v1/transfers", body, idempotency_key=f"{prefix}-{turn}")

    return act


def payment_at_once(world: World, prefix: str) -> Callable[[Connection, int], Any]:
    """The same payment, priced and executed in one request, with a limit."""

    async def act(connection: Connection, turn: int) -> None:
        amount = {"currency": "EUR", "value": f"{10 + turn % 90}.{turn % 100:02d}"}
        limit = {"currency": "USD", "value": f"{10 + turn % 90}.00"}
        body = {
            "quote": {
                "source_currency": "EUR",
                "target_currency": "USD",
                "source_amount": amount,
                "limit_amount": limit,
            },
            "payer_id": world.payers[turn % PAYERS],
            "payee": {"customer_id": world.payees[turn * 7 % PAYERS]},
        }
        await connection.post("/v1/transfers", body, idempotency_key=f"{prefix}-{turn}")

    return act


def measure_acceptance(folder: Path, seconds: float) -> dict[str, Any]:
    """Accepted payments per second: durable, signed, held and placed; settlement waits meanwhile."""
    with ServiceProcess(folder / "accept") as service:
        with service.client() as client:
            world = build_world(client)
        service.stop()
        idle = ServiceProcess(folder / "accept", operator_key=service.operator_key, arguments=["--no-workers"])
        with idle:
            asyncio.run(drive(idle.port, idle.operator_key, 8, 2, payment(world, "warm")))
            found: dict[str, Any] = {"accepted": {}, "accepted_at_once": {}}
            for clients in CLIENTS:
                for name, pay in (("accepted", payment), ("accepted_at_once", payment_at_once)):
                    act = pay(world, f"{name}-{clients}")
                    load = asyncio.run(drive(idle.port, idle.operator_key, clients, seconds, act))
                    found[name][str(clients)] = load.figures()
            with ServiceProcess(
                folder / "accept", operator_key=idle.operator_key, arguments=["--no-workers"]
            ) as second:
                act = payment_at_once(world, "two")
                both = asyncio.run(drive([idle.port, second.port], idle.operator_key, 32, seconds, act)).figures()
            found["two_processes"] = both | {
                "to_one": round(both["per_s"] / found["accepted_at_once"]["32"]["per_s"], 3)
            }
            return found


def measure_settlement(folder: Path, seconds: float, clients: int = 32) -> dict[str, Any]:
    """Payments per second from REST to booked and final, with everything running, and the memory it takes."""
    with ServiceProcess(folder / "settle") as service, service.client() as client:
        world = build_world(client)
        asyncio.run(drive(service.port, service.operator_key, 8, 2, payment(world, "warm")))
        _await_quiet(client)
        began = datetime.now(UTC)
        load = asyncio.run(drive(service.port, service.operator_key, clients, seconds, payment(world, "settle")))
        _await_quiet(client)
        steps = []
        for transfer in client.items("/v1/transfers", limit=200):
            at = {step["status"]: datetime.fromisoformat(step["at"]) for step in transfer["timeline"]}
            if at["accepted"] < began:
                break
            steps.append((at["accepted"], at["settled"]))
        waits = sorted((settled - accepted).total_seconds() * 1000 for accepted, settled in steps)
        span = (max(s for _, s in steps) - min(a for a, _ in steps)).total_seconds()
        return {
            "payments": len(steps),
            "accepted_per_s": load.figures()["per_s"],
            "settled_per_s": round(len(steps) / span, 1),
            "accepted_to_settled_ms": {
                "p50": round(waits[len(waits) // 2]),
                "p99": round(waits[len(waits) * 99 // 100]),
            },
            "books": client.get("/v1/reconciliation")["status"],
            "memory_mb": _memory_mb(service.pid),
        }


def measure_memory(folder: Path, transfers: int) -> dict[str, Any]:
    """Memory of the service after many transfers, settled as they come."""
    with ServiceProcess(folder / "memory") as service, service.client() as client:
        world = build_world(client)
        start_mb, done, began = _memory_mb(service.pid), 0, time.monotonic()
        while done < transfers:
            act = payment(world, f"memory-{done}")
            done += asyncio.run(drive(service.port, service.operator_key, 32, 10, act)).done
            console.print(f"[dim]memory: {done} of {transfers} transfers, {_memory_mb(service.pid)} MB[/]")
        _await_quiet(client)
        return {
            "transfers": done,
            "start_mb": start_mb,
            "end_mb": _memory_mb(service.pid),
            "seconds": round(time.monotonic() - began),
        }


def measure_soak(folder: Path, seconds: float) -> dict[str, Any]:
    """How memory grows under steady load, from the end of the first sixth on, and whether the books agree after it."""
    with ServiceProcess(folder / "soak") as service, service.client() as client:
        world, began, readings, done = build_world(client), time.monotonic(), list[tuple[float, int]](), 0
        while (passed := time.monotonic() - began) < seconds * 7 / 6:
            readings.append((passed, _memory_mb(service.pid)))
            act = payment(world, f"soak-{done}")
            done += asyncio.run(drive(service.port, service.operator_key, 8, 10, act)).done
        _await_quiet(client)
        start_mb = next(mb for passed, mb in readings if passed >= seconds / 6)
        return {
            "seconds": round(seconds),
            "transfers": done,
            "start_mb": start_mb,
            "end_mb": _memory_mb(service.pid),
            "growth": round(_memory_mb(service.pid) / start_mb - 1, 4),
            "books": client.get("/v1/reconciliation")["status"],
        }


def _await_quiet(client: Client, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while any(client.get("/v1/transfers", status=s, limit=1)["items"] for s in ("accepted", "submitted")):
        if time.monotonic() > end:
            raise TimeoutError("payments do not settle")
        time.sleep(0.05)


def _memory_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def show(figures: dict[str, Any]) -> None:
    table = Table("clients", "ceiling/s", "p99 ms", *(f"{way}{column}" for way in WAYS for column in COLUMNS))
    for clients in map(str, CLIENTS):
        cells = [figures["ceiling"][clients]["per_s"], figures["ceiling"][clients]["p99_ms"]]
        for name in WAYS.values():
            found = figures[name][clients]
            cells += [found["per_s"], f"{figures[name + '_to_ceiling'][clients]:.3f}", found["p50_ms"], found["p99_ms"]]
        table.add_row(clients, *map(str, cells))
    console.print(table)
    console.print("two processes, at once, 32 clients:", figures["two_processes"])
    console.print("settled end to end:", figures["settled"])
    for name in ("memory", "soak"):
        if name in figures:
            console.print(f"{name}:", figures[name])


def plot(figures: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chart, axis = pyplot.subplots(figsize=(8, 4.5))
    for name, label in (
        ("ceiling", "empty FastAPI POST"),
        ("accepted_at_once", "payments accepted (one request)"),
        ("accepted", "payments accepted (quote, then transfer)"),
    ):
        axis.plot(list(figures[name]), [figures[name][n]["per_s"] for n in figures[name]], marker="o", label=label)
    axis.axhline(figures["settled"]["settled_per_s"], linestyle="--", color="grey", label="payments settled end to end")
    axis.set(xlabel="clients", ylabel="per second", yscale="log", title="chainwallet beside its ceiling")
    axis.legend()
    chart.tight_layout()
    chart.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement")
    parser.add_argument("--memory", type=int, default=0, metavar="TRANSFERS", help="measure memory after so many too")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS", help="measure so long a soak too")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cw-bench-"))
    try:
        figures: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        figures["ceiling"] = measure_ceiling(options.seconds / 2)
        figures |= measure_acceptance(folder, options.seconds)
        for name in ("accepted", "accepted_at_once"):
            figures[f"{name}_to_ceiling"] = {
                n: round(figures[name][n]["per_s"] / figures["ceiling"][n]["per_s"], 3) for n in map(str, CLIENTS)
            }
        figures["settled"] = measure_settlement(folder, options.seconds * 2)
        if options.memory:
            figures["memory"] = measure_memory(folder, options.memory)
        if options.soak:
            figures["soak"] = measure_soak(folder, options.soak)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    if options.plot:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
