"""Traces of payments (OpenTelemetry). A payment's trace id is its UETR: both are 128 random bits.

So every process and worker that touches a payment writes into one trace with nothing handed along, whoever asks for the
trace finds it by the number that banks know the payment by, and all agree on which payments are sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

_ROOT: ContextVar[tuple[int, int] | None] = ContextVar("root", default=None)
_LOW_64 = 2**64 - 1
_LOW_56 = 2**56 - 1  # random in every UUID of version 4, whose 64th and 63rd bits are not


class _Ids(RandomIdGenerator):
    """Random span ids, but for the root of a payment's trace, whose ids follow from the UETR."""

    def generate_trace_id(self) -> int:
        root = _ROOT.get()
        return super().generate_trace_id() if root is None else root[0]

    def generate_span_id(self) -> int:
        root = _ROOT.get()
        return super().generate_span_id() if root is None else root[1]


class PaymentTraces:
    """Writes spans of the payments whose UETR falls into `ratio` (0 to 1) of all, in the background."""

    def __init__(self, exporter: SpanExporter, *, ratio: float) -> None:
        self._bound = round(ratio * _LOW_56)
        resource = Resource.create({"service.name": "chainwallet"})
        self._provider = TracerProvider(id_generator=_Ids(), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("chainwallet")

    @classmethod
    def to(cls, url: str, *, ratio: float) -> PaymentTraces:
        """Send them to a collector (OTLP over HTTP), such as http://localhost:4318/v1/traces."""
        # Here, because it costs every other start 0.15 s.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return cls(OTLPSpanExporter(endpoint=url), ratio=ratio)

    def has(self, uetr: str) -> bool:
        """Whether this payment is among those that are traced: the last 56 bits of its UETR decide."""
        return UUID(uetr).int & _LOW_56 <= self._bound and self._bound > 0

    def root(
        self, uetr: str, name: str, *, start: datetime, end: datetime, attributes: Mapping[str, str | int]
    ) -> None:
        """The whole payment, which everything else is a part of."""
        number = UUID(uetr).int
        token = _ROOT.set((number, number & _LOW_64))
        try:
            span = self._tracer.start_span(name, start_time=_nanoseconds(start), attributes=dict(attributes))
        finally:
            _ROOT.reset(token)
        span.end(end_time=_nanoseconds(end))

    def part(
        self,
        uetr: str,
        name: str,
        *,
        start: datetime,
        end: datetime,
        attributes: Mapping[str, str | int] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Something that was done for the payment, under its root; the root may be written before or after."""
        number = UUID(uetr).int
        flags = TraceFlags(TraceFlags.SAMPLED)
        parent = NonRecordingSpan(SpanContext(number, number & _LOW_64, is_remote=True, trace_flags=flags))
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(parent),
            kind=kind,
            start_time=_nanoseconds(start),
            attributes=dict(attributes or {}),
        )
        span.end(end_time=_nanoseconds(end))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000
