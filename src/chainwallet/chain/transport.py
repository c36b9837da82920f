"""JSON-RPC over HTTP. Reads are tried again when the network fails them; sends never are.

urllib3, and not web3's provider, carries it: 0.2 ms a round trip instead of 0.6, and a retry policy of ours. (web3 8
retries sends as well as reads after a 5xx or a timeout, and neither after a reset connection.)
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import urllib3

from chainwallet.chain.errors import ChainUnreachable, RpcRefused

READ_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
RETRY_DELAYS_S = (0.05, 0.2, 0.8)
_HEADERS = {"Content-Type": "application/json"}

Request = tuple[str, list[Any]]
_T = TypeVar("_T")


class Transport(Protocol):
    """One node's JSON-RPC. Safe to use from several threads."""

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        """The `result`; ChainUnreachable without a usable answer, RpcRefused for a JSON-RPC error."""
        ...

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        """The results of several reads in one round trip; the first error of any is raised."""
        ...

    def close(self) -> None:
        """Give connections back; the transport is not used afterwards."""
        ...


class HttpTransport:
    """JSON-RPC at a URL, over a pool of kept-alive connections."""

    def __init__(self, url: str, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._url = url
        parts = urllib3.util.parse_url(url)
        self._name = f"{parts.host}:{parts.port}" if parts.port else str(parts.host)  # without a path's API key
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s)
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=timeout)
        self._ids = itertools.count(1)

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        return _attempt(lambda: self._request_once(method, params), retry=retry)

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        return _attempt(lambda: self._batch_once(requests), retry=True) if requests else []

    def close(self) -> None:
        self._pool.clear()

    def _request_once(self, method: str, params: list[Any]) -> Any:
        request_id = next(self._ids)
        answer = self._post({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        if not isinstance(answer, dict) or answer.get("id") != request_id:
            raise ChainUnreachable(f"The node's answer to {method} is not one to that request.")
        return _result(answer, method)

    def _batch_once(self, requests: Sequence[Request]) -> list[Any]:
        ids = [next(self._ids) for _ in requests]
        body = [
            {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
            for request_id, (method, params) in zip(ids, requests, strict=True)
        ]
        answers = self._post(body)
        if isinstance(answers, dict):  # a node that takes no batches answers with one error
            return [self._request_once(method, params) for method, params in requests]
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        if any(request_id not in by_id for request_id in ids):
            raise ChainUnreachable("The node left out an answer of a batch of requests.")
        return [_result(by_id[request_id], method) for request_id, (method, _) in zip(ids, requests, strict=True)]

    def _post(self, body: Any) -> Any:
        payload = json.dumps(body).encode()
        try:
            response = self._pool.request("POST", self._url, body=payload, headers=_HEADERS)
        except urllib3.exceptions.HTTPError as error:
            raise ChainUnreachable(
                f"The node at {self._name} gives no answer ({type(error).__name__}); check that it runs."
            ) from error
        try:
            answer = json.loads(response.data)
        except ValueError as error:
            raise ChainUnreachable(f"The node at {self._name} answers HTTP {response.status} without JSON.") from error
        # Some nodes send JSON-RPC errors with a 4xx; a gateway's 429 or 5xx says nothing about the request.
        if response.status == 429 or response.status >= 500:
            raise ChainUnreachable(f"The node at {self._name} answers HTTP {response.status}; try again later.")
        return answer


def _attempt(request: Callable[[], _T], *, retry: bool) -> _T:
    for delay_s in RETRY_DELAYS_S if retry else ():
        try:
            return request()
        except ChainUnreachable:
            time.sleep(delay_s)
    return request()


def _result(answer: dict[str, Any], method: str) -> Any:
    error = answer.get("error")
    if error is None:
        if "result" not in answer:
            raise ChainUnreachable(f"The node's answer to {method} has neither result nor error.")
        return answer["result"]
    if not isinstance(error, dict):
        raise RpcRefused(f"The node refuses {method}: {error}", method=method)
    raise RpcRefused(
        f"The node refuses {method}: {error.get('message', '')}",
        rpc_code=int(error.get("code", -32000)),
        data=_revert_data(error.get("data")),
        method=method,
    )


def _revert_data(data: Any) -> str | None:
    """Revert data where clients put it: the string itself, inside an object, or after a word ("Reverted 0x...")."""
    if isinstance(data, dict):
        data = data.get("data") or data.get("output")
    if not isinstance(data, str):
        return None
    _, found, digits = data.partition("0x")
    return "0x" + digits if found else None
