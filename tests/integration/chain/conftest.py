"""Real chains, and a database with this room's tables only (so that these tests need no other room)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from chainwallet.chain.contracts.currency_token import encode_mint
from chainwallet.chain.contracts.settlement_hub import Fill, HubDeposit, SettlementHub, encode_deposit, encode_settle
from chainwallet.chain.deployer import deploy
from chainwallet.chain.deployment import Deployment
from chainwallet.chain.identity import ChainIdentity
from chainwallet.chain.indexer import ChainBlock, ChainEvent
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.outcome import Accepted
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, Transaction
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.database import Database, open_database

GWEI = 10**9
TABLES = [model.__table__ for model in (ChainIdentity, ChainBlock, ChainEvent)]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        database = open_database(None, data_dir=Path(folder))
        SQLModel.metadata.create_all(database.engine, tables=TABLES)
        yield database
        database.close()


@pytest.fixture
def database(postgres: Database) -> Database:
    with postgres.transaction() as session:
        names = ", ".join(table.name for table in TABLES)
        session.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return postgres


@pytest.fixture(params=["anvil", "embedded"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A fresh chain of each kind we manage."""
    opened = open_node(request.param, data_dir=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Node]:
    opened = open_node("anvil", data_dir=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Node]:
    opened = open_node("embedded", data_dir=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def operator() -> LocalSigner:
    return LocalSigner("0x" + "11" * 32)


@dataclass(slots=True)
class World:
    """A deployed system on one chain, and what tests do with it."""

    node: Node
    operator: LocalSigner
    deployment: Deployment
    hub: SettlementHub
    domain: Domain

    def send(self, to: str, data: bytes, *, gas: int = 2_000_000) -> str:
        """Send a call of the operator's and wait until it is mined; the transaction's hash."""
        nonce = self.node.nonce(self.operator.address)
        signed = self.operator.sign_transaction(Transaction(self.node.chain_id, nonce, to, data, gas, 100 * GWEI, GWEI))
        assert self.node.send_raw(signed.raw) == Accepted(signed.hash)
        return self.mined(signed.hash)

    def mined(self, tx_hash: str) -> str:
        deadline = time.monotonic() + 10
        while self.node.receipt(tx_hash) is None:
            assert time.monotonic() < deadline, f"{tx_hash} is not mined"
            time.sleep(0.002)
        return tx_hash

    def deposit(self, code: str, currency_id: int, account: str, units: int) -> str:
        """Mint and deposit; the deposit's transaction hash."""
        self.send(self.deployment.tokens[code], encode_mint(self.operator.address, units))
        deposits = [HubDeposit(account, units, units.to_bytes(32, "big"))]
        return self.send(self.hub.address, encode_deposit(currency_id, deposits))

    def settle(
        self, batch_id: int, orders: list[tuple[PaymentOrder, bytes]], quote: tuple[MakerQuote, bytes], sold: int
    ) -> bytes:
        """The call data of a batch of signed orders filled from one signed quote."""
        return encode_settle(
            batch_id,
            [order for order, _ in orders],
            [signature for _, signature in orders],
            [quote[0]],
            [quote[1]],
            [Fill(0, sold)],
        )


@pytest.fixture
def make_world(operator: LocalSigner, tmp_path: Path) -> Callable[[Node], World]:
    def make(node: Node) -> World:
        node.fund(operator.address)
        deployment = deploy(node, operator, currencies=["EUR", "USD"], folder=tmp_path / "deployments", broadcast=True)
        domain = Domain(node.chain_id, deployment.hub)
        operator.pin(domain)
        return World(node, operator, deployment, SettlementHub(node, deployment.hub), domain)

    return make


@pytest.fixture
def world(node: Node, make_world: Callable[[Node], World]) -> World:
    return make_world(node)


@pytest.fixture
def anvil_world(anvil: Node, make_world: Callable[[Node], World]) -> World:
    return make_world(anvil)
