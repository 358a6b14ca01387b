"""Spans to an OpenTelemetry collector, over OTLP/HTTP: in the background, and at nobody's cost.

Imported only where an endpoint is configured. What OpenTelemetry's own variables say of it
counts: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _CERTIFICATE, _TIMEOUT, OTEL_RESOURCE_ATTRIBUTES.
An endpoint that is away or slow fails nothing and holds nothing up: what does not fit into the
queue is dropped, and the trouble is said once an hour.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from m0_contract.redact import redact
from m0_contract.trace import Span, Value
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

FLUSH_S = 3.0
"""At the end, what is in the queue has so long; an endpoint that is away gets less."""

SAY_AGAIN_S = 3600.0

TROUBLE_S = 10.0
"""For so long the library tries what it could not send again; meanwhile nothing else goes out."""


class Tracing:
    """Records spans."""

    def __init__(
        self,
        service: str,
        *,
        ratio: float,
        say: Callable[[str], None],
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        service: `service.name`.
        ratio: of traces that begin here, which part is recorded, 0 to 1.
        say: told of trouble, rarely.
        about: what else there is to say of this process.

        Raises:
            Exception: the environment's settings are of no use.
        """
        self._complaints = _Complaints(say)
        self._ids = _Ids()
        own = Resource({"service.name": service, **(about or {})})
        self.provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            # Not Resource.create: that looks through all installed distributions.
            resource=own.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._exporter = OTLPSpanExporter()
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self.provider.get_tracer("m0")

    def record(self, span: Span) -> None:
        """Send it some time; never waits, never raises."""
        try:
            self._record(span)
        except Exception as error:  # noqa: BLE001 - no film is to fail for its trace
            self._complaints.add(f"{type(error).__name__}: {error}")

    def _record(self, span: Span) -> None:
        context = Context()
        if span.parent_id is not None:
            parent = SpanContext(
                int(span.at.trace_id, 16),
                int(span.parent_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(int(span.at.sampled)),
                trace_state=TraceState.from_header([span.at.state or ""]),
            )
            context = set_span_in_context(NonRecordingSpan(parent), context)
        with self._ids.given(span):
            recorded = self._tracer.start_span(
                span.name,
                context,
                kind=SpanKind[span.kind.upper()],
                attributes=_clean(span.attributes),
                start_time=span.start_ns,
            )
        if span.error is not None:
            recorded.set_status(StatusCode.ERROR, redact(span.error))
        recorded.end(max(span.start_ns, span.end_ns))

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Send what is left, in bounded time: trouble ends it at once. Blocks; never raises."""
        flushing = threading.Thread(target=self.provider.shutdown, daemon=True)
        flushing.start()
        until = time.monotonic() + timeout_s
        while flushing.is_alive() and time.monotonic() < until and not self._complaints.troubled:
            flushing.join(0.02)
        self._complaints.end()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _clean(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {
        key: redact(value) if isinstance(value, str) else value
        for key, value in attributes.items()
        if value is not None
    }


class _Ids(RandomIdGenerator):
    """Ids as a span of ours has them; random ones for the spans of others."""

    def __init__(self) -> None:
        self._given = threading.local()

    @contextmanager
    def given(self, span: Span) -> Iterator[None]:
        """While it is open, this thread's next span gets this one's ids."""
        self._given.span = span
        try:
            yield
        finally:
            self._given.span = None

    def generate_span_id(self) -> int:
        span: Span | None = getattr(self._given, "span", None)
        return super().generate_span_id() if span is None else int(span.at.span_id, 16)

    def generate_trace_id(self) -> int:
        span: Span | None = getattr(self._given, "span", None)
        return super().generate_trace_id() if span is None else int(span.at.trace_id, 16)


class _Complaints(logging.Handler):
    """What the library says of each batch that it can't send; we say it once, by its kind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._said_at: dict[str, float] = {}
        self._unsent_at = -TROUBLE_S
        self._library = logging.getLogger("opentelemetry")
        self._library.handlers[:] = [self]
        self._library.propagate = False

    @property
    def troubled(self) -> bool:
        """Whether something could not be sent just now."""
        return time.monotonic() - self._unsent_at < TROUBLE_S

    def end(self) -> None:
        """Nobody listens any more: what it says of being stopped is no trouble."""
        self._library.removeHandler(self)
        self._library.addHandler(logging.NullHandler())

    def emit(self, record: logging.LogRecord) -> None:
        # A full queue is no reason not to send what is in it.
        if ".exporter." in record.name:
            self._unsent_at = time.monotonic()
        self.add(record.getMessage(), record.name)

    def add(self, complaint: str, kind: str = "m0") -> None:
        now = time.monotonic()
        if now - self._said_at.get(kind, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            self._said_at[kind] = now
            self._say(complaint)
