"""What becomes of a send, on real chains and over a network that loses things."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from chainwallet.chain.deployer import deploy
from chainwallet.chain.errors import ChainUnreachable
from chainwallet.chain.node import Node
from chainwallet.chain.outcome import Accepted, AlreadyKnown, Rejected, RejectReason, Unknown
from chainwallet.chain.transport import HttpTransport
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import LocalSigner, SignedTransaction

GWEI = 10**9


def _transfer(node: Node, signer: LocalSigner, nonce: int, **changes: Any) -> SignedTransaction:
    fields = {"max_fee_wei": 100 * GWEI, "max_priority_wei": GWEI, "gas": 30_000, "value": 1} | changes
    return signer.sign_transaction(
        Transaction(chain_id=node.chain_id, nonce=nonce, to=signer.address, data=b"", **fields)
    )


def test_send_raw__both_chains__the_same_outcomes(node: Node, operator: LocalSigner) -> None:
    node.fund(operator.address)
    first = _transfer(node, operator, 0)
    assert node.send_raw(first.raw) == Accepted(first.hash)
    _await_mined(node, first)
    assert node.knows(first.hash)
    refusals = {
        RejectReason.NONCE_TOO_LOW: first,  # mined already: nobody asks whether it is the same
        RejectReason.UNDERPRICED: _transfer(node, operator, 1, max_fee_wei=1, max_priority_wei=0),
        RejectReason.INSUFFICIENT_FUNDS: _transfer(node, operator, 1, value=10**30),
    }
    for reason, signed in refusals.items():
        outcome = node.send_raw(signed.raw)
        assert isinstance(outcome, Rejected), (reason, outcome)
        assert outcome.reason == reason
    assert isinstance(node.send_raw(b"\x02not a transaction"), Rejected)
    assert node.nonce(operator.address) == 1


def test_send_raw__waiting_in_the_pool__already_known(anvil: Node, operator: LocalSigner) -> None:
    anvil.fund(operator.address)
    anvil.request("evm_setAutomine", [False])
    waiting = _transfer(anvil, operator, 0)
    assert anvil.send_raw(waiting.raw) == Accepted(waiting.hash)
    assert anvil.send_raw(waiting.raw) == AlreadyKnown(waiting.hash)
    assert anvil.receipt(waiting.hash) is None
    assert (anvil.nonce(operator.address), anvil.nonce(operator.address, pending=True)) == (0, 1)
    cheaper = _transfer(anvil, operator, 0, value=2, max_fee_wei=50 * GWEI)
    outcome = anvil.send_raw(cheaper.raw)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == RejectReason.UNDERPRICED


def _await_mined(node: Node, signed: SignedTransaction) -> None:
    for _ in range(1_000):
        if node.receipt(signed.hash) is not None:
            return
    raise AssertionError(f"{signed.hash} is not mined")


class Fault(Enum):
    """What the proxy does to the next request of a method."""

    LOSE_REQUEST = "the connection is reset before the node sees it"
    LOSE_REPLY = "the node acts, and the connection is reset instead of its reply"
    CUT_REPLY = "half of the reply arrives"
    GATEWAY = "a gateway answers 502 in the node's place"
    GARBAGE = "the reply is not JSON"
    WRONG_ID = "the reply belongs to another request"


class Proxy:
    """A TCP proxy for one node that spoils the replies to `method`, `times` of them."""

    def __init__(self, upstream: str) -> None:
        self._upstream = ("127.0.0.1", int(upstream.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.fault: Fault | None = None
        self.method = ""
        self.times = 0
        self.seen = 0
        Thread(target=self._accept, daemon=True).start()

    def spoil(self, method: str, fault: Fault, *, times: int = 1) -> None:
        self.method, self.fault, self.times, self.seen = method, fault, times, 0

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as node:
            while request := _read_message(client):
                fault = None
                if self.method and self.method.encode() in request:
                    self.seen += 1
                    if self.seen <= self.times:
                        fault = self.fault
                if fault is Fault.LOSE_REQUEST:
                    return _reset(client)
                if fault is Fault.GATEWAY:
                    client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
                    continue
                node.sendall(request)
                reply = _read_message(node)
                if fault is Fault.LOSE_REPLY:
                    return _reset(client)
                if fault is Fault.CUT_REPLY:
                    client.sendall(reply[: len(reply) // 2])
                    return None
                client.sendall(_changed(reply, fault))
        return None


def _changed(reply: bytes, fault: Fault | None) -> bytes:
    if fault not in (Fault.GARBAGE, Fault.WRONG_ID):
        return reply
    body = json.loads(reply.partition(b"\r\n\r\n")[2])
    text = b"<html>" if fault is Fault.GARBAGE else json.dumps(body | {"id": 10**9}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def _read_message(source: socket.socket) -> bytes:
    """One HTTP message with a Content-Length, or nothing at the end of the connection."""
    message = b""
    while b"\r\n\r\n" not in message:
        part = source.recv(65_536)
        if not part:
            return b""
        message += part
    head, _, body = message.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += source.recv(65_536)
    return head + b"\r\n\r\n" + body


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def proxy(anvil: Node) -> Iterator[Proxy]:
    made = Proxy(anvil.url)
    yield made
    made.close()


@pytest.fixture
def through(proxy: Proxy) -> Iterator[Node]:
    """The node as it is seen through the proxy."""
    node = Node(HttpTransport(proxy.url), kind="remote", url=proxy.url)
    yield node
    node.close()


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_send_raw__spoilt_reply__unknown_and_sent_exactly_once(
    anvil: Node, through: Node, proxy: Proxy, operator: LocalSigner, fault: Fault
) -> None:
    anvil.fund(operator.address)
    signed = _transfer(anvil, operator, 0)
    proxy.spoil("eth_sendRawTransaction", fault, times=99)
    assert isinstance(through.send_raw(signed.raw), Unknown)
    assert proxy.seen == 1
    arrived = fault not in (Fault.LOSE_REQUEST, Fault.GATEWAY)
    if arrived:
        _await_mined(anvil, signed)
    assert anvil.nonce(operator.address) == int(arrived)
    proxy.spoil("", fault)
    again = through.send_raw(signed.raw)  # what the submitter does after looking the hash up: the same bytes
    if arrived:
        assert isinstance(again, Rejected)
        assert again.reason == RejectReason.NONCE_TOO_LOW
    else:
        assert again == Accepted(signed.hash)
    _await_mined(anvil, signed)
    assert anvil.nonce(operator.address) == 1


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_read__spoilt_reply__tried_again(through: Node, proxy: Proxy, fault: Fault) -> None:
    proxy.spoil("eth_getBlockByNumber", fault, times=2)
    assert through.head().number == 0
    assert proxy.seen == 3


def test_read__spoilt_for_good__unreachable_after_four_attempts(through: Node, proxy: Proxy) -> None:
    proxy.spoil("eth_getBlockByNumber", Fault.LOSE_REPLY, times=99)
    with pytest.raises(ChainUnreachable):
        through.head()
    assert proxy.seen == 4


def test_batch__spoilt_once__tried_again(through: Node, proxy: Proxy, operator: LocalSigner) -> None:
    proxy.spoil("eth_getCode", Fault.LOSE_REPLY)
    assert through.codes([operator.address] * 3) == [b""] * 3
    assert proxy.seen == 2


def test_unreachable__names_the_host_but_not_the_key_in_the_path() -> None:
    with pytest.raises(ChainUnreachable) as caught:
        HttpTransport("http://127.0.0.1:9/v3/secret-project-key").request("eth_chainId", [], retry=False)
    assert "127.0.0.1:9" in caught.value.detail
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY], ids=lambda fault: fault.name)
def test_deploy__sends_of_unknown_outcome__looked_up_and_sent_again(
    anvil: Node, through: Node, proxy: Proxy, operator: LocalSigner, tmp_path: Path, fault: Fault
) -> None:
    """The first two sends get lost, or their replies: every transaction still happens exactly once."""
    anvil.fund(operator.address)
    proxy.spoil("eth_sendRawTransaction", fault, times=2)
    deployment = deploy(through, operator, currencies=["EUR"], folder=tmp_path / "deployments", broadcast=True)
    assert anvil.code(deployment.hub)
    assert anvil.nonce(operator.address) == 6
    assert proxy.seen == (8 if fault is Fault.LOSE_REQUEST else 6)
