"""What a status says while a Job is on its way: how far it is, or why its pod does not start."""

from datetime import datetime, timedelta

from m0_contract.errors import ErrorCode
from m0_contract.outcome import parse_outcome

from m0_operator.domain.ending import read_run
from m0_operator.domain.observed import JobView, Observed, PodView
from m0_operator.domain.records import STARTING
from m0_operator.domain.status import (
    MAX_MESSAGE,
    RUN_AGAIN,
    RUN_FAILED,
    ConditionType,
    ProgressStatus,
    Reason,
    Status,
    cap,
)

SCHEDULING = timedelta(seconds=15)
"""A pod that no node takes may be the reason for which another node is on its way."""

STARTING_UP = timedelta(seconds=40)
"""Images are pulled and volumes mounted in silence: after so long, people are told to look."""

REASONS = {
    ErrorCode.IMAGE_PULL: Reason.IMAGE_PULL_FAILED,
    ErrorCode.UNSCHEDULABLE: Reason.UNSCHEDULABLE,
    ErrorCode.POD_NOT_STARTED: Reason.POD_NOT_STARTED,
}


def record_run(status: Status, pod: PodView, observed: Observed, now: datetime) -> Status:
    """The status while the chunker runs."""
    progress = _further(status.progress, _progress(observed))
    status = status.with_condition(ConditionType.POD_STARTED, "True", Reason.POD_RUNNING, now)
    return status.model_copy(
        update={
            "phase": "Running",
            "progress": progress,
            "node": pod.node,
            "started_at": status.started_at or pod.started_at,
            "message": _running_message(progress, status.attempts),
        }
    )


def record_wait(
    status: Status, job: JobView, pod: PodView | None, observed: Observed, now: datetime
) -> Status:
    """The status while no pod runs."""
    progress = _further(status.progress, _progress(observed))
    status = status.model_copy(update={"progress": progress})
    trouble = _trouble(job, pod, now)
    if trouble is None:
        # What was said last stays true until a pod runs: a pull that failed is tried again.
        if never_started(status) is not None:
            return status
        return status.model_copy(update={"message": _waiting_message(pod, status)})
    code, text = trouble
    said = cap(f"The pod can't start: {text}")
    status = status.with_condition(ConditionType.POD_STARTED, "False", REASONS[code], now, said)
    return status.model_copy(update={"message": said})


def never_started(status: Status) -> ErrorCode | None:
    """Why no pod of it ever ran, when that is so."""
    condition = status.condition(ConditionType.POD_STARTED)
    if condition is None or condition.status != "False":
        return None
    return next((code for code, reason in REASONS.items() if reason == condition.reason), None)


def _trouble(job: JobView, pod: PodView | None, now: datetime) -> tuple[ErrorCode, str] | None:
    if pod is None:
        late = not job.runs and _age(job.created_at, now) >= STARTING_UP
        return (ErrorCode.POD_NOT_STARTED, _NO_POD.format(job.name)) if late else None
    age = _age(pod.created_at, now)
    if pod.waiting:
        soon = pod.waiting_code is ErrorCode.UNSCHEDULABLE and age < SCHEDULING
        return None if soon else (pod.waiting_code, pod.waiting)
    late = not pod.ended and age >= STARTING_UP
    return (ErrorCode.POD_NOT_STARTED, _SETTING_UP.format(pod.name)) if late else None


_NO_POD = (
    "the Job has made none; a quota or an admission rule may forbid it: kubectl describe job {}"
)
_SETTING_UP = (
    "it is still being set up; an image may be large, a volume or a Secret missing: "
    "kubectl describe pod {}"
)


def _age(created_at: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(created_at) if created_at else timedelta()


def _running_message(progress: ProgressStatus | None, attempts: int) -> str:
    tries = f" (run {attempts})" if attempts > 1 else ""
    if progress is None:
        return f"The chunker is at work{tries}."
    chunks = "1 chunk is" if progress.chunks == 1 else f"{progress.chunks} chunks are"
    return f"The chunker is at work{tries}: {chunks} out{_left(progress.eta_seconds)}."


def _left(seconds: int | None) -> str:
    if seconds is None or seconds < 1:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest if not hours else 0, "s"))
    return ", about " + " ".join(f"{n} {unit}" for n, unit in parts if n) + " to go"


def _waiting_message(pod: PodView | None, status: Status) -> str:
    if pod is not None and pod.ended and pod.exit_code == 0:
        return "The chunker is done; its end is being recorded."
    ref = status.job_ref
    if pod is not None and pod.ended:
        failure = read_run(pod, parse_outcome(pod.ended_message))
        said = cap(
            f"{RUN_FAILED}: {failure.message.rstrip('.')}.", MAX_MESSAGE - len(RUN_AGAIN) - 1
        )
        return f"{said} {RUN_AGAIN}" if failure.retryable else said
    if pod is None and ref is not None and ref.attempt > 1:
        # It says why there is another Job.
        return status.message or STARTING
    if status.attempts > 1 and (ref is None or status.attempts > ref.runs_before + 1):
        said = status.message or ""
        return said if said.startswith(RUN_FAILED) else f"{RUN_FAILED}. {RUN_AGAIN}"
    return STARTING


def _progress(observed: Observed) -> ProgressStatus | None:
    seen, ref = observed.progress, observed.resource.status.job_ref
    if seen is None or (ref is not None and seen.attempt != ref.attempt):
        return None
    percent = f"{min(100, int(100 * seen.done_s / seen.total_s))}%" if seen.total_s else None
    return ProgressStatus(
        chunks=seen.chunks,
        done_seconds=round(seen.done_s, 3),
        total_seconds=round(seen.total_s, 3) if seen.total_s else None,
        percent=percent,
        eta_seconds=None if seen.left_s is None else round(seen.left_s),
        size_bytes=seen.size_bytes,
    )


def _further(before: ProgressStatus | None, now: ProgressStatus | None) -> ProgressStatus | None:
    """The one that is further: a pod that goes on after another announces its last chunks again."""
    if before is None or now is None:
        return now or before
    return now if now.chunks >= before.chunks else before
