"""The database knows its chain, and refuses every other one behind the same URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from chainwallet.chain.errors import ChainIdentityMismatch
from chainwallet.chain.identity import ChainIdentity, pin
from chainwallet.chain.node import open_node
from chainwallet.kit.database import Database

HUB = "0x73b647cbA2FE75Ba05B8e12ef8F8D6327D6367bF"
OTHER = "0x0000000000000000000000000000000000000001"


def test_pin__first_and_again__one_row(database: Database, node: Any) -> None:
    for _ in range(2):
        with database.transaction() as session:
            pin(session, node, HUB)
    with database.transaction() as session:
        row = session.exec(select(ChainIdentity)).one()
    assert (row.chain_id, row.genesis_hash, row.hub) == (node.chain_id, node.genesis_hash, HUB)


def test_pin__another_chain_with_the_same_id__refused_with_what_to_do(
    database: Database, anvil: Any, tmp_path: Path
) -> None:
    with database.transaction() as session:
        pin(session, anvil, HUB)
    impostor = open_node("anvil", data_dir=tmp_path / "other")
    try:
        assert impostor.chain_id == anvil.chain_id
        with pytest.raises(ChainIdentityMismatch, match="CHAINWALLET_CHAIN_URL") as caught, database.transaction() as s:
            pin(s, impostor, HUB)
        assert caught.value.context == {
            "what": "genesis block",
            "expected": anvil.genesis_hash,
            "found": impostor.genesis_hash,
        }
    finally:
        impostor.close()


def test_pin__another_chain_id_or_hub__refused(database: Database, anvil: Any, embedded: Any) -> None:
    with database.transaction() as session:
        pin(session, anvil, HUB)
    for node, hub, what in ((embedded, HUB, "chain id"), (anvil, OTHER, "settlement hub")):
        with pytest.raises(ChainIdentityMismatch) as caught, database.transaction() as session:
            pin(session, node, hub)
        assert caught.value.context["what"] == what
