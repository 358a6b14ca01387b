"""An OpenTelemetry collector: takes OTLP over HTTP as protobuf, keeps the spans."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Seen:
    """A span as it came.

    Attributes:
        parent: the id of the span it is part of; empty for none.
        error: None when it went well.
        service: `service.name`.
    """

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    error: str | None
    state: str
    service: str

    @property
    def traceparent(self) -> str:
        """What goes with a message of this span."""
        return f"00-{self.trace}-{self.id}-01"


@dataclass
class Collector:
    """What came.

    Attributes:
        url: for OTEL_EXPORTER_OTLP_ENDPOINT.
        spans: in the order in which they came.
        headers: of each request.
        status: the answer's.
        delay_s: before it.
    """

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    delay_s: float = 0.0

    def of(self, name: str) -> list[Seen]:
        """The spans of this name, the earliest first."""
        return sorted((s for s in self.spans if s.name == name), key=lambda s: s.start_ns)

    def one(self, name: str) -> Seen:
        """The only span of this name."""
        (found,) = self.of(name)
        return found

    def tree(self) -> list[str]:
        """Every span below its parent, two blanks in, the earliest first."""
        ids = {span.id for span in self.spans}

        def below(parent: str | None, depth: int) -> Iterator[str]:
            for span in sorted(self.spans, key=lambda s: (s.start_ns, s.end_ns)):
                if span.parent == parent or (parent is None and span.parent not in ids):
                    yield "  " * depth + span.name
                    yield from below(span.id, depth + 1)

        return list(below(None, 0))

    def assert_one_trace(self, trace: str, parent: str = "") -> None:
        """All spans are of this trace, each once, and below one that is here or the request's own.

        Args:
            parent: the id of the request's own span.
        """
        assert self.spans
        assert {span.trace for span in self.spans} == {trace}
        ids = [span.id for span in self.spans]
        assert len(set(ids)) == len(ids)
        assert [s.name for s in self.spans if s.parent not in {*ids, parent}] == []
        assert all(span.start_ns <= span.end_ns for span in self.spans)


def _read(body: bytes) -> Iterator[Seen]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {item.key: item.value.string_value for item in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Seen(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    Wire.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes},
                    span.status.message
                    if span.status.code == Status.StatusCode.STATUS_CODE_ERROR
                    else None,
                    span.trace_state,
                    about["service.name"],
                )


@contextmanager
def collecting(address: str = "127.0.0.1") -> Iterator[Collector]:
    """A collector, as long as it is open. What is no protobuf gets a backend's answer."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-type"] != "application/x-protobuf":
                self._answer(200, b'{"data": {}}')
                return
            time.sleep(collector.delay_s)
            if collector.status == 200 and self.path == "/v1/traces":
                collector.spans += _read(body)
                collector.bodies.append(body)
            collector.headers.append({k.lower(): v for k, v in self.headers.items()})
            self._answer(collector.status, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
