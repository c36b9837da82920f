"""Where a webhook may go: URLs whose host resolves to public addresses, and nothing inside our own walls."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from chainwallet.kit.errors import ChainwalletError

URL_MAX = 2_048
LOCALHOST = "localhost"
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)
_LOCAL_NAMES = (LOCALHOST, ".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet")

# IPv6 is refused unless it is global unicast outside the ranges that carry an IPv4 address or a protocol
# of its own inside (Python 3.11 calls most of these global): IETF protocols with Teredo, 6to4, documentation.
_V6_GLOBAL = ipaddress.ip_network("2000::/3")
_V6_REFUSED = tuple(map(ipaddress.ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_V4_REFUSED = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4")))

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> addresses, as text."""


class WebhookUrlRefused(ChainwalletError):
    code = "WEBHOOK_URL_REFUSED"
    status = 422


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart and found well formed; its addresses are not known yet."""

    scheme: str
    host: str
    port: int


def parse_target(url: str, *, allow_loopback: bool) -> Target:
    """The parts of a URL that may be subscribed; WebhookUrlRefused with the reason otherwise.

    Without `allow_loopback` only https to a public name or address. No look-up is made here: that would
    tell a caller which names exist inside our network.
    """
    if len(url) > URL_MAX or not url.isascii() or any(ord(char) <= 32 or char in '\\"<>^`{|}' for char in url):
        raise _refused(f"has more than {URL_MAX} characters, or characters that a URL must encode")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused("is malformed") from error
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        raise _refused("must start with https:// and name a host")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc or parts.fragment:
        raise _refused("must not carry a user name, a password or a fragment")
    target = Target(parts.scheme, host, port if port is not None else (443 if parts.scheme == "https" else 80))
    _check_target(target, allow_loopback=allow_loopback)
    return target


async def resolve_public(target: Target, *, allow_loopback: bool, resolve: Resolve) -> str:
    """One address for the target, looked up once; WebhookUrlRefused if any of its addresses is not public."""
    found = await resolve(target.host, target.port)
    if not found:
        raise _refused("has a host that does not resolve")
    for text in found:
        if not _is_reachable(text, scheme=target.scheme, allow_loopback=allow_loopback):
            raise _refused("leads to an address that is not public")
    return found[0]


async def resolve_with_system(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows for `host`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever it is wrapped in."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _V4_REFUSED)
    return address.is_global and address in _V6_GLOBAL and not any(address in network for network in _V6_REFUSED)


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _is_reachable(text: str, *, scheme: str, allow_loopback: bool) -> bool:
    if allow_loopback and _is_loopback(text):
        return True
    return scheme == "https" and is_public(text)


def _check_target(target: Target, *, allow_loopback: bool) -> None:
    local = target.host == LOCALHOST or _is_loopback(target.host)
    if target.scheme == "http" and not (local and allow_loopback):
        raise _refused("must use https")
    if local and allow_loopback:
        return
    if target.port != 443 and target.port < 1_024:
        raise _refused("must use port 443 or one above 1023")
    if ":" in target.host or target.host.replace(".", "").isdigit():
        if not is_public(target.host):
            raise _refused("leads to an address that is not public")
    elif _HOST.fullmatch(target.host) is None or len(target.host) > 253:
        raise _refused("has a malformed host name (write international names in their xn-- form)")
    elif target.host.endswith(_LOCAL_NAMES) or "." not in target.host:
        raise _refused("must name a host on the public internet")


def _refused(reason: str) -> WebhookUrlRefused:
    return WebhookUrlRefused(f"The webhook URL {reason}. Give an https:// URL that anyone can reach.")
