"""Connections that lead where a check has said they may: each name looked up once, every address it has looked at."""

from __future__ import annotations

import socket
import ssl

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from chainwallet.adapters.messaging.targets import LOCALHOST, Resolve, Target, WebhookUrlRefused, resolve_public


def pinned_connector(resolve: Resolve, tls: ssl.SSLContext, *, allow_loopback: bool) -> TCPConnector:
    """Connects to the address that was checked, and to no other; certificates are verified against the name.

    Connections are kept by name and never by address: what one name has proven is no other's.
    """
    resolver = _CheckingResolver(resolve, allow_loopback=allow_loopback)
    return TCPConnector(resolver=resolver, use_dns_cache=False, limit=0, ssl=tls)


def same_url(text: str, target: Target) -> URL:
    """The URL as the HTTP client reads it; WebhookUrlRefused where it reads another host than was checked."""
    url = URL(text, encoded=True)
    if (url.raw_host or "").lower() != target.host or url.port != target.port or url.scheme != target.scheme:
        raise WebhookUrlRefused("The webhook URL can be read in two ways. Write it plainly: https://name/path.")
    return url


class _CheckingResolver(AbstractResolver):
    """Asked for names only: an address that stands in the URL itself was checked with the URL."""

    def __init__(self, resolve: Resolve, *, allow_loopback: bool) -> None:
        self._resolve = resolve
        self._allow_loopback = allow_loopback

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        # Over http only loopback may be reached, and only by its own name.
        target = Target("http" if host == LOCALHOST else "https", host, port)
        address = await resolve_public(target, allow_loopback=self._allow_loopback, resolve=self._resolve)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [{"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is kept."""
