"""From what was observed to what is to be done: the specification of the operator.

`decide` is called for every event and at every resync, with the same answer for
the same state. It performs nothing. Each step below looks at one concern.
"""

from dataclasses import replace
from datetime import datetime

from m0_contract.errors import ErrorCode
from m0_contract.request import RequestError

from m0_operator.domain.actions import (
    Action,
    AddFinalizer,
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    Policy,
    RemoveFinalizer,
    SuspendJob,
)
from m0_operator.domain.effects import due_effects, effects_out
from m0_operator.domain.ending import read_ending
from m0_operator.domain.job_builder import job_name
from m0_operator.domain.observed import JobView, Observed, PodView, Resource
from m0_operator.domain.records import (
    STARTING,
    record_acceptance,
    record_failure,
    record_job,
    record_rejection,
    record_success,
)
from m0_operator.domain.status import (
    ConditionType,
    FailureStatus,
    ProgressStatus,
    Status,
    build_failure,
    cap,
    rfc3339,
)

MAX_JOBS = 3
"""Jobs for one video, when Jobs vanish; a pod's own retries are the Job's matter."""

WAITING_REQUEUE_S = 10.0
"""A pod that can't start makes no event on its Job: look again."""


def expected_job(resource: Resource) -> str:
    """The name of the current attempt's Job, whether it exists or not."""
    ref = resource.status.job_ref
    return ref.name if ref else job_name(resource.name, resource.uid, 1)


def decide(observed: Observed, policy: Policy, now: datetime) -> Decision:
    """What is to be done next for one resource."""
    resource = observed.resource
    status = resource.status
    if observed.acknowledged:
        status = status.model_copy(update={"acknowledged": True})
    if not status.finished:
        status = status.model_copy(update={"observed_generation": resource.generation})
        decision = _decide_running(observed, now, status)
    else:
        decision = Decision(status)
    newly_finished = decision.status.finished and not status.finished
    actions = (
        *_finalizer_before(resource),
        *decision.actions,
        *due_effects(observed, decision.status, policy),
        *_cleanup(observed, decision.status, policy),
    )
    return replace(decision, actions=actions, record_first=newly_finished)


# --- the way to the end -------------------------------------------------------------------


def _decide_running(observed: Observed, now: datetime, status: Status) -> Decision:
    rejected = _rejection(observed.resource)
    if rejected is not None:
        return Decision(record_rejection(status, rejected, now))
    status = record_acceptance(status, now)
    job = observed.job
    if job is not None and job.end is not None:
        return Decision(_ended(status, observed, job, now))
    if observed.resource.spec.stop or observed.resource.deleting:
        return _stop(status, job, observed.resource, now)
    if job is None:
        return _start(status, observed.resource, now)
    if observed.resource.spec.suspend or job.suspended:
        return _suspend(status, job, suspend=observed.resource.spec.suspend)
    return _watch(status, observed, job, now)


def _rejection(resource: Resource) -> FailureStatus | None:
    given = resource.spec.rejection
    if given is not None:
        return build_failure(given.code, given.message, field=given.field)
    try:
        resource.spec.to_request()
    except RequestError as error:
        return build_failure(error.code, str(error), field=error.field)
    return None


def _start(status: Status, resource: Resource, now: datetime) -> Decision:
    if resource.spec.suspend:
        return Decision(status.model_copy(update={"message": "Suspended: no Job is started."}))
    ref = status.job_ref
    if ref is None:
        return Decision(status, (CreateJob(1),))
    if ref.attempt >= MAX_JOBS:
        text = f"The Job {ref.name} vanished, the last of {MAX_JOBS}."
        return Decision(record_failure(status, build_failure(ErrorCode.JOB_LOST, text), now))
    text = f"The Job {ref.name} vanished; it is started again."
    return Decision(status.model_copy(update={"message": text}), (CreateJob(ref.attempt + 1),))


def _suspend(status: Status, job: JobView, *, suspend: bool) -> Decision:
    said = "Suspended: no pod runs; what is stored stays." if suspend else STARTING
    actions = () if job.suspended == suspend else (SuspendJob(job.name, suspend),)
    return Decision(status.model_copy(update={"phase": "Queued", "message": said}), actions)


def _stop(status: Status, job: JobView | None, resource: Resource, now: datetime) -> Decision:
    if job is None:
        why = "The resource was deleted." if resource.deleting else "It was stopped on request."
        return Decision(record_failure(status, build_failure(ErrorCode.STOPPED, why), now))
    status = status.model_copy(update={"message": "Stopping: waiting for the pod to end."})
    actions = () if job.deleting else (DeleteJob(job.name, job.uid),)
    # Nothing is reported before the pod is gone: it might still announce a chunk.
    return Decision(status, actions, requeue_s=WAITING_REQUEUE_S)


def _watch(status: Status, observed: Observed, job: JobView, now: datetime) -> Decision:
    status = _with_job(status, job, now)
    pod = max(observed.pods, key=lambda item: item.created_at, default=None)
    progress = _further(status.progress, _progress(observed))
    update: dict[str, object] = {"progress": progress}
    if pod is not None and pod.running:
        update |= {
            "phase": "Running",
            "node": pod.node,
            "started_at": status.started_at or pod.started_at,
            "message": _running_message(progress, status.attempts),
        }
        return Decision(status.model_copy(update=update))
    update["message"] = _waiting_message(pod, status.attempts)
    return Decision(status.model_copy(update=update), requeue_s=WAITING_REQUEUE_S)


def _running_message(progress: ProgressStatus | None, attempts: int) -> str:
    tries = f" (run {attempts})" if attempts > 1 else ""
    if progress is None:
        return f"The chunker is at work{tries}."
    chunks = "1 chunk is" if progress.chunks == 1 else f"{progress.chunks} chunks are"
    return f"The chunker is at work{tries}: {chunks} out."


def _waiting_message(pod: PodView | None, attempts: int) -> str:
    if pod is not None and pod.waiting:
        return cap(f"The pod can't start: {pod.waiting}")
    if pod is not None and pod.ended and pod.exit_code == 0:
        return "The chunker is done; its end is being recorded."
    if attempts > 1 or (pod is not None and pod.ended):
        return "The last run failed; the next one is about to start."
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
        size_bytes=seen.size_bytes,
    )


def _further(before: ProgressStatus | None, now: ProgressStatus | None) -> ProgressStatus | None:
    """The one that is further: a pod that goes on after another announces its last chunks again."""
    if before is None or now is None:
        return now or before
    return now if now.chunks >= before.chunks else before


def _with_job(status: Status, job: JobView, now: datetime) -> Status:
    ref = status.job_ref
    if ref is None or not status.is_true(ConditionType.JOB_CREATED):
        # Created just before a crash: adopted, since its name is this attempt's.
        status = record_job(status, job.name, job.uid, ref.attempt if ref else 1, now)
        ref = status.job_ref
    attempts = max(status.attempts, ref.attempt - 1 + job.runs) if ref else status.attempts
    return status.model_copy(update={"attempts": attempts})


# --- the end ------------------------------------------------------------------------------


def _ended(status: Status, observed: Observed, job: JobView, now: datetime) -> Status:
    ending = read_ending(job, observed.pods)
    status = _with_job(status, job, now)
    outcome = ending.outcome
    started = min((pod.started_at for pod in observed.pods if pod.started_at), default=None)
    update: dict[str, object] = {
        "node": ending.node or status.node,
        "started_at": status.started_at or started,
    }
    if outcome is not None:
        update |= {
            "mode": outcome.mode or status.mode,
            "integrity": outcome.integrity.model_dump(mode="json") if outcome.integrity else None,
            "receipt": outcome.receipt,
        }
    status = status.model_copy(update=update)
    if ending.failure is not None:
        return record_failure(status, ending.failure, now)
    assert outcome is not None  # noqa: S101 - success is only believed with an outcome
    return record_success(status, outcome, job.finished_at or rfc3339(now), now)


def _finalizer_before(resource: Resource) -> tuple[Action, ...]:
    return () if resource.held or resource.deleting else (AddFinalizer(),)


def _cleanup(observed: Observed, status: Status, policy: Policy) -> tuple[Action, ...]:
    actions: list[Action] = []
    job = observed.job
    recorded = observed.resource.status.finished
    if recorded and job is not None and not job.ttl_set and not job.deleting:
        actions.append(ExpireJob(job.name, policy.template.ttl_seconds_after_finished))
    if observed.resource.deleting and observed.resource.held and effects_out(status, policy):
        actions.append(RemoveFinalizer())
    return tuple(actions)
