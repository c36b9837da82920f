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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench_load import (
    Connection,
    World,
    build_world,
    drive,
    free_port,
    payment,
    payment_at_once,
)
from chainwallet.client import Client
from chainwallet.entrypoints.demo.process import ServiceProcess

CLIENTS = (1, 8, 32, 128)
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
            few = payment_at_once(World(world.payers[:2], world.payees[:2]), "hot")
            hot = asyncio.run(drive(idle.port, idle.operator_key, 32, seconds, few)).figures()
            found["hot_accounts"] = hot | {"to_many": round(hot["per_s"] / found["accepted_at_once"]["32"]["per_s"], 3)}
            with ServiceProcess(
                folder / "accept", operator_key=idle.operator_key, arguments=["--no-workers"]
            ) as second:
                act = payment_at_once(world, "two")
                both = asyncio.run(drive([idle.port, second.port], idle.operator_key, 32, seconds, act)).figures()
            found["two_processes"] = both | {
                "to_one": round(both["per_s"] / found["accepted_at_once"]["32"]["per_s"], 3)
            }
            return found


def measure_settlement(
    folder: Path, seconds: float, *, apart: bool = False, per_s: float | None = None, clients: int = 32
) -> dict[str, Any]:
    """Payments per second from REST to booked and final, with everything running; at most `per_s` asked for.

    Two requests each to one process; `apart`, one request each, to a process that only serves, beside one that works.
    """
    pay = payment_at_once if apart else payment
    with _settling(Path(tempfile.mkdtemp(dir=folder)), apart=apart) as (service, _, client):
        world = build_world(client)
        asyncio.run(drive(service.port, service.operator_key, 8, 2, pay(world, "warm")))
        _await_quiet(client)
        began = datetime.now(UTC)
        act = pay(world, "settle")
        load = asyncio.run(drive(service.port, service.operator_key, clients, seconds, act, per_s=per_s))
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


@contextmanager
def _settling(folder: Path, *, apart: bool) -> Iterator[tuple[ServiceProcess, ServiceProcess, Client]]:
    """The process that clients talk to, and the one with the workers: another one if they are to be apart."""
    with ServiceProcess(folder) as worker:
        if not apart:
            with worker.client() as client:
                yield worker, worker, client
            return
        with (
            ServiceProcess(folder, operator_key=worker.operator_key, arguments=["--no-workers"]) as door,
            door.client() as client,
        ):
            yield door, worker, client


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
    """Steady load, from the end of the first sixth on: how memory grows, what a payment costs the service's processor
    in the first sixth after it and in the last, and whether the books agree in the end."""
    with ServiceProcess(folder / "soak") as service, service.client() as client:
        world, began, done = build_world(client), time.monotonic(), 0
        readings: list[_Reading] = []
        while not readings or readings[-1].at - began < seconds * 7 / 6:
            act = payment(world, f"soak-{done}")
            done += asyncio.run(drive(service.port, service.operator_key, 8, 10, act)).done
            readings.append(_Reading.now({"service": service.pid}, done))
        _await_quiet(client)
        steady = [reading for reading in readings if reading.at - began >= seconds / 6]
        sixth = max(1, len(steady) // 6)
        start_mb, end_mb = steady[0].memory_mb["service"], _memory_mb(service.pid)
        return {
            "seconds": round(seconds),
            "transfers": done,
            "start_mb": start_mb,
            "end_mb": end_mb,
            "growth": round(end_mb / start_mb - 1, 4),
            "processor_ms_per_payment": {
                "first": steady[sixth].since(steady[0])["processor_ms"]["service"],
                "last": steady[-1].since(steady[-1 - sixth])["processor_ms"]["service"],
            },
            "books": client.get("/v1/reconciliation")["status"],
        }


def measure_history(folder: Path, transfers: int) -> dict[str, Any]:
    """What a payment costs after so many, against after the first hundredth of them: service, workers and PostgreSQL.

    Payments at once, settled by workers in a process of their own, as fast as they go; 32 clients.
    """
    with _settling(folder / "history", apart=True) as (door, worker, client):
        world, done, began = build_world(client), 0, time.monotonic()
        postmaster = int((folder / "history" / "postgres" / "postmaster.pid").read_text().split()[0])
        pids = {"api": door.pid, "workers": worker.pid}
        readings = [_Reading.now(pids, done, postmaster=postmaster)]
        while done < transfers:
            act = payment_at_once(world, f"history-{done}")
            done += asyncio.run(drive(door.port, door.operator_key, 32, 10, act)).done
            _await_quiet(client)
            readings.append(_Reading.now(pids, done, postmaster=postmaster))
            console.print(f"[dim]history: {done} of {transfers}, {readings[-1].since(readings[-2])}[/]")
        books = client.get("/v1/reconciliation")["status"]
    tenth = max(1, len(readings) // 10)
    early = next(n for n, reading in enumerate(readings) if reading.done >= transfers / 100)
    return {
        "transfers": done,
        "seconds": round(time.monotonic() - began),
        "first": readings[min(early + tenth, len(readings) - 1)].since(readings[early]),
        "last": readings[-1].since(readings[-1 - tenth]),
        "books": books,
    }


@dataclass(frozen=True, slots=True)
class _Reading:
    """Processor's seconds and memory of each process, and PostgreSQL's processor's seconds, after so many payments."""

    at: float
    done: int
    processor_s: Mapping[str, float]
    memory_mb: Mapping[str, int]

    @classmethod
    def now(cls, pids: Mapping[str, int], done: int, *, postmaster: int | None = None) -> _Reading:
        times = {name: _processor_s(pid) for name, pid in pids.items()}
        if postmaster is not None:
            times["postgresql"] = _family_processor_s(postmaster)
        return cls(time.monotonic(), done, times, {name: _memory_mb(pid) for name, pid in pids.items()})

    def since(self, earlier: _Reading) -> dict[str, Any]:
        count = max(self.done - earlier.done, 1)
        return {
            "after": earlier.done,
            "settled_per_s": round(count / max(self.at - earlier.at, 1e-9), 1),
            "processor_ms": {
                n: round((s - earlier.processor_s[n]) * 1000 / count, 3) for n, s in self.processor_s.items()
            },
            "memory_mb": dict(self.memory_mb),
        }


def _family_processor_s(pid: int) -> float:
    """Of a process, its children, and those that have ended and been waited for."""
    fields = [int(field) for field in _stat(pid)[11:15]]
    living = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(fields) / os.sysconf("SC_CLK_TCK") + sum(_processor_s(int(child)) for child in living)


def _processor_s(pid: int) -> float:
    return sum(int(field) for field in _stat(pid)[11:13]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/pid/stat from the third on: 11 to 14 are its own and its children's times."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


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
    console.print("two hot accounts, at once, 32 clients:", figures["hot_accounts"])
    console.print("settled end to end:", figures["settled"])
    console.print("settled end to end at 50 a second:", figures["settled_at_50_per_s"])
    console.print("settled end to end, at once, workers in a process of their own:", figures["settled_apart"])
    for name in ("memory", "soak", "history"):
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
    parser.add_argument(
        "--history", type=int, default=0, metavar="TRANSFERS", help="measure the cost after so many too"
    )
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
        figures["settled_at_50_per_s"] = measure_settlement(folder, options.seconds * 2, per_s=50)
        figures["settled_apart"] = measure_settlement(folder, options.seconds * 2, apart=True)
        if options.memory:
            figures["memory"] = measure_memory(folder, options.memory)
        if options.soak:
            figures["soak"] = measure_soak(folder, options.soak)
        if options.history:
            figures["history"] = measure_history(folder, options.history)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    if options.plot:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
