"""Blocks, receipts and logs as values, read from JSON-RPC's hexadecimal by hand because web3's formatters are slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainwallet.keys.addresses import checksum_address

RawObject = dict[str, Any]
"""A JSON object as a node sends it."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by its header. `timestamp` in Unix seconds; hashes are lower-case hex."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    receipts_root: str
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event as emitted. `topics` and `data` are bytes; `log_index` counts within the block."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a mined transaction did: `status` False means that it reverted and only cost gas."""

    tx_hash: str
    tx_index: int
    block_hash: str
    block_number: int
    status: bool
    gas_used: int
    effective_gas_price_wei: int
    contract_address: str | None
    logs: tuple[Log, ...]


def to_bytes(text: str) -> bytes:
    """The bytes of a 0x-prefixed hex string."""
    return bytes.fromhex(text[2:])


def parse_block(raw: RawObject) -> BlockRef:
    return BlockRef(
        number=int(raw["number"], 16),
        hash=raw["hash"].lower(),
        parent_hash=raw["parentHash"].lower(),
        timestamp=int(raw["timestamp"], 16),
        receipts_root=raw["receiptsRoot"].lower(),
        base_fee_wei=int(raw.get("baseFeePerGas") or "0x0", 16),
    )


def parse_log(raw: RawObject) -> Log:
    return Log(
        address=checksum_address(to_bytes(raw["address"])),
        topics=tuple(to_bytes(topic) for topic in raw["topics"]),
        data=to_bytes(raw["data"]),
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"].lower(),
        tx_hash=raw["transactionHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        log_index=int(raw["logIndex"], 16),
    )


def parse_receipt(raw: RawObject) -> Receipt:
    created = raw.get("contractAddress")
    return Receipt(
        tx_hash=raw["transactionHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        block_hash=raw["blockHash"].lower(),
        block_number=int(raw["blockNumber"], 16),
        status=int(raw["status"], 16) == 1,
        gas_used=int(raw["gasUsed"], 16),
        effective_gas_price_wei=int(raw.get("effectiveGasPrice") or "0x0", 16),
        contract_address=checksum_address(to_bytes(created)) if created else None,
        logs=tuple(parse_log(log) for log in raw["logs"]),
    )
