"""py-evm's blocks, transactions and receipts as the JSON objects that a node sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rlp

from chainwallet.chain.blocks import RawObject
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.keccak import keccak


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


def hex_address(data: bytes) -> str:
    return checksum_address(bytes(data))


def _word(number: int) -> str:
    return f"0x{number:064x}"


def raw_block(block: Any, *, full: bool) -> RawObject:
    header = block.header
    return {
        "number": hex(header.block_number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "sha3Uncles": to_hex(header.uncles_hash),
        "miner": to_hex(header.coinbase),
        "stateRoot": to_hex(header.state_root),
        "transactionsRoot": to_hex(header.transaction_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "logsBloom": f"0x{header.bloom:0512x}",
        "difficulty": hex(header.difficulty),
        "totalDifficulty": hex(header.difficulty),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": to_hex(header.extra_data),
        "mixHash": to_hex(header.mix_hash),
        "nonce": to_hex(header.nonce),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": to_hex(header.withdrawals_root),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_hex(header.parent_beacon_block_root),
        "requestsHash": to_hex(header.requests_hash),
        "size": hex(len(rlp.encode(block))),
        "uncles": [],
        "withdrawals": [],
        "transactions": [
            raw_transaction(block, index) if full else to_hex(transaction.hash)
            for index, transaction in enumerate(block.transactions)
        ],
    }


def raw_transaction(block: Any, index: int) -> RawObject:
    transaction = block.transactions[index]
    return {
        "hash": to_hex(transaction.hash),
        "type": hex(getattr(transaction, "type_id", 0)),
        "nonce": hex(transaction.nonce),
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.number),
        "transactionIndex": hex(index),
        "from": hex_address(transaction.sender),
        "to": hex_address(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "input": to_hex(transaction.data),
        "gasPrice": hex(_gas_price(block, transaction)),
        "maxFeePerGas": hex(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        "chainId": hex(transaction.chain_id or 0),
        "accessList": [],
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "v": hex(transaction.y_parity),
        "yParity": hex(transaction.y_parity),
    }


def _gas_price(block: Any, transaction: Any) -> int:
    offered = block.header.base_fee_per_gas + int(transaction.max_priority_fee_per_gas)
    return int(min(transaction.max_fee_per_gas, offered))


def raw_receipts(block: Any, receipts: Sequence[Any]) -> list[RawObject]:
    found: list[RawObject] = []
    log_index = gas_before = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        place = {
            "blockHash": to_hex(block.hash),
            "blockNumber": hex(block.number),
            "transactionHash": to_hex(transaction.hash),
            "transactionIndex": hex(index),
        }
        logs = [_raw_log(log, log_index + offset, place) for offset, log in enumerate(receipt.logs)]
        found.append(
            {
                **place,
                "type": hex(getattr(transaction, "type_id", 0)),
                "status": hex(int.from_bytes(receipt.state_root, "big")),
                "cumulativeGasUsed": hex(receipt.gas_used),
                "gasUsed": hex(receipt.gas_used - gas_before),
                "effectiveGasPrice": hex(_gas_price(block, transaction)),
                "contractAddress": None if transaction.to else _created(transaction),
                "from": hex_address(transaction.sender),
                "to": hex_address(transaction.to) if transaction.to else None,
                "logsBloom": f"0x{receipt.bloom:0512x}",
                "logs": logs,
            }
        )
        log_index += len(logs)
        gas_before = receipt.gas_used
    return found


def _raw_log(log: Any, log_index: int, place: RawObject) -> RawObject:
    return {
        **place,
        "address": to_hex(log.address),
        "topics": [_word(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "logIndex": hex(log_index),
        "removed": False,
    }


def _created(transaction: Any) -> str:
    return checksum_address(keccak(rlp.encode([transaction.sender, transaction.nonce]))[12:])


def topics_match(wanted: Any, topics: list[str]) -> bool:
    for position, choice in enumerate(wanted or ()):
        choices = [choice] if isinstance(choice, str) else choice
        if choices and (position >= len(topics) or topics[position] not in [c.lower() for c in choices]):
            return False
    return True
