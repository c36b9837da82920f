"""Inclusion proofs hold without a node, and break when anything in them is changed."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import pytest
import rlp
from trie.hexary import HexaryTrie

from chainwallet.chain.blocks import Log
from chainwallet.chain.errors import ProofRefused, TransactionNotMined
from chainwallet.chain.node import Node
from chainwallet.chain.proofs import InclusionProof, verify_block, verify_header, verify_inclusion
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import LocalSigner

UNIT = 10**6


@pytest.fixture
def proof(world: Any) -> InclusionProof:
    return verify_inclusion(world.node, world.deposit("EUR", 978, world.operator.address, 5 * UNIT))


def test_verify_inclusion__mined__proof_stands_alone(proof: InclusionProof, world: Any) -> None:
    proof.check()
    assert proof.block == world.node.head()
    assert [event.name for _, event in world.hub.decode_events(proof.logs)] == ["Deposited"]


def _other_log(proof: InclusionProof) -> tuple[Log, ...]:
    return (dataclasses.replace(proof.logs[0], data=bytes(32)), *proof.logs[1:])


def _one_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("part", ["header", "receipt", "nodes", "logs", "tx_index", "block"])
def test_check__one_part_changed__refused(proof: InclusionProof, part: str) -> None:
    changed: dict[str, Any] = {
        "header": _one_bit(proof.header),
        "receipt": _one_bit(proof.receipt),
        "nodes": (),
        "logs": _other_log(proof),
        "tx_index": proof.tx_index + 1,
        "block": dataclasses.replace(proof.block, hash="0x" + "11" * 32),
    }
    with pytest.raises(ProofRefused):
        dataclasses.replace(proof, **{part: changed[part]}).check()


def test_check__node_of_the_trie_changed__refused(proof: InclusionProof) -> None:
    first = rlp.decode(proof.nodes[0])
    first[-1] = b"\x01" + bytes(first[-1])[1:] if isinstance(first[-1], bytes) else b""
    with pytest.raises(ProofRefused):
        dataclasses.replace(proof, nodes=(rlp.encode(first), *proof.nodes[1:])).check()


def test_verify_inclusion__unknown_transaction__not_mined(node: Node) -> None:
    with pytest.raises(TransactionNotMined):
        verify_inclusion(node, "0x" + "77" * 32)


def test_verify_inclusion__orphaned__not_mined(anvil_world: Any) -> None:
    tx_hash = anvil_world.deposit("EUR", 978, anvil_world.operator.address, 5 * UNIT)
    verify_inclusion(anvil_world.node, tx_hash)
    anvil_world.node.request("anvil_reorg", [1, []])
    with pytest.raises(TransactionNotMined):
        verify_inclusion(anvil_world.node, tx_hash)


def test_verify_inclusion__among_many_of_one_block__every_one(anvil: Node, operator: LocalSigner) -> None:
    """Indexes beyond one trie nibble and beyond 127, where their RLP grows a byte."""
    anvil.fund(operator.address)
    anvil.request("evm_setAutomine", [False])
    hashes = []
    for nonce in range(140):
        signed = operator.sign_transaction(
            Transaction(anvil.chain_id, nonce, operator.address, b"", 21_000, 10**11, 10**9)
        )
        anvil.send_raw(signed.raw)
        hashes.append(signed.hash)
    anvil.request("anvil_mine", [])
    assert len(anvil.receipts(anvil.head().hash)) == 140
    for index in (0, 1, 15, 16, 127, 128, 139):
        assert verify_inclusion(anvil, hashes[index]).tx_index == index


def test_verify_block__every_block_of_a_deployment__verified(world: Any) -> None:
    total = 0
    for number in range(world.node.head().number + 1):
        raw = world.node.raw_block(number)
        verify_header(raw)
        total += len(verify_block(world.node, raw))
    assert total >= 7


def test_verify_block__verified_again_and_again__no_trie_of_receipts_stays_in_memory(world: Any) -> None:
    world.deposit("EUR", 978, world.operator.address, 5 * UNIT)
    raw = world.node.raw_block(world.node.head().number)
    before = _tries()
    for _ in range(3):
        assert verify_block(world.node, raw)
    assert _tries() <= before


def _tries() -> int:
    gc.collect()
    return sum(isinstance(found, HexaryTrie) for found in gc.get_objects())
