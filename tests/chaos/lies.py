"""What a node may lie about: each a function that alters an honest result. None of them may credit anybody.

A lie is told to whatever asks while it is on; `RpcProxy` counts how often it was told.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.chaos.checker import keccak_hex
from tests.chaos.rpc_proxy import Lie, Rpc, RpcError, RpcProxy

_EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
_NO_BLOOM = "0x" + "00" * 256
_BLOCK, _RECEIPT, _RECEIPTS = "eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getBlockReceipts"
_SEND, _COUNT, _CALL = "eth_sendRawTransaction", "eth_getTransactionCount", "eth_call"
OTHER_HASH = "0x" + "5a" * 32


def _on(method: str, change: Any) -> Lie:
    def lie(proxy: RpcProxy, request: Rpc, honest: Any) -> Any:
        if request["method"] != method or honest is None:
            return honest
        return change(proxy, request, copy.deepcopy(honest))

    return lie


def _with(**fields: Any) -> Any:
    return lambda proxy, request, honest: {**honest, **fields}


def _each_receipt(change: Any) -> Lie:
    def lie(_proxy: RpcProxy, _request: Rpc, receipts: Any) -> Any:
        for receipt in receipts:
            change(receipt)
        return receipts

    return _on(_RECEIPTS, lie)


def _double(data: str) -> str:
    words = [data[at : at + 64] for at in range(2, len(data), 64)]
    return "0x" + f"{int(words[0], 16) * 2 % 2**128:064x}" + "".join(words[1:]) if words else data


def _alter_amounts(receipt: Any) -> None:
    for log in receipt["logs"]:
        log["data"] = _double(log["data"])


def _hide_log(receipt: Any) -> None:
    receipt["logs"] = receipt["logs"][:-1]


def _invent_log(receipt: Any) -> None:
    receipt["logs"] = [*receipt["logs"], *receipt["logs"][-1:]]


def _flip(receipt: Any) -> None:
    receipt["status"] = "0x0" if receipt["status"] == "0x1" else "0x1"


def _invented_receipt(proxy: RpcProxy, request: Rpc, honest: Any) -> Any:
    """Mined, in a block that is long final, whatever is asked about; the node keeps its hands off the transaction."""
    if request["method"] == _SEND:
        return "0x" + keccak_hex(bytes.fromhex(request["params"][0][2:]))
    if request["method"] != _RECEIPT or honest is not None:
        return honest
    head = proxy.ask(_BLOCK, "latest", False)
    number = max(int(head["number"], 16) - 5, 1)
    block = proxy.ask(_BLOCK, hex(number), False)
    return {
        "transactionHash": request["params"][0],
        "transactionIndex": "0x0",
        "blockHash": block["hash"],
        "blockNumber": block["number"],
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "contractAddress": None,
        "logs": [],
    }


def _swallow(proxy: RpcProxy, request: Rpc, honest: Any) -> Any:
    return "0x" + keccak_hex(bytes.fromhex(request["params"][0][2:])) if request["method"] == _SEND else honest


def _refuse_sends(message: str) -> Lie:
    def lie(_proxy: RpcProxy, request: Rpc, honest: Any) -> Any:
        if request["method"] == _SEND:
            raise RpcError(message)
        return honest

    return lie


def _other_head(offset: int) -> Lie:
    def lie(proxy: RpcProxy, request: Rpc, honest: Any) -> Any:
        if request["params"][0] != "latest":
            return honest
        number = max(int(honest["number"], 16) + offset, 0)
        if offset > 0:
            return {**honest, "number": hex(number), "hash": OTHER_HASH}
        return proxy.ask(_BLOCK, hex(number), False)

    return _on(_BLOCK, lie)


def _zeroed(_proxy: RpcProxy, _request: Rpc, honest: Any) -> Any:
    return "0x" + "00" * ((len(honest) - 2) // 2)


def _bigger(_proxy: RpcProxy, _request: Rpc, honest: Any) -> Any:
    return _double(honest) if len(honest) > 66 else honest


def _revert(_proxy: RpcProxy, _request: Rpc, _honest: Any) -> Any:
    raise RpcError("execution reverted")


LIES: dict[str, tuple[Lie, frozenset[str]]] = {
    name: (lie, frozenset(withheld))
    for name, lie, withheld in (
        ("receipt says reverted", _on(_RECEIPT, _with(status="0x0")), ()),
        ("receipt of what was never mined", _invented_receipt, (_SEND,)),
        ("receipt in another block", _on(_RECEIPT, _with(blockHash=OTHER_HASH)), ()),
        ("receipt hidden", _on(_RECEIPT, lambda *_: None), ()),
        ("status flipped in the block", _each_receipt(_flip), ()),
        ("amounts doubled", _each_receipt(_alter_amounts), ()),
        ("a log hidden", _each_receipt(_hide_log), ()),
        ("a log invented", _each_receipt(_invent_log), ()),
        ("all receipts hidden", _on(_RECEIPTS, lambda *_: []), ()),
        ("bloom and receipts emptied", _on(_BLOCK, _with(logsBloom=_NO_BLOOM, receiptsRoot=_EMPTY_ROOT)), ()),
        ("another block hash", _on(_BLOCK, _with(hash=OTHER_HASH)), ()),
        ("another parent", _on(_BLOCK, _with(parentHash=OTHER_HASH)), ()),
        ("stale head", _other_head(-3), ()),
        ("head of the future", _other_head(5), ()),
        ("nonce too high", _on(_COUNT, lambda _p, _r, honest: hex(int(honest, 16) + 3)), ()),
        ("nonce too low", _on(_COUNT, lambda *_: "0x0"), ()),
        ("another chain id", _on("eth_chainId", lambda *_: "0x1"), ()),
        ("sends swallowed", _swallow, (_SEND,)),
        ("sends said to be too late", _refuse_sends("nonce too low"), (_SEND,)),
        ("sends said to be known", _refuse_sends("already known"), (_SEND,)),
        ("sends answered with another hash", _on(_SEND, lambda *_: OTHER_HASH), ()),
        ("sends said to be unfunded", _refuse_sends("insufficient funds for gas * price + value"), (_SEND,)),
        ("positions doubled", _on(_CALL, _bigger), ()),
        ("views zeroed", _on(_CALL, _zeroed), ()),
        ("simulations said to revert", _on(_CALL, _revert), ()),
        ("fees said to be enormous", _on(_BLOCK, _with(baseFeePerGas=hex(10**15))), ()),
    )
}
