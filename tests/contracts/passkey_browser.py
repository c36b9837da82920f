"""A real browser with a virtual authenticator: registers a passkey, and signs digests with it.

Chromium's own WebAuthn does the work; nothing of it is imitated here. Run as a script, this file records
tests/vectors/passkeys.json anew.
"""

from __future__ import annotations

import json
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from chainwallet.keys.passkeys import PasskeyPublicKey, pack_assertion

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "passkeys.json"
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
REGISTER = """async () => {
  const to64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  const made = await navigator.credentials.create({publicKey: {
    rp: {id: "localhost", name: "Bank"},
    user: {id: crypto.getRandomValues(new Uint8Array(16)), name: "customer", displayName: "Customer"},
    challenge: new Uint8Array(32), pubKeyCredParams: [{type: "public-key", alg: -7}],
    authenticatorSelection: {userVerification: "required", residentKey: "required"}}});
  return {id: to64(made.rawId), key: to64(made.response.getPublicKey())};
}"""
SIGN = """async ([id, digest]) => {
  const to64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  const from64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const {response} = await navigator.credentials.get({publicKey: {
    rpId: "localhost", challenge: from64(digest), userVerification: "required",
    allowCredentials: [{type: "public-key", id: from64(id)}]}});
  return {authenticator_data: to64(response.authenticatorData), client_data: to64(response.clientDataJSON),
    signature_der: to64(response.signature)};
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>bank</title>")

    def log_message(self, *_: Any) -> None:
        return


class BrowserPasskey:
    """A passkey that lives in a browser's authenticator."""

    def __init__(self, page: Any) -> None:
        self._page = page
        made = page.evaluate(REGISTER)
        self._id = made["id"]
        self.key_der = b64decode(made["key"])
        self.public = PasskeyPublicKey.from_der(self.key_der)
        self.address = self.public.address

    def assertion(self, digest: bytes) -> dict[str, bytes]:
        """What the browser hands out for this challenge."""
        made = self._page.evaluate(SIGN, [self._id, b64encode(digest).decode()])
        return {name: b64decode(text) for name, text in made.items()}

    def sign(self, digest: bytes) -> bytes:
        return pack_assertion(self.public, **self.assertion(digest))


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of http://localhost in Chromium, with a virtual authenticator that verifies its user."""
    from playwright.sync_api import sync_playwright

    server = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            page = browser.new_page()
            page.goto(f"http://localhost:{server.server_port}/")
            devtools = page.context.new_cdp_session(page)
            devtools.send("WebAuthn.enable")
            devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


def record(keys: int = 4, signatures: int = 6) -> list[dict[str, Any]]:
    """Assertions over digests of every kind of byte, by several keys."""
    from eth_utils import keccak

    found = []
    with browser_page() as page:
        for number in range(keys):
            passkey = BrowserPasskey(page)
            for count in range(signatures):
                digest = keccak(text=f"recorded {number} {count}") if count else bytes([255 * (number % 2)]) * 32
                made = passkey.assertion(digest)
                found.append(
                    {"digest": digest.hex(), "key_der": passkey.key_der.hex()}
                    | {name: value.hex() for name, value in made.items()}
                )
    return found


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(record(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {VECTORS}\n")
