"""A passkey made in Chromium signs an order, and a node settles it: with P256VERIFY (Osaka) and without (Prague)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.contracts.settlement_hub import encode_request_exit_for, encode_settle
from chainwallet.chain.errors import CallReverted, ChainUnreachable
from chainwallet.chain.node import Node
from chainwallet.chain.transport import HttpTransport
from chainwallet.keys.intents import ExitOrder, PaymentOrder, exit_digest, order_digest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "contracts"))
from passkey_browser import CHROMIUM, BrowserPasskey, browser_page

EUR, UNIT, DEADLINE = 978, 10**6, 2**32 - 1
GAS_MAX = {"prague": 500_000, "osaka": 130_000}  # one payment, alone in its batch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium; recorded vectors are tested anyway"),
]


@pytest.fixture(params=list(GAS_MAX))
def forked(request: pytest.FixtureRequest) -> Iterator[tuple[str, Node]]:
    """A node with the rules of a hard fork."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(find_anvil()), "--silent", "--host", "127.0.0.1", "--port", str(port), "--hardfork", request.param]
    process = subprocess.Popen(command)
    try:
        yield request.param, _open(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


def _open(url: str) -> Node:
    end = time.monotonic() + 20
    while True:
        try:
            node = Node(HttpTransport(url), kind="anvil", url=url)
            node.head()
            return node
        except ChainUnreachable:
            assert time.monotonic() < end, "anvil does not answer"
            time.sleep(0.02)


def test_settle__order_signed_in_a_browser__settles(forked: tuple[str, Node], make_world: Any, operator: Any) -> None:
    fork, node = forked
    world = make_world(node)
    with browser_page() as page:
        passkey, thief = BrowserPasskey(page), BrowserPasskey(page)
        world.deposit("EUR", EUR, passkey.address, 100 * UNIT)
        order = PaymentOrder(
            passkey.address, operator.address, EUR, 40 * UNIT, EUR, 39 * UNIT, 1, DEADLINE, b"\x07" * 32
        )
        digest = order_digest(world.domain, order)
        stolen = encode_settle(1, [order], [thief.sign(digest)], [], [], [])
        with pytest.raises(CallReverted) as caught:
            node.call(world.hub.address, stolen, sender=operator.address)
        assert caught.value.name == "OrderSignatureInvalid"
        settled = node.receipt(
            world.send(world.hub.address, encode_settle(1, [order], [passkey.sign(digest)], [], [], []))
        )
        leaving = ExitOrder(passkey.address, operator.address, EUR, 60 * UNIT, 2, DEADLINE)
        signature = passkey.sign(exit_digest(world.domain, leaving))
        world.send(world.hub.address, encode_request_exit_for(leaving, signature))
    assert world.hub.position(passkey.address, EUR).units == 0
    assert world.hub.pending_exit(passkey.address, EUR).units == 60 * UNIT
    print(f"{fork}: {settled.gas_used:,} gas")
    assert settled.gas_used <= GAS_MAX[fork]
