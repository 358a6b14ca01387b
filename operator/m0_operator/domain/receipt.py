"""What a video cost: the chunker's account of its last run, and what only the operator sees."""

from datetime import datetime
from typing import Any

from m0_operator.domain.observed import Resource
from m0_operator.domain.status import Status


def with_receipt(status: Status, resource: Resource) -> Status:
    """The status of an ended video, its receipt complete.

    `cpu_s`, `peak_rss_bytes`, `bytes_read`, `first_chunk_s`, `uploads`, `upload_s`, `rows` and
    `row_s` are the last run's, as it told them; a run that was killed tells nothing. Of all
    runs together are `bytes_out` (the chunks', each once), `retries` (runs but the first),
    `waited_s` (until the first run) and `run_s` (from then to the end), seconds.
    """
    origin, end = resource.spec.origin, status.finished_at
    came = (origin.received_at if origin else "") or resource.created_at
    figures: dict[str, Any] = {
        **(status.receipt or {}),
        "retries": max(0, status.attempts - 1),
        "bytes_out": status.progress.size_bytes if status.progress else 0,
        "waited_s": seconds_between(came, status.started_at or end),
        "run_s": seconds_between(status.started_at, end),
    }
    receipt = {name: value for name, value in figures.items() if value is not None}
    return status.model_copy(update={"receipt": receipt})


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Between two times in RFC 3339, never less than 0: they are of different clocks."""
    if not start or not end:
        return None
    try:
        between = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    except (ValueError, TypeError):
        # A person may apply a resource with an origin of their own.
        return None
    return max(0.0, between.total_seconds())
