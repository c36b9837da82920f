"""The Python client of the REST API: one class, one method per call, errors with their stable codes.

Owns: nothing; it speaks HTTP and imports no other room.
Never: retries a POST under a new idempotency key, or turns an amount into a float.
Invariants: a money-moving call carries an Idempotency-Key, the caller's or one made here and kept for its retries.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import httpx

from chainwallet.client.errors import ApiError

if TYPE_CHECKING:
    from chainwallet.client.stream import MakerStream

__all__ = ["ApiError", "Client", "Json"]

Json = dict[str, Any]
_RETRIED = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError, httpx.TimeoutException)


class Client:
    """Calls one chainwallet service with one bearer key. Amounts are {"currency": "EUR", "value": "100.00"}."""

    def __init__(self, base_url: str, key: str, *, timeout_s: float = 60, retries: int = 8) -> None:
        self._url, self._key = base_url.rstrip("/"), key
        self._http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        """GET `path`; a lost connection is tried again."""
        return self._send("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: Json, *, idempotency_key: str | None = None) -> Json:
        """POST a JSON body under an Idempotency-Key; retries of a lost connection carry the same one."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._send("POST", path, json=body, headers=headers)

    def items(self, path: str, **query: Any) -> Iterator[Json]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def create_customer(self, **fields: Any) -> Json:
        return self.post("/v1/customers", fields)

    def balances(self, customer_id: str) -> list[Json]:
        return list(self.get(f"/v1/customers/{customer_id}/balances")["items"])

    def deposit(self, customer_id: str, amount: Json, **options: Any) -> Json:
        return self.post("/v1/deposits", {"customer_id": customer_id, "amount": amount}, **options)

    def exit(self, customer_id: str, amount: Json, recipient: str, **options: Any) -> Json:
        return self.post(f"/v1/customers/{customer_id}/exits", {"amount": amount, "recipient": recipient}, **options)

    def exits(self, customer_id: str) -> Iterator[Json]:
        return self.items(f"/v1/customers/{customer_id}/exits")

    def quote(self, **fields: Any) -> Json:
        return self.post("/v1/quotes", fields)

    def maker_quote(self, **fields: Any) -> Json:
        return self.post("/v1/maker-quotes", fields)

    def put_ladder(self, maker_id: str, sell: str, buy: str, **fields: Any) -> Json:
        """Replace a maker's ladder: version, expires_at, levels. Where a lost connection hid success, it is stale."""
        return self._send("PUT", f"/v1/makers/{maker_id}/ladders/{sell}-{buy}", json=fields)

    def withdraw_ladders(self, maker_id: str) -> Json:
        return self._send("DELETE", f"/v1/makers/{maker_id}/ladders")

    def fills(self, maker_id: str) -> Iterator[Json]:
        return self.items(f"/v1/makers/{maker_id}/fills")

    def maker_stream(
        self, maker_id: str, *, after: int | None = None, cancel_on_disconnect: bool = False
    ) -> MakerStream:
        """Open the maker's stream. ApiError when it is refused."""
        from chainwallet.client.stream import MakerStream

        query = f"?cancel_on_disconnect={str(cancel_on_disconnect).lower()}" + (
            "" if after is None else f"&after={after}"
        )
        url = f"{self._url}/v1/makers/{maker_id}/stream{query}"
        return MakerStream(url.replace("http", "ws", 1), self._key)

    def transfer(self, *, idempotency_key: str | None = None, **fields: Any) -> Json:
        return self.post("/v1/transfers", fields, idempotency_key=idempotency_key)

    def get_transfer(self, transfer_id: str) -> Json:
        return self.get(f"/v1/transfers/{transfer_id}")

    def return_transfer(self, transfer_id: str, *, reason: str = "MS03", **options: Any) -> Json:
        """Send a settled transfer's money back; `reason` is a code of ISO 20022 ExternalReturnReason1Code."""
        return self.post(f"/v1/transfers/{transfer_id}/return", {"reason": reason}, **options)

    def receipt(self, transfer_id: str) -> Json:
        return self.get(f"/v1/transfers/{transfer_id}/receipt")

    def execution(self, transfer_id: str) -> Json:
        return self.get(f"/v1/transfers/{transfer_id}/execution")

    def upload_payments(self, xml: bytes) -> Json:
        """Hand in a pain.001 file; the answer names it, GET /v1/payment-files/{id} tells how far it is."""
        return self._send("POST", "/v1/payment-files", content=xml, headers={"Content-Type": "application/xml"})

    def wait_until_ready(self, timeout_s: float = 60) -> None:
        """Return when the service is ready to take payments; TimeoutError otherwise."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                if self._http.get("/health/ready", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"The service at {self._http.base_url} was not ready within {timeout_s:.0f} s.")

    def _send(self, method: str, path: str, **options: Any) -> Json:
        for attempt in range(self._retries + 1):
            try:
                response = self._http.request(method, path, **options)
            except _RETRIED:
                if attempt == self._retries:
                    raise
                time.sleep(min(0.05 * 2**attempt, 0.5))
                continue
            if response.is_success:
                return dict(response.json()) if response.content else {}
            raise ApiError(response.status_code, _problem(response))
        raise AssertionError("unreachable")


def _problem(response: httpx.Response) -> Json:
    try:
        return dict(response.json())
    except ValueError:
        return {"code": "UNKNOWN", "detail": response.text[:200]}
