"""The embedded chain behind HTTP on loopback, for programs that only speak JSON-RPC to a URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from chainwallet.chain.embedded import EmbeddedChain
from chainwallet.chain.errors import RpcRefused

BODY_MAX = 8 << 20
_PARSE_ERROR, _INVALID_REQUEST, _INVALID_PARAMS = -32700, -32600, -32602


@contextmanager
def serve(chain: EmbeddedChain, *, port: int = 0) -> Iterator[str]:
    """The URL at which `chain` answers, until the block ends. Loopback only; `port` 0 picks a free one."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(chain))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="embedded-chain", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(chain: EmbeddedChain) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open
        disable_nagle_algorithm = True

        def do_POST(self) -> None:  # the name that http.server calls
            length = int(self.headers.get("Content-Length") or 0)
            if length > BODY_MAX:
                self.send_error(413)
                return
            body = json.dumps(_answer_text(chain, self.rfile.read(length))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a line a request would drown everything else."""

    return Handler


def _answer_text(chain: EmbeddedChain, text: bytes) -> Any:
    try:
        asked = json.loads(text)
    except ValueError:
        return _error(None, _PARSE_ERROR, "not JSON")
    return [_answer(chain, one) for one in asked] if isinstance(asked, list) else _answer(chain, asked)


def _answer(chain: EmbeddedChain, asked: Any) -> dict[str, Any]:
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return _error(None, _INVALID_REQUEST, "not a request")
    request_id = asked.get("id")
    try:
        result = chain.request(asked["method"], list(asked.get("params") or []))
    except RpcRefused as refused:
        return _error(request_id, refused.rpc_code, refused.detail, refused.data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return _error(request_id, _INVALID_PARAMS, f"{type(error).__name__}: {error}")
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _error(request_id: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
