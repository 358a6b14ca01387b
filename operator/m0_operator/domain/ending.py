"""How a Job ended, in the words of the failure table."""

from collections.abc import Sequence
from dataclasses import dataclass

from m0_contract.errors import ErrorCode
from m0_contract.outcome import Outcome, parse_outcome

from m0_operator.domain.job_builder import SIGKILLED
from m0_operator.domain.observed import JobView, PodView
from m0_operator.domain.status import FailureStatus, build_failure

LOG_TAIL = 2048


@dataclass(frozen=True, slots=True)
class Ending:
    """A Job's end.

    Attributes:
        outcome: what the chunker said of itself, if it came to that.
        failure: None on success.
    """

    outcome: Outcome | None
    failure: FailureStatus | None
    node: str | None = None


def read_ending(job: JobView, pods: Sequence[PodView]) -> Ending:
    """The end of a finished Job, from its conditions and its newest terminated pod."""
    ended = sorted((pod for pod in pods if pod.ended), key=lambda pod: pod.created_at)
    pod = ended[-1] if ended else None
    outcome = parse_outcome(pod.ended_message) if pod else None
    node = pod.node if pod else None
    if job.end == "Complete":
        if outcome is not None and outcome.failure is None:
            return Ending(outcome, None, node)
        return Ending(outcome, _unproven(pod, outcome), node)
    return Ending(outcome, _failure(job, pod, outcome), node)


def _unproven(pod: PodView | None, outcome: Outcome | None) -> FailureStatus:
    if outcome is not None and outcome.failure is not None:
        return _from_outcome(outcome)
    if pod is None:
        return build_failure(
            ErrorCode.JOB_LOST, "The Job is complete but its pod is gone: nothing proves its work."
        )
    return build_failure(
        ErrorCode.INTERNAL,
        "The chunker ended without an outcome: nothing proves its work.",
        log_tail=_tail(pod),
    )


def _failure(job: JobView, pod: PodView | None, outcome: Outcome | None) -> FailureStatus:
    # The deadline kills the pod, whose last words are then only about being stopped.
    if job.reason == "DeadlineExceeded":
        return build_failure(ErrorCode.DEADLINE_EXCEEDED, job.message or "The deadline has passed.")
    if pod is None:
        return build_failure(
            ErrorCode.JOB_LOST, f"The Job failed and left no pod: {job.message or job.reason}"
        )
    return read_run(pod, outcome)


def read_run(pod: PodView, outcome: Outcome | None) -> FailureStatus:
    """Why a pod that has ended did not do its work: its own words, or what Kubernetes says."""
    if outcome is not None and outcome.failure is not None:
        return _from_outcome(outcome)
    code, text = _read_death(pod)
    return build_failure(code, text, log_tail=_tail(pod) if code is ErrorCode.INTERNAL else None)


def _read_death(pod: PodView) -> tuple[ErrorCode, str]:
    """What ended a pod that left no word itself."""
    if pod.ended_reason == "OOMKilled":
        text = "The chunker was killed: it needed more memory than its limit."
        return ErrorCode.OUT_OF_MEMORY, text
    if pod.pod_reason == "Evicted":
        return ErrorCode.DISK_FULL, f"The pod was evicted by its node. {pod.pod_message}".rstrip()
    if pod.exit_code == SIGKILLED:
        return ErrorCode.KILLED, "The chunker was killed, and not for its memory."
    text = f"The chunker ended with exit code {pod.exit_code} and no outcome."
    return ErrorCode.INTERNAL, text


def _from_outcome(outcome: Outcome) -> FailureStatus:
    failure = outcome.failure
    assert failure is not None  # noqa: S101 - both callers have looked
    return build_failure(
        failure.code,
        failure.message,
        stage=failure.stage,
        field=failure.field,
        chunk_id=failure.chunk_id,
    )


def _tail(pod: PodView) -> str | None:
    return pod.ended_message[-LOG_TAIL:] or None
