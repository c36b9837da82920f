"""A node over a scripted transport: what a real one would answer, without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chainwallet.chain.node import Node
from chainwallet.chain.transport import Request

ZERO_HASH = "0x" + "00" * 32


class ScriptedTransport:
    """Answers from `answers`: a value, an exception to raise, or a function of the parameters. Keeps what it saw."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"eth_chainId": "0x7a69", "eth_getBlockByNumber": block(0)}
        self.seen: list[tuple[str, list[Any], bool]] = []

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        self.seen.append((method, params, retry))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer(*params) if isinstance(answer, Callable) else answer  # type: ignore[arg-type]

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        return [self.request(method, params) for method, params in requests]

    def close(self) -> None:
        self.seen.append(("close", [], False))


def block(number: int, *, base_fee_wei: int = 10**9) -> dict[str, Any]:
    return {
        "number": hex(number),
        "hash": ZERO_HASH,
        "parentHash": ZERO_HASH,
        "timestamp": "0x64",
        "receiptsRoot": ZERO_HASH,
        "baseFeePerGas": hex(base_fee_wei),
    }


@pytest.fixture
def transport() -> ScriptedTransport:
    return ScriptedTransport()


@pytest.fixture
def node(transport: ScriptedTransport) -> Node:
    return Node(transport, kind="remote", url="http://node.test")
