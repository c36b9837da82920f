"""The chains that contracts are tested on: eth-tester in process, or anvil when CHAINWALLET_TEST_CHAIN says so."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
from typing import Any, NamedTuple, Protocol

from eth_abi import decode
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils import event_abi_to_log_topic, function_abi_to_4byte_selector
from web3 import EthereumTesterProvider, HTTPProvider, Web3
from web3._utils.events import get_event_data
from web3.contract import Contract
from web3.exceptions import ContractLogicError

from chainwallet.chain.anvil_binary import find_anvil

BLOCK_GAS = 60_000_000
CALL_GAS = 30_000_000
ERROR_STRING = bytes.fromhex("08c379a0")
FAILURES = (TransactionFailed, ContractLogicError)


class Refusal(NamedTuple):
    """A decoded custom error, or a panic or reason string."""

    name: str
    values: tuple[Any, ...] = ()


class Node(Protocol):
    """What the tests need of a chain beyond web3."""

    web3: Web3

    def snapshot(self) -> Any: ...
    def revert(self, snapshot: Any) -> None: ...
    def pass_to(self, timestamp: int) -> None: ...


class EthTesterNode:
    """py-evm in this process."""

    def __init__(self, accounts: int = 10) -> None:
        genesis = PyEVMBackend.generate_genesis_params({"gas_limit": BLOCK_GAS})
        state = PyEVMBackend.generate_genesis_state(num_accounts=accounts)
        self.tester = EthereumTester(PyEVMBackend(genesis_parameters=genesis, genesis_state=state))
        self.web3 = Web3(EthereumTesterProvider(self.tester))

    def snapshot(self) -> Any:
        return self.tester.take_snapshot()

    def revert(self, snapshot: Any) -> None:
        self.tester.revert_to_snapshot(snapshot)

    def pass_to(self, timestamp: int) -> None:
        self.tester.time_travel(timestamp)


class AnvilNode:
    """anvil in a process of its own, with the rules of Osaka (a P-256 precompile), a second from block to block."""

    running: list[AnvilNode] = []  # noqa: RUF012 - of the class: what `end_nodes` ends

    def __init__(self, accounts: int = 10) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["--hardfork", "osaka", "--gas-limit", str(BLOCK_GAS), "--base-fee", "7", "--accounts", str(accounts)]
        self._process = subprocess.Popen([str(find_anvil()), "--silent", "--port", str(port), *options])
        self.running.append(self)
        self.web3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}", request_kwargs={"timeout": 60}))
        while not self.web3.is_connected():
            assert self._process.poll() is None, "anvil did not start"
        self._ask("anvil_setBlockTimestampInterval", 1)

    def _ask(self, method: str, *parameters: Any) -> Any:
        answer = self.web3.provider.make_request(method, parameters)  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def snapshot(self) -> Any:
        return self._ask("evm_snapshot")

    def revert(self, snapshot: Any) -> None:
        self._ask("evm_revert", snapshot)

    def pass_to(self, timestamp: int) -> None:
        self._ask("evm_setNextBlockTimestamp", timestamp)
        self._ask("evm_mine")

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def end_nodes() -> None:
    """Ends every anvil that was started here."""
    while AnvilNode.running:
        AnvilNode.running.pop().end()


def new_node() -> Node:
    """A node of the kind that the tests run on now."""
    return AnvilNode() if os.environ.get("CHAINWALLET_TEST_CHAIN") == "anvil" else EthTesterNode()


class Chain:
    """A node behind web3, with refusals decoded."""

    def __init__(self, node: Node | None = None) -> None:
        self.node = node or new_node()
        self.web3 = self.node.web3
        self.id = self.web3.eth.chain_id
        self.accounts = list(self.web3.eth.accounts)
        self._errors: dict[bytes, tuple[str, list[str]]] = {}
        self._events: dict[bytes, Any] = {}
        self._anonymous: dict[int, Any] = {}

    def deploy(self, built: dict[str, Any], *arguments: Any) -> Contract:
        """Deploys from the first account and learns the contract's errors and events."""
        self.learn(built["abi"])
        factory = self.web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
        receipt = self.send(factory.constructor(*arguments), self.accounts[0])
        return self.web3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])

    def learn(self, abi: list[dict[str, Any]]) -> None:
        """Errors and events of this ABI are decoded from now on."""
        for entry in abi:
            if entry["type"] == "error":
                types = [item["type"] for item in entry["inputs"]]
                self._errors[function_abi_to_4byte_selector(entry)] = (entry["name"], types)
            if entry["type"] == "event" and entry.get("anonymous"):
                self._anonymous[sum(argument["indexed"] for argument in entry["inputs"])] = entry
            elif entry["type"] == "event":
                self._events[event_abi_to_log_topic(entry)] = entry

    def send(self, call: Any, sender: str) -> Any:
        """Mines the call; returns the receipt. Fails when it reverts."""
        # A given gas limit saves the estimate, which would run everything twice.
        sent = call.transact({"from": sender, "gas": CALL_GAS, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1})
        receipt = self.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.002)  # anvil mines on its own time
        if receipt["status"] != 1:
            raise AssertionError(f"reverted: {self.refused(call, sender)}")
        return receipt

    def refused(self, call: Any, sender: str) -> Refusal:
        """Runs the call on the latest block and returns why it was refused; fails when it was not."""
        try:
            call.call({"from": sender, "gas": CALL_GAS})
        except FAILURES as failure:
            return self.decode(failure)
        raise AssertionError("the call was not refused")

    def refused_data(self, to: str, data: bytes, sender: str) -> Refusal:
        """As `refused`, for calldata put together by hand."""
        try:
            self.web3.eth.call({"to": to, "data": data, "from": sender, "gas": CALL_GAS})
        except FAILURES as failure:
            return self.decode(failure)
        raise AssertionError("the call was not refused")

    def decode(self, failure: Exception) -> Refusal:
        """The custom error behind a failure."""
        data = revert_data(failure)
        if data[:4] not in self._errors:
            return Refusal(data.decode("latin-1"))
        name, types = self._errors[data[:4]]
        values = decode(types, data[4:])
        return Refusal(
            name,
            tuple(Web3.to_checksum_address(v) if t == "address" else v for t, v in zip(types, values, strict=True)),
        )

    def events(self, receipt: Any) -> list[tuple[str, dict[str, Any]]]:
        """The receipt's events in order, decoded: (name, arguments)."""
        found = [(log, self._event_of(log)) for log in receipt["logs"]]
        decoded = [get_event_data(self.web3.codec, abi, log) for log, abi in found if abi is not None]
        return [(event["event"], dict(event["args"])) for event in decoded]

    def _event_of(self, log: Any) -> Any:
        """What the log was declared as. PaymentSettled is anonymous: its first topic is an address."""
        first = bytes(log["topics"][0])
        return self._anonymous.get(len(log["topics"])) if first[:12] == bytes(12) else self._events.get(first)

    @property
    def now(self) -> int:
        """The timestamp of the latest block, which `refused` runs at."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def pass_to(self, timestamp: int) -> None:
        """Mines a block with this timestamp or a second later."""
        self.node.pass_to(timestamp)


def revert_data(failure: Exception) -> bytes:
    """The bytes a call reverted with, or the text of a reason string; eth-tester words bytes as Python does."""
    if isinstance(failure, TransactionFailed):
        text = str(failure.args[0]).removeprefix("execution reverted: ")
        return bytes(ast.literal_eval(text)) if text.startswith("b") else text.encode()
    data = bytes.fromhex(str(getattr(failure, "data", None) or "0x")[2:])
    return decode(["string"], data[4:])[0].encode() if data[:4] == ERROR_STRING else data
