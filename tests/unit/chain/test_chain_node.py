"""Sends whose outcome is a value, and reverts that say why."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.chain.errors import (
    CallReverted,
    ChainNotManaged,
    ChainUnreachable,
    RpcRefused,
    StateUnavailable,
)
from chainwallet.chain.node import TIP_WEI, Node
from chainwallet.chain.outcome import Accepted, AlreadyKnown, Rejected, RejectReason, Unknown
from chainwallet.keys.keccak import keccak

RAW = b"\x02signed bytes"
HASH = "0x" + keccak(RAW).hex()
HUB = "0x73b647cbA2FE75Ba05B8e12ef8F8D6327D6367bF"


def test_send_raw__taken__accepted_under_the_hash_of_the_bytes(node: Node, transport: Any) -> None:
    transport.answers["eth_sendRawTransaction"] = HASH
    assert node.send_raw(RAW) == Accepted(HASH)


def test_send_raw__another_hash_in_the_answer__unknown(node: Node, transport: Any) -> None:
    transport.answers["eth_sendRawTransaction"] = "0x" + "11" * 32
    assert isinstance(node.send_raw(RAW), Unknown)


def test_send_raw__connection_lost__unknown_and_sent_once_without_retry(node: Node, transport: Any) -> None:
    transport.answers["eth_sendRawTransaction"] = ChainUnreachable("reset")
    assert node.send_raw(RAW) == Unknown("reset")
    sends = [seen for seen in transport.seen if seen[0] == "eth_sendRawTransaction"]
    assert sends == [("eth_sendRawTransaction", ["0x" + RAW.hex()], False)]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("nonce too low: next nonce 5, tx nonce 4", RejectReason.NONCE_TOO_LOW),  # geth
        ("nonce too low", RejectReason.NONCE_TOO_LOW),  # anvil
        ("OldNonce", RejectReason.NONCE_TOO_LOW),  # nethermind
        ("Nonce below account nonce", RejectReason.NONCE_TOO_LOW),
        ("replacement transaction underpriced", RejectReason.UNDERPRICED),
        ("transaction underpriced: tip needed 1, tip permitted 0", RejectReason.UNDERPRICED),
        ("max fee per gas less than block base fee", RejectReason.UNDERPRICED),
        ("FeeTooLow, MaxFeePerGas too low", RejectReason.UNDERPRICED),
        ("insufficient funds for gas * price + value", RejectReason.INSUFFICIENT_FUNDS),
        ("Insufficient funds for gas * price + value", RejectReason.INSUFFICIENT_FUNDS),
        ("execution reverted", RejectReason.REVERTED),
        ("intrinsic gas too low", RejectReason.OTHER),
        ("nonce too high", RejectReason.OTHER),
    ],
)
def test_send_raw__refused__reason_whatever_the_client_calls_it(
    node: Node, transport: Any, message: str, reason: RejectReason
) -> None:
    transport.answers["eth_sendRawTransaction"] = RpcRefused(message)
    assert node.send_raw(RAW) == Rejected(reason, message)


@pytest.mark.parametrize("message", ["already known", "transaction already imported", "AlreadyKnown"])
def test_send_raw__already_in_the_pool__already_known(node: Node, transport: Any, message: str) -> None:
    transport.answers["eth_sendRawTransaction"] = RpcRefused(message)
    assert node.send_raw(RAW) == AlreadyKnown(HASH)


def test_send_raw__internal_error__unknown_because_it_may_have_gone_through(node: Node, transport: Any) -> None:
    transport.answers["eth_sendRawTransaction"] = RpcRefused("upstream timed out", rpc_code=-32603)
    assert isinstance(node.send_raw(RAW), Unknown)


def test_call__custom_error__decoded_with_its_arguments_by_name(node: Node, transport: Any) -> None:
    data = selector("OrderFundsShort(uint256,address,uint16,uint128,uint128)") + encode(
        ("uint256", "address", "uint16", "uint128", "uint128"), (3, HUB, 978, 5, 10**30)
    )
    transport.answers["eth_call"] = RpcRefused("execution reverted", rpc_code=3, data="0x" + data.hex())
    with pytest.raises(CallReverted) as caught:
        node.call(HUB, b"\x00")
    assert caught.value.name == "OrderFundsShort"
    assert caught.value.args_by_name == {
        "order": 3,
        "payer": HUB,
        "currency": 978,
        "balance": 5,
        "needed": 10**30,
    }
    assert caught.value.data == data
    assert "OrderFundsShort (order 3," in caught.value.detail


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (selector("Error(string)") + encode(("string",), ("no",)), "Error"),
        (selector("Panic(uint256)") + encode(("uint256",), (0x11,)), "Panic"),
        (bytes.fromhex("deadbeef01"), "0xdeadbeef"),
        (
            selector("OrderExpired(uint256,uint64,uint256)") + b"\x01",
            f"0x{selector('OrderExpired(uint256,uint64,uint256)').hex()}",
        ),
        (b"", "without a reason"),
    ],
)
def test_call__any_revert_data__has_a_name(node: Node, transport: Any, data: bytes, name: str) -> None:
    transport.answers["eth_call"] = RpcRefused("reverted", rpc_code=3, data="0x" + data.hex())
    with pytest.raises(CallReverted) as caught:
        node.call(HUB, b"")
    assert caught.value.name == name


def test_call__state_pruned__state_unavailable(node: Node, transport: Any) -> None:
    transport.answers["eth_call"] = RpcRefused("BlockOutOfRangeError: block height is 280 but requested was 5")
    with pytest.raises(StateUnavailable):
        node.call(HUB, b"", block=5)
    assert transport.seen[-1][1][1] == "0x5"


def test_call__other_refusal__as_it_is(node: Node, transport: Any) -> None:
    transport.answers["eth_call"] = RpcRefused("method not allowed")
    with pytest.raises(RpcRefused):
        node.call(HUB, b"")


def test_tip_wei__node_without_suggestion__one_gwei(node: Node, transport: Any) -> None:
    transport.answers["eth_maxPriorityFeePerGas"] = RpcRefused("method not found", rpc_code=-32601)
    assert node.tip_wei() == TIP_WEI


def test_block__above_the_head__none(node: Node, transport: Any) -> None:
    transport.answers["eth_getBlockByNumber"] = None
    transport.answers["eth_getBlockByHash"] = None
    assert node.block(7) is None
    assert node.block_by_hash("0x" + "22" * 32) is None


def test_receipt__pending__none(node: Node, transport: Any) -> None:
    transport.answers["eth_getTransactionReceipt"] = {"transactionHash": HASH, "blockHash": None}
    assert node.receipt(HASH) is None


def test_fund__chain_that_is_not_ours__refused(node: Node) -> None:
    with pytest.raises(ChainNotManaged):
        node.fund(HUB)


def test_close__stops_a_managed_chain_once(transport: Any) -> None:
    stops: list[int] = []
    managed = Node(transport, kind="anvil", url="http://node.test", stop=lambda: stops.append(1))
    managed.close()
    managed.close()
    assert stops == [1]
