"""The operator's figures for Prometheus, at `/metrics` of its health port.

What is counted where something was done (`services/telemetry.py`); what is asked for when somebody
looks is in `gauges.py`. Names and units: docs/observability.md.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from m0_contract.errors import ErrorCode
from m0_wire.errors import BackendRejectedError, BackendUnavailableError
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from m0_operator.adapters.gauges import Asked, Gauges
from m0_operator.domain.actions import BackendStatus
from m0_operator.domain.observed import Observed, Resource
from m0_operator.domain.receipt import seconds_between
from m0_operator.domain.status import ConditionType, Status
from m0_operator.services.ports import Reporter

# Without a sample for each that says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_LONG = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MEMORY = tuple(2.0**n for n in range(25, 36))


class Metrics:
    """All metrics of one operator; implements `services.telemetry.Telemetry`."""

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"m0_{name}", says, labels, registry=registry)

        def histogram(
            name: str, says: str, *labels: str, buckets: Iterable[float] = _LONG
        ) -> Histogram:
            return Histogram(f"m0_{name}", says, labels, registry=registry, buckets=tuple(buckets))

        Gauge("m0_build_info", "The operator's version.", ["version"], registry=registry).labels(
            version
        ).set(1)
        self._requests = counter("requests", "Messages settled.", "result")
        self._wait = histogram(
            "request_wait_seconds", "From a message's timestamp to its acknowledgement."
        )
        self._start = histogram("video_start_seconds", "From the resource to its first run.")
        self._run = histogram("video_run_seconds", "From the first run to the end.", "phase")
        self._first = histogram(
            "video_first_chunk_seconds", "From a run's start to its first message."
        )
        self._videos = counter(
            "videos", "Videos that ended; code is empty on success.", "phase", "code"
        )
        self._retries = counter("retries", "Further Jobs, by how the one before ended.", "code")
        self._letters = counter("dead_letters", "Dead letters confirmed.", "code")
        self._chunks = counter("chunks", "Chunks of videos that ended.")
        self._chunk_bytes = counter("chunk_bytes", "Bytes in them, each chunk once.")
        self._film = counter("source_seconds", "Seconds of film in them.")
        self._read = counter("source_bytes", "Bytes read of sources, by last runs.")
        self._cpu = counter("chunker_cpu_seconds", "CPU time of last runs.")
        self._uploads = counter("uploads", "Uploads of chunks, by last runs.")
        self._upload_s = counter("upload_seconds", "What they took, all together.")
        self._rows = counter("rows", "Rows of chunks confirmed by the backend, by last runs.")
        self._row_s = counter("row_seconds", "What they took, all together.")
        self._memory = histogram(
            "chunker_peak_memory_bytes", "Peak resident memory of last runs.", buckets=_MEMORY
        )
        self._report = histogram(
            "backend_report_seconds", "A status report to the backend.", "result", buckets=_SHORT
        )
        self._report_errors = counter(
            "backend_report_errors", "Reports that failed: unavailable, rejected.", "kind"
        )
        self._reconcile = histogram(
            "reconcile_seconds", "One look at one resource.", buckets=_SHORT
        )
        self._reconcile_errors = counter("reconcile_errors", "Looks that failed.")
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A counter that appears with its first count shows no increase."""
        for code in ErrorCode:
            self._retries.labels(code.value)
            self._letters.labels(code.value)
            self._videos.labels("Stopped" if code is ErrorCode.STOPPED else "Failed", code.value)
        self._videos.labels("Succeeded", "")
        for phase in ("Succeeded", "Failed", "Stopped"):
            self._run.labels(phase)
        for result in ("confirmed", "error"):
            self._report.labels(result)
        for result in ("created", "duplicate", "dead-lettered"):
            self._requests.labels(result)
        for kind in ("unavailable", "rejected"):
            self._report_errors.labels(kind)

    def watch(self, gauges: Gauges) -> None:
        """Ask these whenever somebody looks; once in a process."""
        self._registry.register(Asked(gauges))

    def expose(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def created(self, resource: Resource, taken_at: datetime, now: datetime) -> None:
        """See `Telemetry`; `took` counts it."""

    def recorded(self, observed: Observed, old: Status, new: Status) -> None:
        """See `Telemetry`."""
        if new.started_at and not old.started_at:
            _observe(self._start, seconds_between(observed.resource.created_at, new.started_at))
        kind = ConditionType.DEAD_LETTERED
        if new.failure is not None and new.is_true(kind) and not old.is_true(kind):
            self._letters.labels(new.failure.code.value).inc()
        if new.finished and not old.finished:
            self._count_end(new)

    def _count_end(self, status: Status) -> None:
        code = status.failure.code.value if status.failure else ""
        self._videos.labels(status.phase, code).inc()
        _observe(
            self._run.labels(status.phase), seconds_between(status.started_at, status.finished_at)
        )
        if status.progress is not None:
            self._chunks.inc(status.progress.chunks)
            self._chunk_bytes.inc(status.progress.size_bytes)
            self._film.inc(status.progress.done_seconds)
        receipt = status.receipt or {}
        self._read.inc(_number(receipt, "bytes_read") or 0)
        self._cpu.inc(_number(receipt, "cpu_s") or 0)
        self._uploads.inc(_number(receipt, "uploads") or 0)
        self._upload_s.inc(_number(receipt, "upload_s") or 0)
        self._rows.inc(_number(receipt, "rows") or 0)
        self._row_s.inc(_number(receipt, "row_s") or 0)
        _observe(self._memory, _number(receipt, "peak_rss_bytes"))
        _observe(self._first, _number(receipt, "first_chunk_s"))

    def started_again(self, cause: ErrorCode) -> None:
        """See `Telemetry`."""
        self._retries.labels(cause.value).inc()

    def took(self, result: str, waited_s: float | None) -> None:
        """See `Telemetry`."""
        self._requests.labels(result).inc()
        if waited_s is not None and result == "created":
            _observe(self._wait, max(0.0, waited_s))

    def refused(self, code: ErrorCode) -> None:
        """See `Telemetry`."""
        self._letters.labels(code.value).inc()

    def timed(self, work: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        """`work`, with its time and its errors counted."""

        async def measured(key: str) -> None:
            began = time.monotonic()
            try:
                await work(key)
            except BaseException:
                # Cancelled counts: that is how work that takes too long ends.
                self._reconcile_errors.inc()
                raise
            finally:
                self._reconcile.observe(time.monotonic() - began)

        return measured

    def timed_reporter(self, reporter: Reporter | None) -> Reporter | None:
        """`reporter`, with its time and its errors counted."""
        return (
            None
            if reporter is None
            else _TimedReporter(reporter, self._report, self._report_errors)
        )


class _TimedReporter:
    def __init__(self, reporter: Reporter, seconds: Histogram, errors: Counter) -> None:
        self._reporter = reporter
        self._seconds = seconds
        self._errors = errors

    async def report(
        self, process_id: int | str, modality: str, status: BackendStatus, error: str | None
    ) -> None:
        """See `Reporter`."""
        began, result = time.monotonic(), "error"
        try:
            await self._reporter.report(process_id, modality, status, error)
            result = "confirmed"
        except BackendUnavailableError:
            self._errors.labels("unavailable").inc()
            raise
        except BackendRejectedError:
            self._errors.labels("rejected").inc()
            raise
        finally:
            self._seconds.labels(result).observe(time.monotonic() - began)


def _observe(histogram: Histogram, value: float | None) -> None:
    if value is not None:
        histogram.observe(value)


def _number(receipt: Mapping[str, Any], name: str) -> float | None:
    """A figure that the chunker tells: whatever it is, counting must not fail."""
    value = receipt.get(name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(value) if good else None  # type: ignore[arg-type]
