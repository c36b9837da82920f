"""What is broken: PostgreSQL, a node behind a proxy, and N processes of the service, on one machine.

Everything is a child of the harness; a seed decides everything but the scheduler's and the clock's moods.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from eth_account import Account

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.chain.anvil import ManagedAnvil, start_anvil
from chainwallet.entrypoints.cli.deploying import main as deploy
from chainwallet.market.rates import MidMarket
from tests.chaos.checker import CURRENCY_IDS, Chain, Verdict, await_rest, check
from tests.chaos.fleet import Caller, Fleet, Stage
from tests.chaos.postgres import Postgres
from tests.chaos.receiver import Receiver
from tests.chaos.record import Record
from tests.chaos.rpc_proxy import RpcProxy

ROOT = Path(__file__).resolve().parents[2]
PAYERS, PAYEES = 6, 6
FUNDS, MAKER_FUNDS = 1_000_000, 50_000_000  # of each currency
READY_S = 90.0
_AT_WORK = """SELECT pid, state, wait_event_type, wait_event, now() - xact_start AS since, left(query, 120)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"""
_FOLLOWED = "SELECT number, hash FROM chain_block WHERE NOT orphaned ORDER BY number DESC LIMIT 1"
_OPEN_TRANSACTIONS = """SELECT nonce, kind, reference, status, tx_hash, created_at, sent_at FROM chain_tx
WHERE status IN ('signed', 'sent') ORDER BY nonce LIMIT 5"""


@dataclass(slots=True)
class Member:
    """One process of the service. `folder` holds the orders of `crashing`."""

    name: str
    port: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.crashing", "serve", "--port", str(self.port), *self.arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment, "CHAOS_FOLDER": str(self.folder)},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait(10)
            self.child = None

    def stop(self) -> None:
        if self.child is not None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(10)
            self.child = None

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log_tail(self, size: int = 3_000) -> str:
        return (self.folder / "log").read_text(errors="replace")[-size:]


@dataclass(slots=True)
class World:
    """A running whole. Use `open_world`."""

    seed: int
    folder: Path
    postgres: Postgres
    anvil: ManagedAnvil
    proxy: RpcProxy
    members: list[Member]
    key: str
    signer: str
    record: Record
    letters: Record
    receiver: Receiver
    confirmations: int
    hub: str = ""
    stage: Stage | None = None
    recoveries_s: list[float] = field(default_factory=list)
    mining: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def urls(self) -> list[str]:
        """Of the members that serve clients: those without workers, or all where there are none."""
        doors = [member for member in self.members if "--no-workers" in member.arguments]
        return [member.url for member in doors or self.members]

    @property
    def leader(self) -> Member:
        """The first member with workers."""
        return next(member for member in self.members if "--no-workers" not in member.arguments)

    def node_pid(self) -> int:
        """The running node's: its keeper starts a new one when it is killed."""
        import json

        return int(json.loads((self.folder / "chain" / "anvil.run").read_text())["pid"])

    def ask_node(self, method: str, *params: Any) -> Any:
        """The node itself, past the proxy."""
        return Chain(self.anvil.url, self.hub).ask(method, *params)

    def node_answers(self) -> bool:
        try:
            self.ask_node("eth_blockNumber")
        except Exception:  # whatever is wrong with it, it does not answer
            return False
        return True

    def fleet(self, *, clients: int = 4, per_s: float = 40, run: str = "run") -> Fleet:
        assert self.stage is not None
        return Fleet(
            self.urls, self.key, self.record, self.stage, seed=self.seed, clients=clients, per_s=per_s, run=run
        )

    def await_ready(self, members: Sequence[Member] | None = None, *, timeout_s: float = READY_S) -> None:
        end = time.monotonic() + timeout_s
        for member in members if members is not None else self.members:
            while not member.is_ready():
                if time.monotonic() > end:
                    raise RuntimeError(f"{member.name} is not ready: {member.log_tail()}")
                time.sleep(0.02)

    def last_settled(self) -> int:
        """The place in the outbox of the newest settlement; -1 while the database does not answer."""
        try:
            with self.postgres.connect() as database:
                row = database.execute(
                    "SELECT seq FROM outbox_event WHERE type = 'transfer.settled' ORDER BY seq DESC LIMIT 1"
                ).fetchone()
        except Exception:  # whatever is wrong with it, it does not answer
            return -1
        return 0 if row is None else int(row[0])

    def await_recovery(self, since: float, after: int, *, timeout_s: float = 60) -> float:
        """Seconds from `since` (monotonic) to the first transfer settled beyond place `after` of the outbox."""
        while self.last_settled() <= after:
            if time.monotonic() - since > timeout_s:
                raise RuntimeError(
                    f"seed {self.seed}: no transfer settled within {timeout_s:.0f} s of the fault's end\n{self.state()}"
                )
            time.sleep(0.03)
        took = time.monotonic() - since
        self.recoveries_s.append(took)
        return took

    def state(self) -> str:
        """What everyone is at, for whoever has to find out why nothing moves."""
        found = [f"node: {self._told_by_node('eth_blockNumber')}, {self._told_by_node('txpool_status')}"]
        with contextlib.suppress(Exception), self.postgres.connect() as database:
            found.append(f"followed: {database.execute(_FOLLOWED).fetchone()}")
            found += [str(row) for row in database.execute(_AT_WORK).fetchall()]
            found += [str(row) for row in database.execute(_OPEN_TRANSACTIONS).fetchall()]
        for member in self.members:
            if member.child is not None and member.child.poll() is None:
                member.child.send_signal(signal.SIGUSR1)
        time.sleep(1)
        return "\n".join([*found, *(f"{member.name}: {member.log_tail(12_000)}" for member in self.members)])

    def _told_by_node(self, method: str) -> object:
        try:
            return self.ask_node(method)
        except Exception as error:
            return repr(error)

    def verdict(self, *, timeout_s: float = 120) -> Verdict:
        """Let everything come to rest, then compare. Call it when the fleet has stopped and no fault is left."""
        chain = Chain(self.anvil.url, self.hub)
        with self.postgres.connect() as database:
            left = await_rest(database, timeout_s=timeout_s)
            verdict = check(database, chain, self.record.lines(), self.letters.lines())
        verdict.wrong = left + ([self.state()] if left else []) + verdict.wrong
        answer = Caller([self.leader.url], self.key).insist("GET", "/v1/reconciliation")
        verdict.demand(answer["status"] == "balanced", f"the service itself says {answer}")
        return verdict


@contextmanager
def open_world(
    *,
    seed: int,
    confirmations: int = 1,
    members: Sequence[Sequence[str]] = ((),),
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """A world with its stage set. `members`: one process each, with these arguments of `serve`.

    With more than one confirmation blocks are mined without being asked for, as a chain does.
    """
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    anvil = postgres = proxy = receiver = world = None
    try:
        postgres = Postgres()
        postgres.start()
        anvil = start_anvil(folder / "chain")
        upstream = anvil.url
        proxy = RpcProxy(lambda: upstream, seed=seed)
        letters = Record(folder / "letters.jsonl")
        receiver = Receiver(letters, seed=seed)
        world = World(
            seed=seed,
            folder=folder,
            postgres=postgres,
            anvil=anvil,
            proxy=proxy,
            members=[],
            key=f"cw_{secrets.token_urlsafe(32)}",
            signer=f"0x{seed + 2**200:064x}",
            record=Record(folder / "told.jsonl"),
            letters=letters,
            receiver=receiver,
            confirmations=confirmations,
        )
        _deploy(world)
        world.members = _members(world, members, {**(settings or {}), **(environment or {})})
        if confirmations > 1:
            threading.Thread(target=_mine, args=(world,), name="miner", daemon=True).start()
        for member in world.members:
            member.start()
            world.await_ready([member])  # the first one makes the tables
        _set_stage(world)
        yield world
    finally:
        if world is not None:
            world._closing.set()
            for member in world.members:
                with contextlib.suppress(Exception):
                    member.stop()
        for part in (proxy, receiver, anvil, postgres):
            if part is not None:
                part.stop()
        if os.environ.get("CHAOS_KEEP") is None:
            shutil.rmtree(folder, ignore_errors=True)


def _deploy(world: World) -> None:
    """The contracts on the bare node, by the key that settles."""
    address = Account.from_key(world.signer).address
    chain = Chain(world.anvil.url, "")
    chain.ask("anvil_setBalance", address, hex(10_000 * 10**18))
    chain.ask("evm_mine")
    key = world.folder / "deployer.key"
    key.write_text(world.signer)
    command = ["--rpc-url", world.anvil.url, "--broadcast", "--deployments", str(world.folder / "deployments")]
    with contextlib.redirect_stdout(io.StringIO()):
        done = deploy([*command, "--currencies", ",".join(CURRENCY_IDS), "--private-key-file", str(key)])
    if done:
        raise RuntimeError("the contracts were not deployed")


def _members(world: World, arguments: Sequence[Sequence[str]], settings: Mapping[str, str]) -> list[Member]:
    environment = {
        "CHAINWALLET_DATABASE_URL": world.postgres.url,
        "CHAINWALLET_CHAIN_URL": world.proxy.url,
        "CHAINWALLET_DEPLOYMENTS_DIR": str(world.folder / "deployments"),
        "CHAINWALLET_DEPLOYER_KEY": world.signer,
        "CHAINWALLET_OPERATOR_KEY": world.key,
        "CHAINWALLET_DATA_DIR": str(world.folder / "data"),
        "CHAINWALLET_CONFIRMATIONS": str(world.confirmations),
        "CHAINWALLET_WEBHOOKS_TO_LOOPBACK": "true",
        "CHAINWALLET_SETTLE_MARGIN_S": "86400",
        "CHAINWALLET_LOG_LEVEL": "warning",
        "CHAINWALLET_BATCH_LINGER_MS": "400",  # a batch costs the processor more than its payments do at this rate
        "CHAINWALLET_GAIN_CUSTOMERS_BPS": "0",  # the checker adds up what clients were told when they paid
        "CHAINWALLET_GAIN_MAKERS_BPS": "0",
        **settings,
    }
    found = []
    for number, words in enumerate(arguments):
        folder = world.folder / f"member-{number}"
        folder.mkdir()
        found.append(Member(f"member-{number}", _free_port(), tuple(words), environment, folder))
    return found


def _mine(world: World) -> None:
    while not world._closing.wait(0.25):
        with world.mining, contextlib.suppress(Exception):  # the node may be down just now
            world.ask_node("evm_mine")


def _set_stage(world: World) -> None:
    """Customers with money, a maker that quotes every pair, and the receiver subscribed."""
    caller = Caller([world.leader.url], world.key)
    found = caller.insist("POST", "/v1/webhooks", {"url": world.receiver.url}, key="hooks")
    world.receiver.secret = _secret(found["secret"])
    world.hub = caller.insist("GET", "/v1/chain")["hub"]
    people = [
        _customer(caller, f"Customer-{n:03}", "business" if n < PAYERS else "individual")
        for n in range(PAYERS + PAYEES)
    ]
    maker = _customer(caller, "Maker-001", "maker")
    world.record.add("maker", customer=maker)
    for code in CURRENCY_IDS:
        for owner in people[:PAYERS]:
            _deposit(world, caller, owner, code, FUNDS)
        _deposit(world, caller, maker, code, MAKER_FUNDS)
    _quotes(caller, maker)
    end = time.monotonic() + 60
    while any(one["status"] != "settled" for one in caller.insist("GET", "/v1/deposits?limit=200")["items"]):
        if time.monotonic() > end:
            raise RuntimeError(f"deposits do not settle: {world.leader.log_tail()}")
        time.sleep(0.1)
    world.stage = Stage(tuple(people[:PAYERS]), tuple(people[PAYERS:]), tuple(CURRENCY_IDS))
    time.sleep(1.2)  # the node writes its state once a second; what a kill may cost is a second, not the stage


def _secret(text: str) -> bytes:
    import base64

    return base64.b64decode(text.removeprefix("whsec_"))


def _customer(caller: Caller, name: str, kind: str) -> str:
    body = {"type": kind, "full_name": name, "country": "DE"}
    return str(caller.insist("POST", "/v1/customers", body, key=f"stage-{name}")["id"])


def _deposit(world: World, caller: Caller, owner: str, code: str, whole: int) -> None:
    body = {"customer_id": owner, "amount": {"currency": code, "value": f"{whole}.00"}}
    caller.insist("POST", "/v1/deposits", body, key=f"stage-{owner}-{code}")
    world.record.add("deposited", customer=owner, currency=code, units=whole * 10**6)


def _quotes(caller: Caller, maker: str) -> None:
    """Every pair at 20 basis points from mid, ten million each, for a day."""
    mids = MidMarket(EcbRates().fixing())
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for sell in CURRENCY_IDS:
        for buy in CURRENCY_IDS:
            if sell == buy:
                continue
            price = Fraction(mids.mid(sell, buy)) * Fraction(1002, 1000)
            cents = int(Fraction(10_000_000) * price * 100)
            body = {
                "maker_id": maker,
                "sell": {"currency": sell, "value": "10000000.00"},
                "buy": {"currency": buy, "value": f"{cents // 100}.{cents % 100:02}"},
                "expires_at": expires_at,
            }
            caller.insist("POST", "/v1/maker-quotes", body, key=f"stage-{sell}-{buy}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
