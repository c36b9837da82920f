"""A receiver of webhooks: keeps every letter as it came, and now and then does not answer as it should."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.chaos.record import Record


class Receiver:
    """Listens on loopback. `trouble` is the share of letters that are kept and then answered with a 500 or nothing."""

    def __init__(self, record: Record, *, seed: int, trouble: float = 0.02) -> None:
        self.secret = b""
        self.trouble = trouble
        self._record = record
        self._random = random.Random(seed)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: Any) -> None:
                """Nothing: the record is the log."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # of connections that a sender opens at once; beyond it they wait for a second

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sender that was killed hangs up; that is the point."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length", 0))
        body = request.rfile.read(length)
        if len(body) < length:
            return  # its sender was killed in the middle: no letter
        event_id = request.headers.get("webhook-id", "")
        signed = f"{event_id}.{request.headers.get('webhook-timestamp', '')}.".encode() + body
        wanted = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        is_signed = f"v1,{wanted}" in request.headers.get("webhook-signature", "").split()
        self._record.add("letter", event=event_id, is_signed=is_signed, body=body.decode(errors="replace"))
        draw = self._random.random()
        if draw < self.trouble / 2:
            request.close_connection = True  # without an answer
            return
        request.send_response(500 if draw < self.trouble else 204)
        request.send_header("content-length", "0")
        request.end_headers()
