"""What a node says, checked against itself: headers hash to block hashes, receipts to the header's receiptsRoot.

A node that flips a status or alters an amount is caught here. One that invents a whole header is not: that takes a
second node or a look at the chain's consensus, and nothing here claims otherwise.
Formats: Ethereum Yellow Paper section 4.3, EIP-2718 (typed receipts), EIP-1559, 4895, 4844, 4788 and 7685 (fields).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rlp
from trie.exceptions import BadTrieProof
from trie.hexary import HexaryTrie

from chainwallet.chain.blocks import (
    BlockRef,
    Log,
    RawObject,
    Receipt,
    parse_block,
    parse_log,
    parse_receipt,
    to_bytes,
)
from chainwallet.chain.errors import ProofRefused, TransactionNotMined
from chainwallet.chain.node import Node
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.keccak import keccak

# A header's fields in the order of their encoding. Later forks append; a header ends where its fork does.
_BYTES, _NUMBER = "bytes", "number"
_HEADER = (
    ("parentHash", _BYTES),
    ("sha3Uncles", _BYTES),
    ("miner", _BYTES),
    ("stateRoot", _BYTES),
    ("transactionsRoot", _BYTES),
    ("receiptsRoot", _BYTES),
    ("logsBloom", _BYTES),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _BYTES),
    ("mixHash", _BYTES),
    ("nonce", _BYTES),
)
_LATER = (
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", _BYTES),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", _BYTES),
    ("requestsHash", _BYTES),
)
_RECEIPTS_ROOT = 5
EMPTY_RECEIPTS_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A transaction's receipt with everything that ties it to a block hash; `check` needs no node."""

    tx_hash: str
    tx_index: int
    block: BlockRef
    header: bytes
    receipt: bytes
    nodes: tuple[bytes, ...]
    logs: tuple[Log, ...]

    def check(self) -> None:
        """ProofRefused unless the receipt hashes, through `nodes`, into the header, and the header to the block."""
        if "0x" + keccak(self.header).hex() != self.block.hash:
            raise ProofRefused(f"The header does not hash to block {self.block.hash}.")
        fields = rlp.decode(self.header)
        try:
            trie_nodes = [rlp.decode(node) for node in self.nodes]
            found = HexaryTrie.get_from_proof(fields[_RECEIPTS_ROOT], rlp.encode(self.tx_index), trie_nodes)
        except BadTrieProof as error:
            raise ProofRefused(f"The proof of transaction {self.tx_hash} has a gap: {error}") from None
        if found != self.receipt:
            raise ProofRefused(f"The receipt of {self.tx_hash} is not in block {self.block.hash}.")
        if _logs_of(self.receipt) != [(log.address, log.topics, log.data) for log in self.logs]:
            raise ProofRefused(f"The logs shown for {self.tx_hash} are not those of its receipt.")


def verify_header(raw: RawObject) -> bytes:
    """The header's RLP, after checking that it hashes to the block hash; ProofRefused otherwise."""
    header = _encode_header(raw)
    if "0x" + keccak(header).hex() != raw["hash"].lower():
        raise ProofRefused(f"The header of block {int(raw['number'], 16)} does not hash to {raw['hash']}.")
    return header


def verify_receipts(raw_block: RawObject, raw_receipts: Sequence[RawObject]) -> HexaryTrie:
    """The trie of a block's receipts, after checking its root against the header; ProofRefused otherwise."""
    trie = HexaryTrie({})  # not pruned: pruning caches nodes of every trie there ever was, and the tries with them
    for index, receipt in enumerate(raw_receipts):
        trie[rlp.encode(index)] = encode_receipt(receipt)
    if "0x" + trie.root_hash.hex() != raw_block["receiptsRoot"].lower():
        raise ProofRefused(
            f"The receipts of block {int(raw_block['number'], 16)} do not hash to its receiptsRoot: the node leaves "
            "something out or alters it. Nothing of this block is believed."
        )
    _check_places(raw_block, raw_receipts)
    return trie


def verify_block(node: Node, raw_block: RawObject) -> list[RawObject]:
    """The receipts of a block whose header was fetched, header and receipts verified."""
    verify_header(raw_block)
    if raw_block["receiptsRoot"].lower() == EMPTY_RECEIPTS_ROOT:
        return []
    receipts = node.raw_receipts(raw_block["hash"])
    verify_receipts(raw_block, receipts)
    return receipts


def verify_inclusion(node: Node, tx_hash: str) -> InclusionProof:
    """Prove from the node's own data that a transaction is mined and what it emitted.

    Raises TransactionNotMined if the chain does not have it, ProofRefused if the node contradicts itself.
    """
    told = node.raw_receipt(tx_hash)
    raw_block = node.raw_block(told["blockHash"]) if told is not None else None
    if told is None or raw_block is None:
        raise TransactionNotMined(f"The chain has no mined transaction {tx_hash}.")
    receipts = node.raw_receipts(raw_block["hash"])
    header, trie = verify_header(raw_block), verify_receipts(raw_block, receipts)
    index = _index_of(tx_hash, raw_block, receipts)
    canonical = node.block(int(raw_block["number"], 16))
    if canonical is None or canonical.hash != raw_block["hash"].lower():
        raise TransactionNotMined(f"Block {raw_block['hash']} of transaction {tx_hash} is not on the chain any more.")
    proof = InclusionProof(
        tx_hash=tx_hash.lower(),
        tx_index=index,
        block=parse_block(raw_block),
        header=header,
        receipt=encode_receipt(receipts[index]),
        nodes=tuple(rlp.encode(node_) for node_ in trie.get_proof(rlp.encode(index))),
        logs=tuple(parse_log(log) for log in receipts[index]["logs"]),
    )
    proof.check()
    return proof


def proven_receipt(node: Node, tx_hash: str) -> Receipt | None:
    """The receipt of a mined transaction, as its block's header proves it; None where the node has none.

    ProofRefused if the node says of it what its block does not. Whether the block is on the chain is asked elsewhere.
    """
    told = node.raw_receipt(tx_hash)
    raw_block = node.raw_block(told["blockHash"]) if told is not None else None
    if told is None or raw_block is None:
        return None
    if raw_block["hash"].lower() != told["blockHash"].lower():
        raise ProofRefused(f"The node was asked for block {told['blockHash']} and shows {raw_block['hash']}.")
    receipts = verify_block(node, raw_block)
    return parse_receipt(receipts[_index_of(tx_hash, raw_block, receipts)])


def proven_nonce(node: Node, address: str, block_hash: str) -> int:
    """How many transactions the address had sent after this block, proven from its state root (EIP-1186).

    ProofRefused if the node contradicts itself, RpcRefused if it keeps no proofs of that block.
    """
    raw = node.raw_block(block_hash)
    if raw is None or raw["hash"].lower() != block_hash.lower():
        raise ProofRefused(f"The node does not show block {block_hash}.")
    verify_header(raw)
    proof = node.request("eth_getProof", [address, [], raw["number"]])["accountProof"]
    try:
        trie_nodes = [rlp.decode(to_bytes(one)) for one in proof]
        account = HexaryTrie.get_from_proof(to_bytes(raw["stateRoot"]), keccak(to_bytes(address)), trie_nodes)
    except BadTrieProof as error:
        raise ProofRefused(f"The proof of account {address} has a gap: {error}") from None
    return int.from_bytes(rlp.decode(account)[0], "big") if account else 0


def encode_receipt(raw: RawObject) -> bytes:
    """A receipt as it is hashed: its type byte (none for legacy) before the RLP of status, gas, bloom and logs."""
    status, gas = int(raw["status"], 16), int(raw["cumulativeGasUsed"], 16)
    logs = [
        [to_bytes(log["address"]), [to_bytes(t) for t in log["topics"]], to_bytes(log["data"])] for log in raw["logs"]
    ]
    kind = int(raw.get("type") or "0x0", 16)
    body: bytes = rlp.encode([status, gas, to_bytes(raw["logsBloom"]), logs])
    return bytes([kind]) + body if kind else body


def _encode_header(raw: RawObject) -> bytes:
    fields = list(_HEADER)
    for field in _LATER:
        if raw.get(field[0]) is None:
            break
        fields.append(field)
    encoded: bytes = rlp.encode([_field(raw[name], kind) for name, kind in fields])
    return encoded


def _field(text: str, kind: str) -> bytes | int:
    return to_bytes(text) if kind == _BYTES else int(text, 16)


def _check_places(raw_block: RawObject, raw_receipts: Sequence[RawObject]) -> None:
    """The trie covers what receipts say but not where: indexes and hashes beside them must agree with it."""
    transactions = [tx if isinstance(tx, str) else tx["hash"] for tx in raw_block["transactions"]]
    log_index = 0
    for index, receipt in enumerate(raw_receipts):
        placed = [receipt, *receipt["logs"]]
        right = (
            index < len(transactions)
            and all(item["blockHash"] == raw_block["hash"] for item in placed)
            and all(int(item["blockNumber"], 16) == int(raw_block["number"], 16) for item in placed)
            and all(item["transactionHash"] == transactions[index] for item in placed)
            and all(int(item["transactionIndex"], 16) == index for item in placed)
            and [int(log["logIndex"], 16) for log in receipt["logs"]]
            == list(range(log_index, log_index + len(receipt["logs"])))
        )
        if not right:
            raise ProofRefused(f"Receipt {index} of block {raw_block['hash']} claims another place than it has.")
        log_index += len(receipt["logs"])


def _index_of(tx_hash: str, raw_block: RawObject, receipts: Sequence[RawObject]) -> int:
    for index, receipt in enumerate(receipts):
        if receipt["transactionHash"].lower() == tx_hash.lower():
            return index
    raise ProofRefused(f"Block {raw_block['hash']} does not hold the transaction {tx_hash} that the node puts there.")


def _logs_of(receipt: bytes) -> list[tuple[str, tuple[bytes, ...], bytes]]:
    _, _, _, logs = rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
    return [(checksum_address(bytes(address)), tuple(topics), data) for address, topics, data in logs]
