"""A JSON-RPC proxy on loopback between the service and its node: it loses, delays and repeats, and it lies."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

NETWORK_FAULTS = ("drop", "lose_reply", "delay", "duplicate", "truncate", "reset", "bad_gateway", "garbage")
Rpc = dict[str, Any]
Lie = Callable[["RpcProxy", Rpc, Any], Any]
"""(proxy, request, honest result) -> the result that is told. Raise RpcError to tell an error."""


class RpcError(Exception):
    """An error that a liar makes up."""


class RpcProxy:
    """Forwards to `upstream`. `fault_share` of the requests meet one of NETWORK_FAULTS; `lie` may alter results.

    `withhold(request)` True: the request never reaches the node, and the lie is all there is.
    """

    def __init__(self, upstream: Callable[[], str], *, seed: int) -> None:
        self.fault_share = 0.0
        self.faults: tuple[str, ...] = NETWORK_FAULTS
        self.lie: Lie | None = None
        self.withholds: frozenset[str] = frozenset()
        self.met: Counter[str] = Counter()
        self.sends = 0  # while requests met faults: all of them, and those that met one
        self.sends_met = 0
        self.lies_told = 0
        self._upstream = upstream
        self._random = random.Random(seed)
        self._pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=urllib3.Timeout(connect=3, read=30))
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def do_POST(self) -> None:
                proxy._serve(self)

            def log_message(self, *_: Any) -> None:
                """Nothing: what was met is counted."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed hangs up; that is the point."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, name="rpc-proxy", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def be_honest(self) -> None:
        """Forward everything as it is."""
        self.fault_share, self.lie, self.withholds = 0.0, None, frozenset()

    def ask(self, method: str, *params: Any) -> Any:
        """The node itself, for a liar that needs true material."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return json.loads(self._forward(json.dumps(request).encode())).get("result")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        fault = self._draw(body)
        if fault in ("drop", "reset"):
            return self._hang_up(handler, with_reset=fault == "reset")
        if fault == "delay":
            time.sleep(self._random.uniform(0.05, 1.0))
        try:
            answer = self._answer(body)
            if fault == "duplicate":
                answer = self._answer(body)
        except urllib3.exceptions.HTTPError:
            return self._hang_up(handler, with_reset=False)
        if fault == "lose_reply":
            return self._hang_up(handler, with_reset=False)
        status = 502 if fault == "bad_gateway" else 200
        if status == 502 or fault == "garbage":
            answer = b"<html>no node behind this gateway</html>"
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer[: len(answer) // 2] if fault == "truncate" else answer)
        if fault == "truncate":
            self._hang_up(handler, with_reset=False)
        return None

    def _draw(self, body: bytes) -> str | None:
        if self.fault_share == 0:
            return None
        is_send = b"eth_sendRawTransaction" in body
        self.sends += is_send
        if self._random.random() >= self.fault_share:
            return None
        fault = self._random.choice(self.faults)
        self.met[fault] += 1
        self.sends_met += is_send
        return fault

    def _hang_up(self, handler: BaseHTTPRequestHandler, *, with_reset: bool) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            if with_reset:
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    def _answer(self, body: bytes) -> bytes:
        lie = self.lie
        if lie is None:
            return self._forward(body)
        asked = json.loads(body)
        many = asked if isinstance(asked, list) else [asked]
        told = [self._told(lie, one) for one in many]
        return json.dumps(told if isinstance(asked, list) else told[0]).encode()

    def _told(self, lie: Lie, request: Rpc) -> Rpc:
        honest: Rpc = {"jsonrpc": "2.0", "id": request.get("id"), "result": None}
        if request["method"] not in self.withholds:
            honest = json.loads(self._forward(json.dumps(request).encode()))
        if "error" in honest:
            return honest
        try:
            result = lie(self, request, honest.get("result"))
        except RpcError as error:
            self.lies_told += 1
            return {"jsonrpc": "2.0", "id": request.get("id"), "error": {"code": -32000, "message": str(error)}}
        self.lies_told += result != honest.get("result") or request["method"] in self.withholds
        return {**honest, "result": result}

    def _forward(self, body: bytes) -> bytes:
        answer = self._pool.request("POST", self._upstream(), body=body, headers={"Content-Type": "application/json"})
        return bytes(answer.data)
