"""The trace that a request belongs to, as W3C has it: `traceparent` and `tracestate`.

They come as headers of the message, or of the HTTP request behind it; they stay in the
resource with the message's other headers, reach the Job as TRACEPARENT and TRACESTATE, and go
on with each chunk's message. Where no spans are recorded they are handed on as they came.

A span is data here: who records it is `m0_wire.tracing`. Ids are derived from what a span is
about, so that nobody has to remember them.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

HEADER = "traceparent"
STATE_HEADER = "tracestate"
VARIABLE = "TRACEPARENT"
STATE_VARIABLE = "TRACESTATE"

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[ \t]*[a-z0-9][^=,]*=[\x20-\x7e]*")
MAX_STATE = 512
"""Characters of a `tracestate` that W3C wants handed on at least."""

SAMPLED = 1

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class SpanContext:
    """A span's place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whether the trace is recorded.
        state: `tracestate`, for others to read.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str | None = None

    def child(self, name: str) -> Self:
        """The place of a span below this one; the same name gives the same."""
        return replace(self, span_id=derive_span_id(f"{self.span_id} {name}"))

    def to_headers(self) -> dict[str, str]:
        """What says that something is part of this span."""
        headers = {HEADER: f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"}
        return headers if self.state is None else {**headers, STATE_HEADER: self.state}


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was done, and when.

    Attributes:
        name: one of a few; what differs each time is an attribute.
        at: its own place.
        parent_id: the span that it is part of; None for the first of a trace.
        start_ns: Unix time, nanoseconds.
        end_ns: likewise.
        attributes: what is None is not said.
        error: why it failed; None: it did not.
    """

    name: str
    at: SpanContext
    parent_id: str | None
    start_ns: int
    end_ns: int
    kind: Kind = "internal"
    attributes: Mapping[str, Value | None] = field(default_factory=dict)
    error: str | None = None


def read_traceparent(value: object) -> str | None:
    """The header, if it is one; what is none is ignored, as W3C wants it."""
    return value if isinstance(value, str) and _FORM.fullmatch(value) else None


def read_trace(headers: Mapping[str, object]) -> dict[str, str]:
    """What of `headers` is to be handed on; a `tracestate` counts only beside a `traceparent`."""
    parent = read_traceparent(headers.get(HEADER))
    if parent is None:
        return {}
    state = headers.get(STATE_HEADER)
    if not isinstance(state, str) or len(state) > MAX_STATE:
        return {HEADER: parent}
    good = all(_STATE.fullmatch(member) for member in state.split(",") if member.strip())
    return {HEADER: parent, STATE_HEADER: state} if good and state.strip() else {HEADER: parent}


def read_context(headers: Mapping[str, object]) -> SpanContext | None:
    """The span that a request is part of, if it says so."""
    found = read_trace(headers)
    if not found:
        return None
    _, trace_id, span_id, flags = found[HEADER].split("-")
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & SAMPLED), found.get(STATE_HEADER))


def get_trace_id(traceparent: str | None, uid: str | None) -> str | None:
    """What log lines about a video have in common, 32 hexadecimal digits.

    Args:
        traceparent: a valid one; its trace id counts.
        uid: the resource's, which stands for a trace where the request belongs to none.
    """
    if traceparent is not None:
        return traceparent.split("-")[1]
    if not uid:
        return None
    digits = uid.replace("-", "")
    if re.fullmatch("[0-9a-f]{32}", digits):
        return digits
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def derive_span_id(about: str) -> str:
    """The id of the span about this: always the same."""
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Whether a trace that begins here is recorded: OpenTelemetry's own rule, the same everywhere.

    Args:
        ratio: of such traces, 0 to 1.
    """
    return int(trace_id[-16:], 16) < round(ratio * 2**64)
