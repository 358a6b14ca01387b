"""From what was observed to what is to be done: the specification of the operator.

`decide` is called for every event and at every resync, with the same answer for
the same state. It performs nothing. Each step below looks at one concern.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from m0_contract.errors import ErrorCode
from m0_contract.request import RequestError

from m0_operator.domain.actions import (
    Action,
    AddFinalizer,
    CreateJob,
    Decision,
    DeleteJob,
    DeleteResource,
    ExpireJob,
    Policy,
    RemoveFinalizer,
    SuspendJob,
)
from m0_operator.domain.effects import due_effects, effects_out
from m0_operator.domain.ending import read_ending
from m0_operator.domain.job_builder import job_name
from m0_operator.domain.observed import JobView, Observed, PodView, Resource
from m0_operator.domain.receipt import with_receipt
from m0_operator.domain.records import (
    STARTING,
    record_acceptance,
    record_failure,
    record_job,
    record_rejection,
    record_success,
)
from m0_operator.domain.retries import next_job, wait_before
from m0_operator.domain.settled import kept_until
from m0_operator.domain.status import (
    ConditionType,
    FailureStatus,
    Status,
    build_failure,
    cap,
    rfc3339,
)
from m0_operator.domain.watching import never_started, record_run, record_wait

DISK_TRIES = 2

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
        decision = _decide_running(observed, policy, now, status)
    else:
        decision = Decision(status)
    newly_finished = decision.status.finished and not status.finished
    if newly_finished:
        decision = replace(decision, status=with_receipt(decision.status, resource))
    actions = (
        *_finalizer_before(resource),
        *decision.actions,
        *due_effects(observed, decision.status, policy),
        *_cleanup(observed, decision.status, policy, now),
    )
    return replace(decision, actions=actions, record_first=newly_finished)


# --- the way to the end -------------------------------------------------------------------


def _decide_running(observed: Observed, policy: Policy, now: datetime, status: Status) -> Decision:
    rejected = _rejection(observed.resource)
    if rejected is not None:
        return Decision(record_rejection(status, rejected, now))
    status = record_acceptance(status, now)
    job = observed.job
    if job is not None and job.end is not None:
        return _ended(status, observed, job, policy, now)
    if observed.resource.spec.stop or observed.resource.deleting:
        return _stop(status, observed, policy, now)
    if job is None:
        return _start(status, observed.resource, policy, now)
    if observed.resource.spec.suspend or job.suspended:
        return _suspend(status, job, suspend=observed.resource.spec.suspend)
    return _watch(status, observed, job, policy, now)


def _rejection(resource: Resource) -> FailureStatus | None:
    given = resource.spec.rejection
    if given is not None:
        return build_failure(given.code, given.message, field=given.field)
    try:
        resource.spec.to_request()
    except RequestError as error:
        return build_failure(error.code, str(error), field=error.field)
    return None


def _due(status: Status, failure: FailureStatus, job: JobView | None) -> datetime | None:
    """When the next Job may start; None: at once."""
    if job is None or job.finished_at is None or status.job_ref is None:
        return None
    wait = wait_before(status.job_ref, failure)
    return datetime.fromisoformat(job.finished_at) + wait if wait else None


def _start(status: Status, resource: Resource, policy: Policy, now: datetime) -> Decision:
    if resource.spec.suspend:
        return Decision(status.model_copy(update={"message": "Suspended: no Job is started."}))
    ref = status.job_ref
    if ref is None:
        return Decision(status, (CreateJob(1),))
    text = f"The Job {ref.name} vanished."
    return _again(status, build_failure(ErrorCode.JOB_LOST, text), None, policy, now)


def _suspend(status: Status, job: JobView, *, suspend: bool) -> Decision:
    said = "Suspended: no pod runs; what is stored stays." if suspend else STARTING
    actions = () if job.suspended == suspend else (SuspendJob(job.name, suspend),)
    return Decision(status.model_copy(update={"phase": "Queued", "message": said}), actions)


def _stop(status: Status, observed: Observed, policy: Policy, now: datetime) -> Decision:
    job = observed.job
    if job is None:
        deleted = observed.resource.deleting
        why = "The resource was deleted." if deleted else "It was stopped on request."
        return Decision(record_failure(status, build_failure(ErrorCode.STOPPED, why), now))
    status = status.model_copy(update={"message": "Stopping: waiting for the pod to end."})
    # Nothing is reported before the pod is gone: it might still announce a chunk. One that is
    # on a lost node can't be waited for.
    stuck = _stuck(observed, policy, now)
    actions = (DeleteJob(job.name, job.uid, wait=not stuck),) if stuck or not job.deleting else ()
    return Decision(status, actions, requeue_s=WAITING_REQUEUE_S)


def _watch(
    status: Status, observed: Observed, job: JobView, policy: Policy, now: datetime
) -> Decision:
    status = _with_job(status, job, now)
    if _stuck(observed, policy, now):
        text = "The pod does not end: its node is gone."
        return _again(status, build_failure(ErrorCode.NODE_LOST, text), job, policy, now)
    if sum(_outgrew_its_disk(pod) for pod in observed.pods) >= DISK_TRIES:
        # An eviction never counts for the Job: it would try for ever.
        failure = build_failure(ErrorCode.DISK_FULL, _first_line(observed))
        return Decision(
            record_failure(status, failure, now), (DeleteJob(job.name, job.uid, wait=False),)
        )
    pod = max(observed.pods, key=lambda item: item.created_at, default=None)
    if pod is None or not pod.running:
        return Decision(record_wait(status, job, pod, observed, now), requeue_s=WAITING_REQUEUE_S)
    # Nothing is heard from a node that is gone: look again.
    requeue_s = WAITING_REQUEUE_S if pod.deleting_since else None
    return Decision(record_run(status, pod, observed, now), requeue_s=requeue_s)


def _outgrew_its_disk(pod: PodView) -> bool:
    """Evicted for its own use of the disk, not for that of others."""
    return pod.pod_reason == "Evicted" and "exceed" in pod.pod_message


def _first_line(observed: Observed) -> str:
    said = next(pod.pod_message for pod in observed.pods if _outgrew_its_disk(pod))
    return f"The pod was evicted by its node {DISK_TRIES} times. {said}"


def _stuck(observed: Observed, policy: Policy, now: datetime) -> bool:
    """Whether a pod should have been gone long ago; Kubernetes itself would wait for ever."""
    patience = timedelta(seconds=policy.template.stuck_pod_seconds)
    return any(
        pod.deleting_since is not None
        and not pod.ended
        and now > datetime.fromisoformat(pod.deleting_since) + patience
        for pod in observed.pods
    )


def _again(
    status: Status, failure: FailureStatus, job: JobView | None, policy: Policy, now: datetime
) -> Decision:
    """Start another Job if one may mend this failure; else the failure stands."""
    ref = status.job_ref
    following = next_job(ref, failure, policy.template) if ref else None
    if following is None:
        return Decision(record_failure(status, failure, now))
    due = _due(status, failure, job)
    if due is not None and now < due:
        said = cap(f"{failure.message.rstrip('.')}; it is started again at {due:%H:%M:%S} UTC.")
        waiting = status.model_copy(update={"phase": "Queued", "message": said})
        return Decision(waiting, requeue_s=(due - now).total_seconds())
    actions: list[Action] = []
    if job is not None and job.end is None:
        # First: once its node is back, the Job would go on beside its successor.
        actions.append(DeleteJob(job.name, job.uid, wait=False))
    elif job is not None and not job.ttl_set:
        actions.append(ExpireJob(job.name, policy.template.ttl_seconds_after_finished))
    return Decision(status, (*actions, following))


def _with_job(status: Status, job: JobView, now: datetime) -> Status:
    ref = status.job_ref
    if ref is None or not status.is_true(ConditionType.JOB_CREATED):
        # Created just before a crash: adopted, since its name is this attempt's.
        status = record_job(status, job.name, job.uid, CreateJob(ref.attempt if ref else 1), now)
        ref = status.job_ref
    attempts = max(status.attempts, ref.runs_before + job.runs) if ref else status.attempts
    return status.model_copy(update={"attempts": attempts})


# --- the end ------------------------------------------------------------------------------


def _ended(
    status: Status, observed: Observed, job: JobView, policy: Policy, now: datetime
) -> Decision:
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
    if ending.failure is None:
        assert outcome is not None  # noqa: S101 - success is only believed with an outcome
        done = record_success(status, outcome, job.finished_at or rfc3339(now), now)
        return Decision(done)
    spec = observed.resource.spec
    if spec.stop or observed.resource.deleting:
        return Decision(record_failure(status, ending.failure, now))
    if spec.suspend:
        said = "Suspended: the last run ended; what is stored stays."
        return Decision(status.model_copy(update={"phase": "Queued", "message": said}))
    return _again(status, _in_full(ending.failure, status), job, policy, now)


def _in_full(failure: FailureStatus, status: Status) -> FailureStatus:
    """A deadline that passed while no pod could start is not the film's fault."""
    code = never_started(status)
    if failure.code is not ErrorCode.DEADLINE_EXCEEDED or code is None:
        return failure
    return build_failure(code, f"{status.message} That lasted until the Job's deadline.")


def _finalizer_before(resource: Resource) -> tuple[Action, ...]:
    return () if resource.held or resource.deleting else (AddFinalizer(),)


def _cleanup(
    observed: Observed, status: Status, policy: Policy, now: datetime
) -> tuple[Action, ...]:
    actions: list[Action] = []
    job, resource = observed.job, observed.resource
    recorded = resource.status.finished
    if recorded and job is not None and not job.ttl_set and not job.deleting:
        actions.append(ExpireJob(job.name, policy.template.ttl_seconds_after_finished))
    if effects_out(status, policy):
        if resource.deleting and resource.held:
            actions.append(RemoveFinalizer())
        elif recorded and not resource.deleting and now > kept_until(resource, status, policy):
            actions.append(DeleteResource())
    return tuple(actions)
