"""What a status says once something has happened: each a copy of the status, with that in it."""

from datetime import datetime

from m0_contract.errors import ErrorCode
from m0_contract.outcome import Outcome

from m0_operator.domain.actions import CreateJob
from m0_operator.domain.status import (
    ConditionType,
    FailureStatus,
    JobRef,
    ProgressStatus,
    Reason,
    Status,
    cap,
    rfc3339,
)

STARTING = "The Job exists; its pod is about to start."


def record_rejection(status: Status, failure: FailureStatus, now: datetime) -> Status:
    """The status of a resource whose request can't be run."""
    status = status.with_condition(
        ConditionType.ACCEPTED, "False", Reason.REQUEST_INVALID, now, failure.message
    )
    return record_failure(status, failure, now)


def record_acceptance(status: Status, now: datetime) -> Status:
    """The status of a resource whose request is valid."""
    if status.is_true(ConditionType.ACCEPTED):
        return status
    status = status.with_condition(ConditionType.ACCEPTED, "True", Reason.REQUEST_VALID, now)
    return status.model_copy(update={"phase": "Queued", "accepted_at": rfc3339(now)})


def record_job(status: Status, name: str, uid: str, action: CreateJob, now: datetime) -> Status:
    """The status once the Job of this action exists."""
    ref = JobRef(
        name=name,
        uid=uid,
        attempt=action.attempt,
        memory=action.memory,
        retries=action.retries,
        absences=action.absences,
        runs_before=status.attempts,
    )
    update = {
        "phase": "Queued",
        "job_ref": ref,
        "attempts": status.attempts + 1,
        "message": cap(action.why) or STARTING,
    }
    return status.model_copy(update=update).with_condition(
        ConditionType.JOB_CREATED, "True", Reason.JOB_CREATED, now, f"The Job {name} exists."
    )


def record_success(status: Status, outcome: Outcome, finished_at: str, now: datetime) -> Status:
    """The status of a video that is done."""
    progress = ProgressStatus(
        chunks=outcome.chunks,
        done_seconds=round(outcome.duration_s, 3),
        total_seconds=round(outcome.duration_s, 3),
        percent="100%",
        size_bytes=outcome.size_bytes,
    )
    said = f"{outcome.chunks} chunks of {outcome.duration_s:g} s of film are out."
    update = {
        "phase": "Succeeded",
        "message": said,
        "progress": progress,
        "finished_at": finished_at,
    }
    status = status.model_copy(update=update)
    status = status.with_condition(
        ConditionType.CHUNKS_PUBLISHED, "True", Reason.ALL_CHUNKS_OUT, now, said
    )
    return status.with_condition(ConditionType.SUCCEEDED, "True", Reason.JOB_SUCCEEDED, now)


def record_failure(status: Status, failure: FailureStatus, now: datetime) -> Status:
    """The status of a failed resource; effects follow from it."""
    stopped = failure.code is ErrorCode.STOPPED
    said = cap(f"{failure.code}: {failure.message}")
    update = {
        "phase": "Stopped" if stopped else "Failed",
        "message": said,
        "failure": failure,
        "finished_at": rfc3339(now),
    }
    reason = Reason.STOPPED if stopped else Reason.JOB_FAILED
    if failure.code is ErrorCode.JOB_REFUSED:
        reason = Reason.JOB_REFUSED
    elif not status.is_true(ConditionType.ACCEPTED):
        reason = Reason.REQUEST_INVALID
    status = status.model_copy(update=update)
    return status.with_condition(ConditionType.SUCCEEDED, "False", reason, now, said)
