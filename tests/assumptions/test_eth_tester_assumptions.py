"""What we believe about eth-tester and py-evm, and why the embedded chain goes past the former for reads."""

from __future__ import annotations

import time

import pytest
from eth.vm.forks.prague import PragueVM
from eth_tester import EthereumTester, PyEVMBackend
from eth_utils.exceptions import ValidationError

from chainwallet.chain.embedded import EmbeddedChain


@pytest.fixture
def tester() -> EthereumTester:
    return EthereumTester(backend=PyEVMBackend())


def _pay(tester: EthereumTester) -> str:
    sender, receiver = tester.get_accounts()[:2]
    tx_hash: str = tester.send_transaction({"from": sender, "to": receiver, "gas": 21_000, "value": 1})
    return tx_hash


def test_default_fork__prague(tester: EthereumTester) -> None:
    assert isinstance(tester.backend.chain.get_vm(), PragueVM)


def test_blocks_of_one_second__bare_py_evm_runs_ahead_of_the_clock(tester: EthereumTester) -> None:
    """Why _VirtualMachine lets blocks share a second: at 100 blocks a second deadlines would pass in no time."""
    for _ in range(30):
        _pay(tester)
    assert tester.get_block_by_number("latest")["timestamp"] > time.time() + 5


def test_blocks_of_one_second__embedded_chain_keeps_to_the_clock() -> None:
    chain = EmbeddedChain()
    for index in range(1, 31):
        chain.request("anvil_setBalance", [f"0x{index:040x}", "0x1"])
    assert int(chain.request("eth_getBlockByNumber", ["latest", False])["timestamp"], 16) <= time.time() + 2


def test_parent_and_child_with_one_timestamp__py_evm_refuses(tester: EthereumTester) -> None:
    chain = tester.backend.chain
    _pay(tester)
    parent = chain.get_canonical_head()
    child = chain.create_header_from_parent(parent).copy(timestamp=parent.timestamp)
    with pytest.raises(ValidationError, match="timestamp"):
        PragueVM.validate_header(child, parent)


def test_nonce_gap__refused_instead_of_queued() -> None:
    """So the embedded chain answers `nonce too high`, where anvil and real nodes queue the transaction."""
    from chainwallet.chain.errors import RpcRefused
    from chainwallet.keys.intents import Transaction
    from chainwallet.keys.signers import LocalSigner

    chain, signer = EmbeddedChain(), LocalSigner("0x" + "11" * 32)
    chain.request("anvil_setBalance", [signer.address, hex(10**18)])
    chain_id = int(chain.request("eth_chainId", []), 16)
    ahead = signer.sign_transaction(Transaction(chain_id, 1, signer.address, b"", 21_000, 10**10, 10**9))
    with pytest.raises(RpcRefused, match="nonce too high"):
        chain.request("eth_sendRawTransaction", ["0x" + ahead.raw.hex()])
