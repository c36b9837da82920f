"""web3 as the second opinion: what our node reads by hand, web3 reads alike; and why sends do not go through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web3 import HTTPProvider, Web3
from web3.providers.rpc.utils import ExceptionRetryConfiguration

from chainwallet.chain.node import Node, open_node
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import LocalSigner

SIGNER = LocalSigner("0x" + "11" * 32)


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Node]:
    node = open_node("anvil", data_dir=tmp_path)
    yield node
    node.close()


def test_reads__web3_and_ours__agree(anvil: Node) -> None:
    anvil.fund(SIGNER.address)
    signed = SIGNER.sign_transaction(
        Transaction(
            anvil.chain_id,
            0,
            None,
            bytes.fromhex("600a600c600039600a6000f3602a60005260206000f3"),
            200_000,
            10**11,
            10**9,
        )
    )
    anvil.send_raw(signed.raw)
    w3 = Web3(HTTPProvider(anvil.url))
    theirs = w3.eth.wait_for_transaction_receipt(signed.hash, poll_latency=0.01)  # type: ignore[arg-type]
    ours = anvil.receipt(signed.hash)
    assert ours is not None
    assert (ours.block_number, ours.gas_used, ours.status) == (
        theirs["blockNumber"],
        theirs["gasUsed"],
        theirs["status"] == 1,
    )
    assert ours.contract_address == theirs["contractAddress"]
    assert ours.effective_gas_price_wei == theirs["effectiveGasPrice"]
    block, head = w3.eth.get_block("latest"), anvil.head()
    assert (head.number, head.timestamp, head.base_fee_wei) == (
        block["number"],
        block["timestamp"],
        block["baseFeePerGas"],
    )
    assert head.hash == "0x" + block["hash"].hex()
    assert anvil.code(ours.contract_address) == bytes(w3.eth.get_code(ours.contract_address))  # type: ignore[arg-type]
    assert anvil.balance(SIGNER.address) == w3.eth.get_balance(SIGNER.address)
    assert anvil.nonce(SIGNER.address) == w3.eth.get_transaction_count(SIGNER.address) == 1
    assert anvil.chain_id == w3.eth.chain_id


def test_default_retries__include_sends_and_leave_out_resets() -> None:
    """Both are the opposite of what money wants, hence a transport of ours."""
    configuration = HTTPProvider("http://127.0.0.1:9").exception_retry_configuration
    assert isinstance(configuration, ExceptionRetryConfiguration)
    assert "eth_sendRawTransaction" in configuration.method_allowlist
    import requests

    assert not any(issubclass(requests.ConnectionError, error) for error in configuration.errors)
