"""How many ladders a second one process takes over one maker's stream, and what becomes of them."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chainwallet.client.stream import MakerStream
from chainwallet.entrypoints.demo.process import ServiceProcess

CODES = ("EUR", "USD", "GBP", "JPY", "CHF", "AUD", "CAD", "SEK", "NOK", "PLN", "CZK", "SGD")
PAIRS = [("USD", code) for code in CODES if code != "USD"] + [("EUR", code) for code in CODES if code != "EUR"]
LEVELS = [{"sell": "1000", "buy": "1100"}, {"sell": "5000", "buy": "5600"}, {"sell": "20000", "buy": "23000"}]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--pairs", type=int, default=20)
    asked = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cw-") as folder,
        ServiceProcess(Path(folder), chain="embedded") as service,
        service.client() as client,
    ):
        maker = client.create_customer(type="maker", full_name="Maker 1", country="DE")
        with client.maker_stream(maker["id"]) as stream:
            figures = flood(stream, PAIRS[: asked.pairs], asked.seconds)
    print(json.dumps(figures, indent=2))


def flood(stream: MakerStream, pairs: list[tuple[str, str]], seconds: float) -> dict[str, Any]:
    """Send as fast as the service takes it; count what it acknowledges until the last version has been applied."""
    sent = {"messages": 0, "version": 0}
    until = time.monotonic() + seconds
    sender = threading.Thread(target=_send, args=(stream, pairs, until, sent))
    started = time.monotonic()
    sender.start()
    received, applied, acks = 0, 0, 0
    last: dict[str, int] = {}
    while sender.is_alive() or received < sent["messages"] or set(last.values()) != {sent["version"]}:
        message = stream.receive(timeout_s=30)
        assert message is not None, "the service fell silent"
        if message["type"] == "ack":
            assert not message["rejected"], message["rejected"]
            received += message["received"]
            applied += len(message["applied"])
            acks += 1
            last |= message["applied"]
    took_s = time.monotonic() - started
    return {
        "pairs": len(pairs),
        "levels": len(LEVELS),
        "messages_per_s": round(received / took_s),
        "ladders_applied_per_s": round(applied / took_s),
        "levels_signed_per_s": round(applied * len(LEVELS) / took_s),
        "transactions_per_s": round(acks / took_s, 1),
    }


def _send(stream: MakerStream, pairs: list[tuple[str, str]], until: float, sent: dict[str, int]) -> None:
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    while time.monotonic() < until:
        sent["version"] += 1
        for sell, buy in pairs:
            stream.send_ladder(sell, buy, version=sent["version"], expires_at=expires_at, levels=LEVELS)
            sent["messages"] += 1


if __name__ == "__main__":
    main()
