"""A maker's end of the stream: ladders go out at any rate, messages come in as they happen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from chainwallet.client.errors import ApiError

Json = dict[str, Any]


class StreamEnded(Exception):
    """The service ended the stream: `reason` is a stable code where it refused to go on (AUTH_KEY_INVALID, ...)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}".strip())


class MakerStream:
    """One open stream; use it as a context manager. One thread may send while another receives."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 30) -> None:
        try:
            self._socket = connect(url, additional_headers={"Authorization": f"Bearer {key}"}, open_timeout=timeout_s)
        except InvalidStatus as refused:
            raise _refusal(refused) from refused
        except InvalidHandshake as failed:
            raise StreamEnded(1006, "") from failed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send_ladder(self, sell: str, buy: str, *, version: int, expires_at: str, levels: Sequence[Json]) -> None:
        """Replace one ladder, without waiting: the acknowledgement says what became of it."""
        body = {"sell": sell, "buy": buy, "version": version, "expires_at": expires_at, "levels": list(levels)}
        self.send_text(json.dumps({"type": "ladder", **body}))

    def send_text(self, message: str | bytes) -> None:
        """Send a message as it is. Blocks while the service has no room. StreamEnded."""
        try:
            self._socket.send(message)
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    def receive(self, *, timeout_s: float | None = None) -> Json | None:
        """The next message; None when `timeout_s` passes without one. StreamEnded."""
        try:
            return dict(json.loads(self._socket.recv(timeout=timeout_s)))
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise _ended(closed) from closed


def _ended(closed: ConnectionClosed) -> StreamEnded:
    return StreamEnded(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else StreamEnded(1006, "")


def _refusal(refused: InvalidStatus) -> ApiError:
    try:
        problem = json.loads(refused.response.body or b"")
    except ValueError:
        problem = {"code": "UNKNOWN", "detail": "The service refused the stream."}
    return ApiError(refused.response.status_code, problem)
