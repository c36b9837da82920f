"""A payment's trace, as a collector on the loopback receives it: from the request to the webhook, under its UETR."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chainwallet.entrypoints.workers.trace import Tracer
from chainwallet.kit.tracing import PaymentTraces

from .conftest import World


class Collector:
    """Takes traces by OTLP over HTTP, and letters of webhooks, which it accepts."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.letters = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                        collector.spans += [span for scope in resource.scope_spans for span in scope.spans]
                else:
                    collector.letters += 1
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_trace__of_a_payment__goes_from_the_request_to_the_webhook(
    world: World, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = PaymentTraces.to(f"{collector.url}/v1/traces", ratio=1.0)
    monkeypatch.setattr(world.services, "traces", traces)
    tracer = Tracer(world.services, traces)
    tracer.step()
    payer, payee = world.funded("EUR", "9.00"), world.customer()
    hook = world.post("/v1/webhooks", {"url": f"{collector.url}/hook", "events": ["transfer.settled"]})
    transfer = world.transfer(world.quote("EUR", "EUR", source="5.00"), payer, payee)
    assert world.settled(transfer["id"])["status"] == "settled"
    world.until(lambda: collector.letters > 0, "the webhook is delivered")
    delivered = "SELECT count(*) FROM webhook_delivery WHERE state = 'delivered'"
    world.until(lambda: world.scalar(delivered) > 0, "and its sender has made its span, and then a note of it")
    world.send("DELETE", f"/v1/webhooks/{hook['id']}")
    world.until(
        lambda: not world.scalar("SELECT count(*) FROM outbox_event WHERE position IS NULL"), "all is published"
    )
    tracer.step()
    traces.close()
    uetr = UUID(transfer["uetr"])
    mine = {span.name: span for span in collector.spans if span.trace_id == uetr.bytes}
    assert set(mine) == {
        "payment",
        "POST /v1/transfers",
        "wait for a batch",
        "wait to be final and booked",
        "mined",
        "webhook",
    }
    root = mine.pop("payment")
    assert (root.span_id, root.parent_span_id) == (uetr.bytes[8:], b"")
    assert all(span.parent_span_id == root.span_id for span in mine.values())
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in (root, *mine.values()))
    assert mine["wait for a batch"].end_time_unix_nano == mine["wait to be final and booked"].start_time_unix_nano


def test_trace__ratio__decides_by_the_uetr_alone() -> None:
    exporter: Any = None
    none, half, every = (PaymentTraces(exporter, ratio=ratio) for ratio in (0.0, 0.5, 1.0))
    drawn = [str(uuid4()) for _ in range(2_000)]
    assert not any(none.has(uetr) for uetr in drawn)
    assert all(every.has(uetr) for uetr in drawn)
    share = sum(half.has(uetr) for uetr in drawn) / len(drawn)
    assert 0.4 < share < 0.6
    assert [half.has(uetr) for uetr in drawn] == [half.has(uetr) for uetr in drawn]
