"""The run's spans, made of what the line tells as it goes.

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
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from m0_contract.outcome import Outcome
from m0_contract.trace import (
    Kind,
    Span,
    SpanContext,
    Value,
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


class Trace:
    """Is told what is done. This one records nothing, and hands on what came.

    Methods are quick and never raise.

    Attributes:
        records: whether anybody will ever read the attributes of a step.
    """

    records = False

    def __init__(self, headers: Headers | None = None) -> None:
        """`headers` go with each chunk's message."""
        self._nothing = nullcontext(headers or {})

    def cutting(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """`chunks`, each being cut from when it is asked for."""
        return chunks

    def step(
        self,
        chunk_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: Kind = "internal",  # noqa: ARG002
        attributes: Attributes | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[Headers]:
        """Something is done for a chunk while it is open; gives what is to go with a message."""
        return self._nothing

    def finish(self, chunk_id: int, size_bytes: int) -> None:
        """A chunk is announced."""

    def end(self, outcome: Outcome) -> None:
        """The run is over."""

    def close(self) -> None:
        """Send what is left; takes a few seconds at most."""


UNTRACED = Trace()


class RecordedTrace(Trace):
    """Makes spans of it. Steps come from several threads."""

    records = True

    def __init__(
        self,
        tracing: "Tracing",
        parent: SpanContext | None,
        place: SpanContext,
        attributes: Attributes,
    ) -> None:
        """Args:
        tracing: takes the spans.
        parent: what the run is part of.
        place: the run's own.
        attributes: the run's.
        """
        self._tracing = tracing
        parent_id = parent.span_id if parent else None
        self._run = Span("run", place, parent_id, time.time_ns(), 0, attributes=attributes)
        self._begun: dict[int, int] = {}

    def cutting(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """See `Trace`."""
        try:
            while True:
                began = time.time_ns()
                try:
                    chunk = next(chunks, None)
                except Exception as error:
                    self._end(self._below(self._run, "cut", began), error)
                    raise
                if chunk is None:
                    return
                self._end(self._step(chunk.chunk_id, "cut", began))
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
        span = self._step(chunk_id, name, time.time_ns())
        span = replace(span, kind=kind, attributes={**span.attributes, **(attributes or {})})
        try:
            yield span.at.to_headers()
        except BaseException as error:
            self._end(span, error)
            raise
        self._end(span)

    def finish(self, chunk_id: int, size_bytes: int) -> None:
        """See `Trace`."""
        span = self._chunk(chunk_id, self._begun.pop(chunk_id, time.time_ns()))
        self._end(replace(span, attributes={**span.attributes, "m0.size_bytes": size_bytes}))

    def end(self, outcome: Outcome) -> None:
        """See `Trace`."""
        for chunk_id, began in list(self._begun.items()):
            self._end(replace(self._chunk(chunk_id, began), error="not announced"))
        failure = outcome.failure
        said = {
            **self._run.attributes,
            "m0.chunks": outcome.chunks,
            "m0.mode": outcome.mode,
            "error.type": failure.code.value if failure else None,
        }
        error = failure.message if failure else None
        self._end(replace(self._run, attributes=said, error=error))

    def close(self) -> None:
        """See `Trace`."""
        self._tracing.close()

    def _chunk(self, chunk_id: int, began: int) -> Span:
        span = self._below(self._run, f"chunk {chunk_id}", began)
        return replace(span, name="chunk", attributes={"m0.chunk_id": chunk_id})

    def _step(self, chunk_id: int, name: str, began: int) -> Span:
        chunk = self._chunk(chunk_id, self._begun.setdefault(chunk_id, began))
        return replace(self._below(chunk, name, began), attributes=chunk.attributes)

    @staticmethod
    def _below(span: Span, name: str, began: int) -> Span:
        return Span(name, span.at.child(name), span.at.span_id, began, 0)

    def _end(self, span: Span, failure: BaseException | None = None) -> None:
        if failure is not None:
            code = failure.code.value if isinstance(failure, ChunkerError) else None
            kind = code or type(failure).__name__
            said = {**span.attributes, "error.type": kind}
            span = replace(span, error=str(failure) or kind, attributes=said)
        self._tracing.record(replace(span, end_ns=time.time_ns()))


def open_trace(settings: Settings, process_id: int | str) -> Trace:
    """What the deployment and the request want."""
    headers = settings.trace_headers
    parent = read_context(headers)
    trace_id = settings.trace_id or os.urandom(16).hex()
    sampled = is_sampled(trace_id, settings.trace_ratio) if parent is None else parent.sampled
    if settings.otlp_endpoint is None or not sampled:
        return Trace(headers)
    # Not derived: each pod that is started for a Job runs for itself.
    place = SpanContext(trace_id, os.urandom(8).hex(), state=parent.state if parent else None)
    attributes: Attributes = {
        "m0.process_id": str(process_id),
        "m0.resource": settings.resource,
        "m0.attempt": settings.attempt,
    }
    try:
        return RecordedTrace(_start(settings), parent, place, attributes)
    except Exception as error:  # noqa: BLE001 - no film is to fail for its trace
        _complain(f"{type(error).__name__}: {error}")
        return Trace(headers)


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
