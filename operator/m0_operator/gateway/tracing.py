"""The request's span: FastAPI makes it, of what it is told to look at, and nothing else.

Its own export, from OpenTelemetry's variables, is off: bodies and tokens are no business of a
collector.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from m0_contract.trace import HEADER, STATE_HEADER, SpanContext, read_trace
from opentelemetry import trace
from starlette.requests import Request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACED = frozenset({("POST", "/api/v1/process_video")})


def build_telemetry(provider: "TracerProvider | None") -> TelemetryConfig:
    """What FastAPI is to record.

    Args:
        provider: of `m0_wire.tracing`; None: nothing is.
    """
    return TelemetryConfig(
        auto_configure=False,
        tracing=provider is not None,
        tracer_provider=provider,
        operation_spans=False,
        metrics=False,
        logs=False,
        exclude=_is_untraced,
    )


def _is_untraced(scope: Mapping[str, Any]) -> bool:
    return (scope.get("method"), scope["path"]) not in TRACED


def read_request_trace(request: Request) -> dict[str, str]:
    """What goes with the message: this request's span, or what its caller sent."""
    here = trace.get_current_span().get_span_context()
    if here.is_valid:
        state = here.trace_state.to_header() or None
        ids = trace.format_trace_id(here.trace_id), trace.format_span_id(here.span_id)
        return SpanContext(*ids, here.trace_flags.sampled, state).to_headers()
    # A list may come in several headers.
    state = ",".join(request.headers.getlist(STATE_HEADER))
    return read_trace({HEADER: request.headers.get(HEADER), STATE_HEADER: state})


def note_process_id(process_id: int | str) -> None:
    """Say whose request it is."""
    trace.get_current_span().set_attribute("m0.process_id", str(process_id))
