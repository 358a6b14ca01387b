"""The run's spans: what the line tells as it goes, and one that does not listen.

    run
    └─ chunk                          from the first thing that is done about it to its message
       ├─ cut
       ├─ upload persistent, upload cache
       ├─ row
       └─ publish M0_RESULTS_QUEUE    goes with the message as its `traceparent`

The library is imported only where an endpoint is configured and the trace is a recorded one.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from m0_contract.outcome import Outcome
from m0_contract.trace import (
    Kind,
    Span,
    SpanContext,
    Value,
    get_trace_id,
    is_sampled,
    read_context,
)

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.logs import event
from m0_chunker.settings import Settings

if TYPE_CHECKING:
    from m0_wire.tracing import Tracing

Attributes = Mapping[str, Value | None]
Headers = Mapping[str, str]


class Trace(Protocol):
    """Whoever is told what is done. Its methods are quick and never raise."""

    def cutting(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """`chunks`, each being cut from when it is asked for."""
        ...

    def step(
        self,
        chunk_id: int,
        name: str,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Headers]:
        """Something is done for a chunk while it is open; gives what is to go with a message."""
        ...

    def finish(self, chunk_id: int, size_bytes: int) -> None:
        """A chunk is announced."""
        ...

    def end(self, outcome: Outcome) -> None:
        """The run is over."""
        ...

    def close(self) -> None:
        """Send what is left; takes a few seconds at most."""
        ...


class Untraced:
    """Records nothing; hands on what came."""

    def __init__(self, headers: Headers | None = None) -> None:
        self._nothing = nullcontext(headers or {})

    def cutting(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """See `Trace`."""
        return chunks

    def step(
        self,
        chunk_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: Kind = "internal",  # noqa: ARG002
        attributes: Attributes | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[Headers]:
        """See `Trace`."""
        return self._nothing

    def finish(self, chunk_id: int, size_bytes: int) -> None:
        """See `Trace`."""

    def end(self, outcome: Outcome) -> None:
        """See `Trace`."""

    def close(self) -> None:
        """See `Trace`."""


UNTRACED = Untraced()


class Traced:
    """Makes spans of what it is told; steps come from several threads."""

    def __init__(
        self,
        record: Callable[[Span], None],
        parent: SpanContext | None,
        place: SpanContext,
        *,
        attributes: Attributes,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        record: takes the spans.
        parent: what the run is part of.
        place: the run's own.
        attributes: the run's.
        close: see `Trace.close`.
        """
        self._record, self._parent, self._place = record, parent, place
        self._attributes = attributes
        self.close = close
        self._started_ns = time.time_ns()
        self._begun: dict[int, int] = {}

    def cutting(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """See `Trace`."""
        try:
            while True:
                began = time.time_ns()
                try:
                    chunk = next(chunks, None)
                except Exception as error:
                    self._emit(self._span("cut", self._place.child("cut"), began), error)
                    raise
                if chunk is None:
                    return
                self._emit_step(chunk.chunk_id, self._span("cut", self._place, began))
                yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]

    @contextmanager
    def step(
        self,
        chunk_id: int,
        name: str,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
    ) -> Iterator[Headers]:
        """See `Trace`."""
        span = self._span(name, self._place, time.time_ns())
        failure = None
        try:
            yield self._chunk(chunk_id).child(name).to_headers()
        except BaseException as error:
            failure = error
            raise
        finally:
            span = replace(span, kind=kind, attributes=attributes or {})
            self._emit_step(chunk_id, span, failure)

    def finish(self, chunk_id: int, size_bytes: int) -> None:
        """See `Trace`."""
        self._emit_chunk(chunk_id, {"m0.size_bytes": size_bytes}, None)

    def end(self, outcome: Outcome) -> None:
        """See `Trace`."""
        failure = outcome.failure
        for chunk_id in list(self._begun):
            self._emit_chunk(chunk_id, {}, "not announced")
        self._record(
            Span(
                "run",
                self._place,
                self._parent.span_id if self._parent else None,
                self._started_ns,
                time.time_ns(),
                attributes={
                    **self._attributes,
                    "m0.chunks": outcome.chunks,
                    "m0.mode": outcome.mode,
                    "error.type": failure.code.value if failure else None,
                },
                error=failure.message if failure else None,
            )
        )

    def _chunk(self, chunk_id: int) -> SpanContext:
        return self._place.child(f"chunk {chunk_id}")

    def _span(self, name: str, place: SpanContext, began: int) -> Span:
        return Span(name, place, self._place.span_id, began, began)

    def _emit_chunk(self, chunk_id: int, attributes: Attributes, error: str | None) -> None:
        began = self._begun.pop(chunk_id, None)
        if began is None:
            return
        span = self._span("chunk", self._chunk(chunk_id), began)
        said = {"m0.chunk_id": chunk_id, **attributes}
        self._record(replace(span, end_ns=time.time_ns(), attributes=said, error=error))

    def _emit_step(self, chunk_id: int, span: Span, failure: BaseException | None = None) -> None:
        chunk = self._chunk(chunk_id)
        self._begun.setdefault(chunk_id, span.start_ns)
        attributes = {"m0.chunk_id": chunk_id, **span.attributes}
        span = replace(
            span, at=chunk.child(span.name), parent_id=chunk.span_id, attributes=attributes
        )
        self._emit(span, failure)

    def _emit(self, span: Span, failure: BaseException | None) -> None:
        if failure is not None:
            kind = (
                failure.code.value if isinstance(failure, ChunkerError) else type(failure).__name__
            )
            span = replace(
                span,
                error=str(failure) or kind,
                attributes={**span.attributes, "error.type": kind},
            )
        self._record(replace(span, end_ns=time.time_ns()))


def open_trace(settings: Settings, process_id: int | str) -> Trace:
    """What the deployment and the request want."""
    headers = settings.trace_headers
    parent = read_context(headers)
    trace_id = get_trace_id(settings.trace, settings.run) or os.urandom(16).hex()
    sampled = is_sampled(trace_id, settings.trace_ratio) if parent is None else parent.sampled
    if settings.otlp_endpoint is None or not sampled:
        return Untraced(headers)
    # Not derived: each pod that is started for a Job runs for itself.
    place = SpanContext(trace_id, os.urandom(8).hex(), state=parent.state if parent else None)
    attributes = {
        "m0.process_id": str(process_id),
        "m0.resource": settings.resource,
        "m0.attempt": settings.attempt,
    }
    try:
        tracing = _start(settings)
    except Exception as error:  # noqa: BLE001 - no film is to fail for its trace
        _complain(f"{type(error).__name__}: {error}")
        return Untraced(headers)
    return Traced(tracing.record, parent, place, attributes=attributes, close=tracing.close)


def _start(settings: Settings) -> "Tracing":
    from m0_wire.tracing import Tracing  # noqa: PLC0415 - 0.1 s of CPU

    pod = os.environ.get("HOSTNAME") if settings.resource else None
    return Tracing(
        "m0-chunker",
        ratio=settings.trace_ratio,
        say=_complain,
        about={"k8s.pod.name": pod} if pod else None,
    )


def _complain(reason: str) -> None:
    event("traces not sent", logging.WARNING, reason=reason)
