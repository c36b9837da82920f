"""Sending webhooks: signed by Standard Webhooks, to a pinned public address, many at a time.

A payment makes three letters, so that what one costs counts: with aiohttp a sixth of what httpx takes.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import certifi
from standardwebhooks import Webhook as Signer

from chainwallet.adapters.messaging.targets import (
    Resolve,
    Target,
    parse_target,
    resolve_with_system,
)
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.records.webhooks import Letter, Outcome, Sent

if TYPE_CHECKING:
    from aiohttp import ClientSession

SECRET_PREFIX = "whsec_"
ANSWER_BYTES_MAX = 16_384
_USER_AGENT = "chainwallet-webhooks/1"
_REASONS = {
    "ClientConnectorError": "no connection",
    "ClientConnectorCertificateError": "its certificate is not one for this name",
    "ServerDisconnectedError": "hung up without an answer",
}


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
        self._tls = tls or ssl.create_default_context(cafile=certifi.where())

    def check(self, url: str) -> None:
        """WebhookUrlRefused unless `url` is one that could be sent to; makes no look-up."""
        parse_target(url, allow_loopback=self._allow_loopback)

    def send(self, letters: Sequence[Letter]) -> list[Sent]:
        return asyncio.run(self._send_all(letters))

    async def _send_all(self, letters: Sequence[Letter]) -> list[Sent]:
        from aiohttp import ClientSession

        from chainwallet.adapters.messaging.pinning import pinned_connector  # with the first letter, not at the start

        gate = asyncio.Semaphore(self._connections_max)
        connector = pinned_connector(self._resolve, self._tls, allow_loopback=self._allow_loopback)
        # trust_env off: a proxy from the environment would resolve the name again, past the check.
        async with ClientSession(connector=connector, trust_env=False) as session:
            return await asyncio.gather(*(self._send_one(session, gate, letter) for letter in letters))

    async def _send_one(self, session: ClientSession, gate: asyncio.Semaphore, letter: Letter) -> Sent:
        async with gate:
            try:
                target = parse_target(letter.url, allow_loopback=self._allow_loopback)
                async with asyncio.timeout(self._timeout_s):
                    return await _post(session, letter, target)
            except ChainwalletError as error:
                return Sent(Outcome.REJECTED, None, f"{error.code}: {error.detail}")
            except TimeoutError:
                return Sent(Outcome.UNKNOWN, None, f"no answer within {self._timeout_s:g} s")
            except Exception as error:  # whatever one receiver does, the other letters go out
                kind = type(error).__name__
                return Sent(Outcome.UNKNOWN, None, _REASONS.get(kind, kind))


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


async def _post(session: ClientSession, letter: Letter, target: Target) -> Sent:
    from chainwallet.adapters.messaging.pinning import same_url

    url, headers = same_url(letter.url, target), sign(letter, at=utc_now())
    async with session.post(url, data=letter.body.encode(), headers=headers, allow_redirects=False) as answer:
        taken = 0
        async for chunk in answer.content.iter_any():
            taken += len(chunk)
            if taken > ANSWER_BYTES_MAX:
                break  # the status says it all; a body without end is the receiver's affair
    if 200 <= answer.status < 300:
        return Sent(Outcome.CONFIRMED, answer.status, "")
    return Sent(Outcome.REJECTED, answer.status, f"HTTP {answer.status}")
