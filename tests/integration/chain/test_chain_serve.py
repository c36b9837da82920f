"""The embedded chain over HTTP: our node, web3 and the deploy script all take it for a node."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

from chainwallet.chain.contracts.artifacts import artifact
from chainwallet.chain.deployer import deploy
from chainwallet.chain.embedded import EmbeddedChain
from chainwallet.chain.errors import CallReverted, RpcRefused
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.serve import serve
from chainwallet.keys.signers import LocalSigner


@pytest.fixture
def url() -> Iterator[str]:
    with serve(EmbeddedChain()) as found:
        yield found


def test_deploy__over_http__as_on_any_node(url: str, operator: LocalSigner, tmp_path: Path) -> None:
    node = open_node(url, data_dir=tmp_path)
    assert node.kind == "remote"
    node.request("anvil_setBalance", [operator.address, hex(10**21)])
    deployment = deploy(node, operator, currencies=["EUR"], folder=tmp_path, broadcast=True)
    assert node.code(deployment.hub)
    with pytest.raises(CallReverted):
        node.estimate_gas(deployment.hub, b"\x01\x02\x03\x04", sender=operator.address)
    node.close()


def test_web3__reads_and_sends__through_it(url: str, operator: LocalSigner, tmp_path: Path) -> None:
    w3 = Web3(HTTPProvider(url))
    assert w3.is_connected()
    rich = w3.eth.accounts[0]
    assert w3.eth.get_balance(rich) > 10**18
    node = open_node(url, data_dir=tmp_path)
    node.request("anvil_setBalance", [operator.address, hex(10**21)])
    deployment = deploy(node, operator, currencies=["EUR"], folder=tmp_path, broadcast=True)
    hub = w3.eth.contract(address=deployment.hub, abi=list(artifact("SettlementHub").abi))  # type: ignore[call-overload]
    assert hub.functions.tokenOf(978).call() == deployment.tokens["EUR"]
    assert w3.eth.get_block("latest")["number"] == node.head().number
    logs = hub.events.CurrencyListed().get_logs(from_block=0)
    assert [dict(log["args"]) for log in logs] == [{"currency": 978, "token": deployment.tokens["EUR"]}]
    receipt = w3.eth.get_transaction_receipt(logs[0]["transactionHash"])
    assert receipt["status"] == 1
    assert w3.eth.get_transaction(logs[0]["transactionHash"])["to"] == deployment.access_manager
    node.close()


def test_serve__what_is_not_a_request__is_answered_as_an_error(url: str) -> None:
    def post(body: bytes) -> Any:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=5) as reply:
            return json.load(reply)

    assert post(b"{")["error"]["code"] == -32700
    assert post(b"7")["error"]["code"] == -32600
    bad = json.dumps({"id": 1, "method": "eth_getBalance", "params": [{}]}).encode()
    assert post(bad)["error"]["code"] == -32602
    mixed = post(b'[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_nonsense"}]')
    assert mixed[0]["result"] == hex(131277322940537)
    assert mixed[1]["error"]["code"] == -32601


def test_embedded__unknown_method__refused(embedded: Node) -> None:
    with pytest.raises(RpcRefused):
        embedded.request("eth_sign", [])
