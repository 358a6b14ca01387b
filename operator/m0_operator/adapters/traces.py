"""What the operator does, as spans: docs/observability.md has the tree.

Recorded where it was done (`services/telemetry.py`): a video and its Job once the end is on
record. Killed in between, the operator leaves them out; what is left is still one trace.
"""

from collections.abc import Callable
from datetime import datetime

from m0_contract.errors import ErrorCode
from m0_contract.trace import Span

from m0_operator.domain.observed import Observed, Resource
from m0_operator.domain.spans import build_intake_span, build_job_span, build_video_span
from m0_operator.domain.status import JobRef, Status


class Traces:
    """Implements `services.telemetry.Telemetry`."""

    def __init__(
        self,
        record: Callable[[Span], None],
        now: Callable[[], datetime],
        *,
        ratio: float,
        queue: str,
    ) -> None:
        """Args:
        record: takes the spans.
        now: wall-clock time, UTC.
        ratio: of requests that bring no trace, which part is recorded.
        queue: that requests come from.
        """
        self._record = record
        self._now = now
        self._ratio = ratio
        self._queue = queue

    def created(self, resource: Resource, taken_at: datetime, now: datetime) -> None:
        """See `Telemetry`."""
        self._record(build_intake_span(resource, self._queue, taken_at, now, self._ratio))

    def recorded(self, observed: Observed, old: Status, new: Status) -> None:
        """See `Telemetry`."""
        before, ref = old.job_ref, new.job_ref
        if before is not None and ref is not None and ref.attempt > before.attempt:
            self._record_job(observed, before, new.message)
        if new.finished and not old.finished:
            if ref is not None:
                self._record_job(observed, ref, new.failure.message if new.failure else None)
            self._record(build_video_span(observed.resource, new, self._ratio))

    def _record_job(self, observed: Observed, ref: JobRef, error: str | None) -> None:
        span = build_job_span(
            observed.resource, ref, observed.job, error=error, now=self._now(), ratio=self._ratio
        )
        self._record(span)

    def started_again(self, cause: ErrorCode) -> None:
        """See `Telemetry`."""

    def took(self, result: str, waited_s: float | None) -> None:
        """See `Telemetry`."""

    def refused(self, code: ErrorCode) -> None:
        """See `Telemetry`."""
