"""What a video, its intake and its Jobs look like in a trace. Pure.

Ids are derived from uids, and all that a span says is in the resource and its Job. So nothing
is remembered from one process to the next, and what is recorded twice is the same span.
"""

from datetime import datetime

from m0_contract.trace import (
    Span,
    SpanContext,
    Value,
    derive_span_id,
    get_trace_id,
    is_sampled,
    read_context,
)

from m0_operator.domain.observed import JobView, Resource
from m0_operator.domain.status import JobRef, Status


def locate_video(resource: Resource, ratio: float) -> SpanContext:
    """The video's place: in its request's trace, or in one of its own.

    Args:
        ratio: of those that bring no trace, which part is recorded.
    """
    parent = _parent(resource)
    span_id = derive_span_id(f"video {resource.uid}")
    if parent is not None:
        return SpanContext(parent.trace_id, span_id, parent.sampled, parent.state)
    trace_id = get_trace_id(None, resource.uid) or ""
    return SpanContext(trace_id, span_id, is_sampled(trace_id, ratio))


def locate_job(resource: Resource, attempt: int, ratio: float) -> SpanContext:
    """The place of the Job of this attempt; what its pods do is part of it."""
    return locate_video(resource, ratio).child(f"job {attempt}")


def build_video_span(resource: Resource, status: Status, ratio: float) -> Span:
    """A video that has ended, from its request to its end; whole seconds, as in the resource."""
    origin, failure, parent = resource.spec.origin, status.failure, _parent(resource)
    created = _to_ns(resource.created_at) or 0
    came = _to_ns(origin.received_at) if origin else None
    return Span(
        "video",
        locate_video(resource, ratio),
        parent.span_id if parent else None,
        came or created,
        _to_ns(status.finished_at) or created,
        attributes={
            **_about(resource),
            "m0.phase": status.phase,
            "m0.attempts": status.attempts,
            "m0.chunks": status.progress.chunks if status.progress else 0,
            "error.type": failure.code.value if failure else None,
        },
        error=failure.message if failure else None,
    )


def build_job_span(
    resource: Resource,
    ref: JobRef,
    job: JobView | None,
    *,
    error: str | None,
    now: datetime,
    ratio: float,
) -> Span:
    """A Job that has ended, or was given up.

    Args:
        job: as it was seen last, if it was.
        error: why another one follows, or why none does.
        now: when it was given up.
    """
    seen = job if job is not None and job.name == ref.name else None
    status = resource.status
    start = _to_ns(seen.created_at if seen else None) or _to_ns(status.accepted_at) or 0
    return Span(
        "job",
        locate_job(resource, ref.attempt, ratio),
        locate_video(resource, ratio).span_id,
        start,
        _to_ns(seen.finished_at if seen else None) or _ns(now),
        attributes={
            **_about(resource),
            "k8s.job.name": ref.name,
            "k8s.job.uid": ref.uid,
            "m0.attempt": ref.attempt,
        },
        error=error,
    )


def build_intake_span(
    resource: Resource, queue: str, taken_at: datetime, now: datetime, ratio: float
) -> Span:
    """A message that has become a resource."""
    video = locate_video(resource, ratio)
    return Span(
        f"process {queue}",
        video.child("intake"),
        video.span_id,
        _ns(taken_at),
        _ns(now),
        "consumer",
        {
            **_about(resource),
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
        },
    )


def _to_ns(moment: str | None) -> int | None:
    """RFC 3339 as Unix time, nanoseconds; None for what is none: a person may have written it."""
    try:
        return _ns(datetime.fromisoformat(moment)) if moment else None
    except ValueError:
        return None


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


def _parent(resource: Resource) -> SpanContext | None:
    origin = resource.spec.origin
    return read_context(origin.headers) if origin else None


def _about(resource: Resource) -> dict[str, Value | None]:
    return {
        "m0.process_id": str(resource.spec.process_id),
        "m0.resource": resource.name,
        "k8s.namespace.name": resource.namespace,
    }
