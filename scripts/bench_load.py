"""The load that `make bench` puts on a service: connections that cost little, and whole payments over REST."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httptools

from chainwallet.client import Client

PAYERS = 200


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
    ports: int | Sequence[int],
    key: str,
    clients: int,
    seconds: float,
    act: Callable[[Connection, int], Any],
    *,
    per_s: float | None = None,
) -> Load:
    """`clients` at once, each acting again as soon as it is answered, for `seconds`; `per_s` times a second at most."""
    load = Load()
    async with connections([ports] if isinstance(ports, int) else ports, key, clients) as open_connections:
        began = time.perf_counter()

        async def one(number: int, connection: Connection) -> None:
            turn = number
            while time.perf_counter() - began < seconds:
                if per_s is not None:
                    await asyncio.sleep(max(0.0, began + turn / per_s - time.perf_counter()))
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
            "payer_id": world.payers[turn % len(world.payers)],
            "payee": {"customer_id": world.payees[turn * 7 % len(world.payees)]},
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
            "payer_id": world.payers[turn % len(world.payers)],
            "payee": {"customer_id": world.payees[turn * 7 % len(world.payees)]},
        }
        await connection.post("/v1/transfers", body, idempotency_key=f"{prefix}-{turn}")

    return act
