"""The chains that can carry a hub under test: py-evm, as the rest of the tests has it, and revm, which is fast."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Protocol

from eth_tester.exceptions import TransactionFailed
from hub_chain import Chain, EthTesterNode, revert_data


class Reverted(Exception):
    """The data a call reverted with."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


class Carrier(Protocol):
    """A chain, as far as the machine needs one."""

    id: int

    def deploy(self, code: bytes) -> str: ...
    def send(self, sender: str, to: str, data: bytes) -> None: ...
    def read(self, to: str, data: bytes) -> bytes: ...
    def adopt(self, key: bytes) -> None: ...
    def wait(self, seconds: int) -> None: ...
    def now(self) -> int: ...


class RevmCarrier:
    """revm: state transitions as on a chain; no blocks, and gas is not measured."""

    id = 1

    def __init__(self) -> None:
        import pyrevm

        self._evm = pyrevm.EVM(spec_id="PRAGUE", gas_limit=2**40)
        self._block, self._now = pyrevm.BlockEnv, 2
        self.wait(0)

    def adopt(self, key: bytes) -> None:
        """revm lets anyone send."""

    def wait(self, seconds: int) -> None:
        self._now += seconds
        self._evm.set_block_env(self._block(timestamp=self._now))

    def now(self) -> int:
        return self._now

    def deploy(self, code: bytes) -> str:
        return str(self._evm.deploy(who("admin"), code))

    def send(self, sender: str, to: str, data: bytes) -> None:
        try:
            self._evm.message_call(sender, to, calldata=data)
        except RuntimeError as failure:
            found = re.search(r"output: 0x([0-9a-f]*)", str(failure))
            if found is None:
                raise  # out of gas, or revm itself: no revert of the contract's
            raise Reverted(bytes.fromhex(found.group(1))) from None

    def read(self, to: str, data: bytes) -> bytes:
        return bytes(self._evm.message_call(who("admin"), to, calldata=data, is_static=True))


class PyEvmCarrier:
    """py-evm: blocks and gas as on a chain."""

    def __init__(self) -> None:
        node = EthTesterNode()
        self.tester, self.chain = node.tester, Chain(node)
        self.id = self.chain.id

    def adopt(self, key: bytes) -> None:
        """From now on the account of this key can send."""
        account = self.tester.add_account("0x" + key.hex())
        self.tester.send_transaction(_transaction(who("admin"), account, b"") | {"value": 10**20})

    def wait(self, seconds: int) -> None:
        self.chain.pass_to(self.now() + seconds)

    def now(self) -> int:
        return self.chain.now

    def deploy(self, code: bytes) -> str:
        sent = self.chain.web3.eth.send_transaction(_transaction(who("admin"), None, code))
        return str(self.chain.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.02)["contractAddress"])

    def send(self, sender: str, to: str, data: bytes) -> None:
        try:
            self.tester.call(_transaction(sender, to, data))
            self.tester.send_transaction(_transaction(sender, to, data))
        except TransactionFailed as failure:
            raise Reverted(revert_data(failure)) from None

    def read(self, to: str, data: bytes) -> bytes:
        return bytes.fromhex(self.tester.call(_transaction(who("admin"), to, data))[2:])


def _transaction(sender: str, to: str | None, data: bytes) -> dict[str, Any]:
    fields = {"from": sender, "data": "0x" + data.hex(), "gas": 10_000_000, "value": 0}
    return fields | {"max_fee_per_gas": 10**10, "max_priority_fee_per_gas": 1} | ({"to": to} if to else {})


@cache
def who(role: str) -> str:
    """The accounts that eth-tester starts with, by role; revm takes any."""
    names = ["admin", "governor", "settler", "mint_controller", "compliance", "pauser", "issuer", "stranger"]
    return str(Chain(EthTesterNode()).accounts[names.index(role)])
