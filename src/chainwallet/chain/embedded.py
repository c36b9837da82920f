"""The embedded chain: eth-tester's py-evm at Prague in this process, spoken to in JSON-RPC like any node.

Reads go to py-evm itself: eth-tester's own look transactions up by walking all blocks, count a log's index within its
transaction, and leave out what a proof needs. Every transaction is mined in its own block at once. In memory only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

import rlp
from eth.exceptions import HeaderNotFound, Revert, TransactionNotFound
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_tester import PyEVMBackend
from eth_utils.exceptions import ValidationError

from chainwallet.chain.blocks import RawObject, to_bytes
from chainwallet.chain.embedded_shapes import (
    hex_address,
    raw_block,
    raw_receipts,
    raw_transaction,
    to_hex,
    topics_match,
)
from chainwallet.chain.errors import RpcRefused
from chainwallet.chain.transport import Request

GAS_LIMIT = 60_000_000
TIP_WEI = 10**9
CALL_GAS = 50_000_000
_METHOD_NOT_FOUND, _REVERTED = -32601, 3


class _VirtualMachine(PragueVM):
    """Prague, except that blocks may share a second, as anvil's do: otherwise a burst would outrun the clock."""

    @classmethod
    def validate_header(cls, header: Any, parent_header: Any) -> None:
        if header.timestamp == parent_header.timestamp:
            parent_header = parent_header.copy(timestamp=parent_header.timestamp - 1)
        super().validate_header(header, parent_header)


class EmbeddedChain:
    """A `Transport` that is a chain itself. One thread at a time runs in it; the others wait."""

    def __init__(self) -> None:
        # Random extra data gives each chain a genesis hash of its own, which is how a database knows its chain.
        parameters = PyEVMBackend.generate_genesis_params({"gas_limit": GAS_LIMIT, "extra_data": os.urandom(32)})
        self._backend = PyEVMBackend(genesis_parameters=parameters, vm_configuration=((0, _VirtualMachine),))
        self._snapshots: list[bytes] = []
        self._lock = RLock()
        self._ahead_s = 0
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "chainwallet-embedded/py-evm",
            "net_version": lambda: str(self._chain.chain_id),
            "eth_chainId": lambda: hex(self._chain.chain_id),
            "eth_blockNumber": lambda: hex(self._latest().number),
            "eth_syncing": lambda: False,
            "eth_accounts": lambda: [hex_address(account) for account in self._backend.get_accounts()],
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionReceipt": self._transaction_receipt,
            "eth_getTransactionByHash": self._transaction,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate_gas,
            "eth_sendRawTransaction": self._send_raw,
            "eth_getTransactionCount": lambda who, tag="latest": hex(self._state(tag).get_nonce(to_bytes(who))),
            "eth_getBalance": lambda who, tag="latest": hex(self._state(tag).get_balance(to_bytes(who))),
            "eth_getCode": lambda who, tag="latest": "0x" + self._state(tag).get_code(to_bytes(who)).hex(),
            "eth_gasPrice": lambda: hex(self._latest().header.base_fee_per_gas + TIP_WEI),
            "eth_maxPriorityFeePerGas": lambda: hex(TIP_WEI),
            "evm_snapshot": self._snapshot,
            "evm_revert": self._revert,
            "evm_mine": self._mine,
            "evm_increaseTime": self._increase_time,
            "anvil_setBalance": self._set_balance,
        }

    @property
    def _chain(self) -> Any:
        return self._backend.chain  # replaced when a snapshot is reverted to

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:  # noqa: ARG002
        """The result of one of the methods above; RpcRefused otherwise."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcRefused(f"The embedded chain has no {method}.", rpc_code=_METHOD_NOT_FOUND, method=method)
        with self._lock:
            return handler(*params)

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        return [self.request(method, params) for method, params in requests]

    def close(self) -> None:
        """Nothing to give back: the chain ends with the last reference to it."""

    def _latest(self) -> Any:
        return self._chain.get_canonical_block_by_number(self._chain.header.block_number - 1)

    def _find(self, tag: str) -> Any | None:
        """The canonical block by number, tag or hash; None where there is none."""
        if tag in ("latest", "pending", "safe", "finalized"):
            return self._latest()
        try:
            if len(tag) == 66:
                block = self._chain.get_block_by_hash(to_bytes(tag))
                canonical = block.number < self._chain.header.block_number and self._find(hex(block.number))
                return block if canonical and canonical.hash == block.hash else None
            number = 0 if tag == "earliest" else int(tag, 16)
            return self._chain.get_canonical_block_by_number(number) if number <= self._latest().number else None
        except HeaderNotFound:
            return None

    def _state(self, tag: str) -> Any:
        block = self._find(tag)
        if block is None:
            raise RpcRefused(f"The embedded chain has no block {tag}.")
        return self._chain.get_vm(block.header).state

    def _block_by_number(self, tag: str, full: bool = False) -> RawObject | None:
        block = self._find(tag)
        return None if block is None else raw_block(block, full=full)

    def _block_by_hash(self, block_hash: str, full: bool = False) -> RawObject | None:
        return self._block_by_number(block_hash, full)

    def _block_receipts(self, tag: str) -> list[RawObject] | None:
        block = self._find(tag)
        return None if block is None else raw_receipts(block, block.get_receipts(self._chain.chaindb))

    def _locate(self, tx_hash: str) -> tuple[Any, int] | None:
        try:
            number, index = self._chain.get_canonical_transaction_index(to_bytes(tx_hash))
        except TransactionNotFound:
            return None
        block = self._find(hex(number))
        # A revert to a snapshot leaves the look-up of undone transactions behind.
        if block is None or index >= len(block.transactions):
            return None
        return (block, index) if to_hex(block.transactions[index].hash) == tx_hash.lower() else None

    def _transaction_receipt(self, tx_hash: str) -> RawObject | None:
        found = self._locate(tx_hash)
        if found is None:
            return None
        block, index = found
        return raw_receipts(block, block.get_receipts(self._chain.chaindb))[index]

    def _transaction(self, tx_hash: str) -> RawObject | None:
        found = self._locate(tx_hash)
        return None if found is None else raw_transaction(found[0], found[1])

    def _logs(self, wanted: RawObject) -> list[RawObject]:
        address = wanted.get("address")
        addresses = {address.lower()} if isinstance(address, str) else {a.lower() for a in address or ()}
        if "blockHash" in wanted:
            blocks = [self._find(wanted["blockHash"])]
        else:
            first, last = self._find(wanted.get("fromBlock", "latest")), self._find(wanted.get("toBlock", "latest"))
            end = last.number if last is not None else self._latest().number
            blocks = [self._find(hex(n)) for n in range(first.number, end + 1)] if first is not None else []
        return [
            log
            for block in blocks
            if block is not None
            for receipt in raw_receipts(block, block.get_receipts(self._chain.chaindb))
            for log in receipt["logs"]
            if (not addresses or log["address"] in addresses) and topics_match(wanted.get("topics"), log["topics"])
        ]

    def _spoof(self, call: RawObject, tag: str) -> Any:
        sender = call.get("from") or "0x" + "00" * 20
        transaction = self._chain.create_unsigned_transaction(
            nonce=self._state(tag).get_nonce(to_bytes(sender)),
            gas_price=0,
            gas=int(call.get("gas", hex(CALL_GAS)), 16),
            to=to_bytes(call["to"]) if call.get("to") else b"",
            value=int(call.get("value", "0x0"), 16),
            data=to_bytes(call.get("data") or call.get("input") or "0x"),
        )
        return SpoofTransaction(transaction, from_=to_bytes(sender))

    def _call(self, call: RawObject, tag: str = "latest") -> str:
        return to_hex(self._execute(call, tag).output)

    def _estimate_gas(self, call: RawObject, tag: str = "latest") -> str:
        computation = self._execute(call, tag)
        # One run and a margin, for the 1/64 that each call keeps back and for refunds, which come only at the end.
        # py-evm's own search runs the transaction fourteen times over.
        transaction = self._spoof(call, tag)
        used = int(transaction.intrinsic_gas + computation.get_gas_used() + computation.get_gas_refund())
        zeros = transaction.data.count(0)
        floor = 21_000 + 10 * (4 * len(transaction.data) - 3 * zeros)  # EIP-7623
        return hex(max(used + used // 10, floor))

    def _execute(self, call: RawObject, tag: str) -> Any:
        block = self._find(tag)
        if block is None:
            raise RpcRefused(f"The embedded chain has no block {tag}.")
        with self._chain.get_vm(block.header).in_costless_state() as state:
            computation = state.costless_execute_transaction(self._spoof(call, tag))
        if computation.is_error:
            raise _revert_error(computation.error)
        return computation

    def _send_raw(self, text: str) -> str:
        self._date_now()
        chain = self._chain
        try:
            transaction = chain.get_vm().get_transaction_builder().decode(to_bytes(text))
            expected = chain.get_vm().state.get_nonce(transaction.sender)
            if transaction.nonce != expected:
                word = "low" if transaction.nonce < expected else "high"
                raise RpcRefused(f"nonce too {word}: next is {expected}, the transaction's is {transaction.nonce}")
            chain.apply_transaction(transaction)
        except (ValidationError, rlp.exceptions.RLPException) as error:
            raise RpcRefused(_send_error(str(error))) from None
        self._backend.mine_blocks(1)
        return to_hex(transaction.hash)

    def _date_now(self) -> None:
        """py-evm dates a block when its parent is mined; what runs in it wants the time of now."""
        earliest = self._latest().header.timestamp
        now = max(int(time.time()) + self._ahead_s, earliest)
        self._chain.header = self._chain.header.copy(timestamp=now)

    def _mine(self, count: Any = 1) -> str:
        blocks = int(count, 16) if isinstance(count, str) else int(count)
        for _ in range(blocks):
            self._date_now()
            self._backend.mine_blocks(1)
        return "0x0"

    def _increase_time(self, seconds: Any) -> int:
        self._ahead_s += int(seconds, 16) if isinstance(seconds, str) else int(seconds)
        return self._ahead_s

    def _snapshot(self) -> str:
        self._snapshots.append(self._backend.take_snapshot())
        return hex(len(self._snapshots))

    def _revert(self, snapshot: str) -> bool:
        number = int(snapshot, 16)
        if not 0 < number <= len(self._snapshots):
            return False
        self._backend.revert_to_snapshot(self._snapshots[number - 1])
        del self._snapshots[number - 1 :]
        return True

    def _set_balance(self, address: str, wei: str) -> None:
        """Tops up by a transfer: py-evm has no way to write a balance, so a higher one stays as it is."""
        missing = int(wei, 16) - self._state("latest").get_balance(to_bytes(address))
        if missing <= 0:
            return
        self._date_now()
        self._backend.send_transaction(
            {
                "from": self._backend.get_accounts()[0],
                "to": to_bytes(address),
                "gas": 21_000,
                "value": missing,
                "max_fee_per_gas": 2 * self._chain.header.base_fee_per_gas + TIP_WEI,
                "max_priority_fee_per_gas": TIP_WEI,
            }
        )
        self._backend.mine_blocks(1)


def _send_error(message: str) -> str:
    if "cannot afford" in message or "enough balance" in message:
        return f"insufficient funds: {message}"
    return message


def _revert_error(error: Exception) -> RpcRefused:
    if isinstance(error, Revert) and error.args:
        return RpcRefused("execution reverted", rpc_code=_REVERTED, data="0x" + bytes(error.args[0]).hex())
    return RpcRefused(f"execution reverted: {type(error).__name__} {error}", rpc_code=_REVERTED)
