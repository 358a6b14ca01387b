"""How a Job's end reads."""

import json

import pytest
from m0_operator.domain.ending import read_ending
from m0_operator.domain.observed import JobView, PodView

from .conftest import SUCCESS, failed


def job(end: str, reason: str = "") -> JobView:
    return JobView(name="j", uid="u", end=end, reason=reason)  # type: ignore[arg-type]


def pod(message: str = "", *, created: str = "1", **more: object) -> PodView:
    return PodView(name="p", created_at=created, ended=True, ended_message=message, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finished", "pods", "code"),
    [
        (job("Complete"), [pod(SUCCESS)], None),
        (job("Complete"), [], "JOB_LOST"),
        (job("Complete"), [pod("just a log line")], "INTERNAL"),
        (job("Complete"), [pod(failed("UPLOAD_FAILED", "upload"))], "UPLOAD_FAILED"),
        (job("Failed"), [pod(failed("SOURCE_NOT_FOUND"))], "SOURCE_NOT_FOUND"),
        (job("Failed"), [pod("Traceback", exit_code=1)], "INTERNAL"),
        (job("Failed"), [pod(ended_reason="OOMKilled", exit_code=137)], "OUT_OF_MEMORY"),
        (job("Failed", "DeadlineExceeded"), [], "DEADLINE_EXCEEDED"),
        (job("Failed", "DeadlineExceeded"), [pod(failed("DISRUPTED", "job"))], "DEADLINE_EXCEEDED"),
        (job("Failed", "BackoffLimitExceeded"), [], "JOB_LOST"),
        (
            job("Failed"),
            [pod(failed("NOT_MEDIA", "probe"), created="2"), pod(failed("DISK_FULL", "chunk"))],
            "NOT_MEDIA",
        ),
        (job("Failed"), [pod(pod_reason="Evicted", exit_code=137)], "DISK_FULL"),
    ],
    ids=[
        "complete with an outcome is a success",
        "complete without a pod proves nothing",
        "complete without an outcome proves nothing",
        "complete with a failure is a failure",
        "failed says what the chunker said",
        "failed without an outcome is internal",
        "killed for memory",
        "the deadline leaves no pod",
        "the deadline outweighs the pod's last words",
        "no pod left",
        "the newest pod counts",
        "evicted by its node",
    ],
)
def test_ending(finished: JobView, pods: list[PodView], code: str | None) -> None:
    failure = read_ending(finished, pods).failure
    assert (failure.code.value if failure else None) == code


def test_the_log_tail_is_kept_short() -> None:
    failure = read_ending(job("Failed"), [pod("x" * 4096, exit_code=1)]).failure
    assert failure is not None
    assert failure.log_tail == "x" * 2048


def test_a_failure_carries_chunk_stage_and_remedy() -> None:
    text = json.dumps(
        {"failure": {"code": "UPLOAD_FAILED", "stage": "upload", "message": "503", "chunk_id": 2}}
    )
    failure = read_ending(job("Failed"), [pod(text)]).failure
    assert failure is not None
    assert (failure.chunk_id, failure.stage, failure.retryable) == (2, "upload", True)
    assert failure.remedy
