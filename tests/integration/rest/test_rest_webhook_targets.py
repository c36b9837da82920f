"""Attack 19: no webhook reaches inside. A listener on loopback counts who comes; the corpus must not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from chainwallet.adapters.messaging import targets
from chainwallet.adapters.messaging.pinning import same_url
from chainwallet.adapters.messaging.targets import Target, WebhookUrlRefused, is_public, parse_target
from chainwallet.adapters.messaging.webhooks import WebhookSender
from chainwallet.records.webhooks import Letter, Outcome, Sent

Serving = Callable[..., AbstractContextManager[str]]

# Ways to write our own machine, our own network, and the addresses that hide an IPv4 address inside.
CORPUS = [
    "https://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "https://foo.localhost:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://0.0.0.0:{port}/",
    "https://0:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://127.000.000.001:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::127.0.0.1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fc00::1]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[ff02::1]:{port}/",
    "https://10.0.0.1:{port}/",
    "https://172.16.0.1:{port}/",
    "https://192.168.0.1:{port}/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1:{port}/",
    "https://198.18.0.1:{port}/",
    "https://192.88.99.1:{port}/",
    "https://224.0.0.1:{port}/",
    "https://255.255.255.255:{port}/",
    "https://metadata.internal:{port}/",
    "https://printer.local:{port}/",
    "https://intranet:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://public.example@127.0.0.1:{port}/",
    "https://public.example:80@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@public.example/",
    "https://public.example\\@127.0.0.1:{port}/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://127。0。0。1:{port}/",
    "https://public.example:22/",
    "https://public.example:25/",
    "https://public.example:99999/",
    "gopher://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https:127.0.0.1:{port}",
    "https:///127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/\r\nX-Injected: 1",
    "https://[127.0.0.1]:{port}/",
    "https://rebinds-at-once.example:{port}/",
    "https://half-inside.example:{port}/",
    "https://has-no-address.example:{port}/",
    "",
]

NAMES = {
    "rebinds-at-once.example": ["127.0.0.1"],
    "half-inside.example": ["93.184.216.34", "127.0.0.1"],
    "has-no-address.example": [],
    "public.example": ["93.184.216.34"],
}


async def resolve(host: str, port: int) -> list[str]:
    return NAMES[host] if host in NAMES else await targets.resolve_with_system(host, port)


class Listener:
    """Counts connections to a port on loopback, IPv4 and IPv6 alike."""

    def __init__(self) -> None:
        self.connects = 0
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connects += 1
            connection.close()

    def seen(self) -> int:
        """How many came before now: our own connection, made last, is behind them in the queue."""
        before = self.connects
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as own:
            own.settimeout(5)
            own.recv(1)
        found = self.connects - 1
        self.connects = before if found < before else found
        return self.connects

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


def letter(url: str) -> Letter:
    return Letter("evt_1", "whk_1", url, b"s" * 32, '{"type":"x"}', 1)


def test_the_corpus_reaches_nothing(listener: Listener) -> None:
    sender = WebhookSender(timeout_s=5, resolve=resolve)
    urls = [url.format(port=listener.port) for url in CORPUS]
    sent = sender.send([letter(url) for url in urls])
    assert listener.seen() == 0
    assert len(urls) >= 40
    for url, one in zip(urls, sent, strict=True):
        assert (one.outcome, one.status) != (Outcome.CONFIRMED, 200), url
        assert one.outcome is Outcome.REJECTED, (url, one)


def test_with_the_defence_off_the_same_corpus_does_reach_the_listener(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the listener would have seen those that the HTTP client does not refuse by itself."""
    monkeypatch.setattr(targets, "is_public", lambda _: True)
    monkeypatch.setattr(targets, "_check_target", lambda *_, **__: None)
    loopback = [url.format(port=listener.port) for url in CORPUS[:24] if "{port}" in url and url.startswith("https")]
    WebhookSender(timeout_s=5, resolve=resolve).send([letter(url) for url in loopback])
    assert listener.seen() >= 8


@pytest.mark.parametrize("url", CORPUS)
def test_most_of_the_corpus_cannot_even_be_subscribed(url: str) -> None:
    """Names are not looked up when they are subscribed, so only those that need a look-up pass here."""
    url = url.format(port=8_443)
    needs_lookup = any(name in url for name in NAMES if "public" not in name)
    needs_lookup |= url.startswith(("https://0x7f.", "https://localhost.", "https://127.0.0.1."))
    if needs_lookup:
        return
    with pytest.raises(WebhookUrlRefused):
        parse_target(url, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://bank.example.com/hook?x=1",
        "https://bank.example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
    ],
)
def test_public_urls_may_be_subscribed(url: str) -> None:
    parse_target(url, allow_loopback=False)


def test_addresses_are_judged_by_what_they_hold() -> None:
    assert all(map(is_public, ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "2a00:1450:4001::1"]))
    assert not any(
        map(is_public, ["127.0.0.1", "::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::", "x", ""])
    )


def certificate_for(name: str, folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for `name`: its key and certificate in one file, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "server.pem"
    path.write_bytes(private + public)
    return path, ssl.create_default_context(cadata=public.decode())


def test_the_certificate_is_checked_against_the_name_and_not_the_pinned_address(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(request: Request) -> Response:
        return Response(status_code=204 if request.headers["host"].startswith("hook.example") else 400)

    async def here(host: str, _: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(targets, "is_public", lambda _: True)  # the receiver stands in for one on the internet
    pem, trusting = certificate_for("hook.example", tmp_path)
    app = Starlette(routes=[Route("/", take, methods=["POST"])])
    with serving(app, ssl_certfile=str(pem)) as url:
        port = url.rpartition(":")[2]
        sender = WebhookSender(timeout_s=5, resolve=here, tls=trusting)
        sent = sender.send([letter(f"https://hook.example:{port}/"), letter(f"https://other.example:{port}/")])
        distrusting = WebhookSender(timeout_s=5, resolve=here).send([letter(f"https://hook.example:{port}/")])
    assert sent == [
        Sent(Outcome.CONFIRMED, 204, ""),
        Sent(Outcome.UNKNOWN, None, "its certificate is not one for this name"),
    ]
    assert distrusting == [Sent(Outcome.UNKNOWN, None, "its certificate is not one for this name")]


def test_a_name_is_looked_up_once_and_the_connection_is_pinned(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer would lead inside; nobody asks for it, and the connection is kept."""
    asked, seen = [], []

    async def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async def take(request: Request) -> Response:
        seen.append((request.headers["host"].partition(":")[0], request.client.port if request.client else 0))
        return Response(status_code=204)

    monkeypatch.setattr(targets, "is_public", lambda _: True)  # the receiver stands in for one on the internet
    pem, trusting = certificate_for("rebinding.example", tmp_path)
    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    with serving(app, ssl_certfile=str(pem)) as url:
        sender = WebhookSender(timeout_s=5, resolve=rebinding, tls=trusting, connections_max=1)
        sent = sender.send([letter(f"https://rebinding.example:{url.rpartition(':')[2]}/hook")] * 2)
    assert sent == [Sent(Outcome.CONFIRMED, 204, "")] * 2
    assert asked == ["rebinding.example"]
    assert [host for host, _ in seen] == ["rebinding.example"] * 2
    assert len({port for _, port in seen}) == 1


@pytest.mark.parametrize("url", ["https://one.example:443/x", "https://two.example:8443/", "http://two.example/"])
def test_a_url_that_the_client_reads_otherwise_is_refused(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        same_url(url, Target("https", "two.example", 443))
    assert str(same_url("https://TWO.example/a%20b?c=1", Target("https", "two.example", 443))).endswith("/a%20b?c=1")


def test_a_name_that_leads_inside_is_refused_over_http_too() -> None:
    """`localhost` is what this machine calls itself; elsewhere it may be anybody."""

    async def elsewhere(_: str, __: int) -> list[str]:
        return ["93.184.216.34"]

    [sent] = WebhookSender(allow_loopback=True, resolve=elsewhere).send([letter("http://localhost:9/")])
    assert sent.outcome is Outcome.REJECTED
    assert "WEBHOOK_URL_REFUSED" in sent.reason


def test_a_redirect_is_not_followed(listener: Listener, serving: Serving) -> None:
    async def redirect(_: Request) -> RedirectResponse:
        return RedirectResponse(f"http://127.0.0.1:{listener.port}/", 307)

    with serving(Starlette(routes=[Route("/hook", redirect, methods=["POST"])])) as url:
        sent = WebhookSender(allow_loopback=True).send([letter(f"{url}/hook")])
    assert sent == [Sent(Outcome.REJECTED, 307, "HTTP 307")]
    assert listener.seen() == 0


def test_an_endless_or_silent_answer_costs_bounded_time(serving: Serving) -> None:
    async def endless(_: Request) -> StreamingResponse:
        async def chunks() -> Any:
            while True:
                yield b"x" * 65_536
                await asyncio.sleep(0)

        return StreamingResponse(chunks())

    async def drip(_: Request) -> StreamingResponse:
        async def chunks() -> Any:
            while True:
                yield b"x"
                await asyncio.sleep(0.05)

        return StreamingResponse(chunks())

    routes = [Route("/endless", endless, methods=["POST"]), Route("/drip", drip, methods=["POST"])]
    with serving(Starlette(routes=routes)) as url:
        sender = WebhookSender(allow_loopback=True, timeout_s=0.5)
        sent = sender.send([letter(f"{url}/endless"), letter(f"{url}/drip")])
    assert sent[0] == Sent(Outcome.CONFIRMED, 200, "")
    assert sent[1].outcome is Outcome.UNKNOWN
