"""Sending webhooks: signed by Standard Webhooks, to a pinned public address, many at a time."""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook as Signer

from chainwallet.adapters.messaging.targets import Resolve, parse_target, resolve_public, resolve_with_system
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records.webhooks import Letter, Outcome, Sent

SECRET_PREFIX = "whsec_"
ANSWER_BYTES_MAX = 16_384
_USER_AGENT = "chainwallet-webhooks/1"


def new_webhook_secret() -> tuple[str, bytes]:
    """A fresh signing secret: (as the receiver enters it, as it is stored)."""
    raw = secrets.token_bytes(32)
    return SECRET_PREFIX + base64.b64encode(raw).decode(), raw


class WebhookSender:
    """Sends letters at the same time, each within `timeout_s` in all, name look-up included.

    Call `send` from a worker thread: it runs an event loop of its own.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        timeout_s: float = 10.0,
        connections_max: int = 32,
        resolve: Resolve = resolve_with_system,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._timeout_s = timeout_s
        self._connections_max = connections_max
        self._resolve = resolve
        self._tls = tls or httpx.create_ssl_context(trust_env=False)

    def check(self, url: str) -> None:
        """WebhookUrlRefused unless `url` is one that could be sent to; makes no look-up."""
        parse_target(url, allow_loopback=self._allow_loopback)

    def send(self, letters: Sequence[Letter]) -> list[Sent]:
        return asyncio.run(self._send_all(letters))

    async def _send_all(self, letters: Sequence[Letter]) -> list[Sent]:
        gate = asyncio.Semaphore(self._connections_max)
        transport = _PinnedTransport(allow_loopback=self._allow_loopback, resolve=self._resolve, tls=self._tls)
        # trust_env off: a proxy from the environment would resolve the name again, past the check.
        async with httpx.AsyncClient(transport=transport, follow_redirects=False, trust_env=False) as client:
            return await asyncio.gather(*(self._send_one(client, gate, letter) for letter in letters))

    async def _send_one(self, client: httpx.AsyncClient, gate: asyncio.Semaphore, letter: Letter) -> Sent:
        async with gate:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await _post(client, letter)
            except ChainwalletError as error:
                return Sent(Outcome.REJECTED, None, f"{error.code}: {error.detail}")
            except TimeoutError:
                return Sent(Outcome.UNKNOWN, None, f"no answer within {self._timeout_s:g} s")
            except Exception as error:  # whatever one receiver does, the other letters go out
                return Sent(Outcome.UNKNOWN, None, type(error).__name__)


def sign(letter: Letter, *, at: datetime) -> dict[str, str]:
    """The headers of a letter: id, time and HMAC-SHA256 over "id.time.body" (Standard Webhooks 1.0)."""
    moment = at.astimezone(UTC)
    return {
        "webhook-id": letter.event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Signer(letter.secret).sign(letter.event_id, moment, letter.body),
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
    }


async def _post(client: httpx.AsyncClient, letter: Letter) -> Sent:
    headers = sign(letter, at=utc_now())
    async with client.stream("POST", letter.url, content=letter.body.encode(), headers=headers) as answer:
        taken = 0
        async for chunk in answer.aiter_raw():
            taken += len(chunk)
            if taken > ANSWER_BYTES_MAX:
                break  # the status says it all; a body without end is the receiver's affair
    if 200 <= answer.status_code < 300:
        return Sent(Outcome.CONFIRMED, answer.status_code, "")
    return Sent(Outcome.REJECTED, answer.status_code, f"HTTP {answer.status_code}")


class _PinnedTransport(httpx.AsyncBaseTransport):
    """Looks a name up once, checks every address it has, and connects to the one that was checked.

    The Host header and the name in the TLS handshake stay those of the URL, so certificates are
    verified against the name.
    """

    def __init__(self, *, allow_loopback: bool, resolve: Resolve, tls: ssl.SSLContext) -> None:
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        # No connection is kept: pools know connections by address, and two names may share one address.
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls, retries=0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = parse_target(str(request.url), allow_loopback=self._allow_loopback)
        address = await resolve_public(target, allow_loopback=self._allow_loopback, resolve=self._resolve)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": target.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()
