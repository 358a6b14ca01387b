"""The specification of the operator: what is decided in each state, and what never is."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_contract.chunk import Progress
from m0_contract.errors import ErrorCode
from m0_contract.request import parse_request
from m0_contract.resource import FINALIZER, Rejection, VideoChunkJobSpec, build_spec
from m0_operator.domain.actions import (
    Action,
    AddFinalizer,
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    Policy,
    PublishDeadLetter,
    RemoveFinalizer,
    ReportBackend,
    SuspendJob,
)
from m0_operator.domain.decide import MAX_JOBS, decide
from m0_operator.domain.effects import effects_out
from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.observed import JobView, Observed, PodView, Resource
from m0_operator.domain.resource_builder import build_origin
from m0_operator.domain.status import (
    Condition,
    ConditionType,
    JobRef,
    ProgressStatus,
    Status,
    build_failure,
)

from .conftest import SUCCESS, failed, request_body

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(template=JobTemplate(image="c:1"))
SPEC = VideoChunkJobSpec.model_validate(
    build_spec(parse_request(request_body()), build_origin(request_body(), {}, 0, NOW))
)
REJECTED = VideoChunkJobSpec(
    process_id=101, rejection=Rejection(code=ErrorCode.INVALID_REQUEST, message="no film")
)
JOB = JobView(name="video-101-j-1", uid="j1")
DONE = replace(JOB, end="Complete")
BROKEN = replace(JOB, end="Failed")
WELL = PodView(name="p", created_at="1", ended=True, exit_code=0, ended_message=SUCCESS)
ILL = replace(WELL, exit_code=65, ended_message=failed("NOT_MEDIA", "probe"))
FAILURE = build_failure(ErrorCode.NOT_MEDIA, "no film")


def condition(kind: ConditionType, status: Any = "True") -> Condition:
    return Condition(type=kind, status=status, reason="R", last_transition_time="t")


ACCEPTED = (condition(ConditionType.ACCEPTED),)
STARTED = Status(
    phase="Queued",
    conditions=(*ACCEPTED, condition(ConditionType.JOB_CREATED)),
    job_ref=JobRef(name=JOB.name, uid=JOB.uid),
    attempts=1,
    reported="QUEUED",
)
SUCCEEDED = STARTED.model_copy(update={"phase": "Succeeded", "reported": "PROCESSING"})
FAILED = STARTED.model_copy(update={"phase": "Failed", "failure": FAILURE})
LETTERED = FAILED.model_copy(
    update={
        "reported": "FAILED",
        "conditions": (*FAILED.conditions, condition(ConditionType.DEAD_LETTERED)),
    }
)


def seen(
    *,
    spec: VideoChunkJobSpec = SPEC,
    status: Status | None = None,
    deleting: bool = False,
    held: bool = True,
    suspend: bool = False,
    stop: bool = False,
    **rest: Any,
) -> Observed:
    spec = spec.model_copy(update={"suspend": suspend, "stop": stop})
    resource = Resource(
        name="video-101",
        namespace="m0",
        uid="0123456789",
        version="1",
        generation=1,
        deleting=deleting,
        finalizers=(FINALIZER,) if held else (),
        created_at="2026-01-01T00:00:00Z",
        spec=spec,
        status=status or Status(),
    )
    return Observed(resource=resource, **rest)


QUEUED, PROCESSING = ReportBackend("QUEUED"), ReportBackend("PROCESSING")
TOLD_FAILED = ReportBackend("FAILED", "NOT_MEDIA: why")
CASES: dict[str, tuple[Observed, str | None, tuple[Action | type, ...]]] = {
    "a new one is accepted, started and told": (seen(), "Queued", (CreateJob(1), QUEUED)),
    "one without our finalizer gets it first": (
        seen(held=False), "Queued", (AddFinalizer(), CreateJob(1), QUEUED),
    ),
    "a rejected one fails without a Job and was never queued": (
        seen(spec=REJECTED), "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "a Job that was made before a crash is adopted": (seen(job=JOB), "Queued", (QUEUED,)),
    "a running one is left alone": (
        seen(status=STARTED, job=JOB, pods=(replace(WELL, ended=False, running=True),)),
        "Running", (),
    ),
    "a Job that vanished is made again": (seen(status=STARTED), "Queued", (CreateJob(2),)),
    "a Job that vanished too often fails the video": (
        seen(status=STARTED.model_copy(update={"job_ref": JobRef(name="j", attempt=MAX_JOBS)})),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "a Job that is done ends it": (
        seen(status=STARTED, job=DONE, pods=(WELL,)), "Succeeded", (PROCESSING,),
    ),
    "what was not told yet is told in order": (
        seen(status=STARTED.model_copy(update={"reported": None}), job=DONE, pods=(WELL,)),
        "Succeeded", (QUEUED, PROCESSING),
    ),
    "a Job that failed is told and dead-lettered": (
        seen(status=STARTED, job=BROKEN, pods=(ILL,)), "Failed", (TOLD_FAILED, PublishDeadLetter),
    ),
    "the dead letter does not wait for a backend that is away": (
        seen(status=STARTED, job=BROKEN, pods=(ILL,), backend_due=False),
        "Failed", (PublishDeadLetter,),
    ),
    "the backend does not wait for a broker that is away": (
        seen(status=STARTED, job=BROKEN, pods=(ILL,), deadletter_due=False),
        "Failed", (TOLD_FAILED,),
    ),
    "a Job without proof of its work has failed": (
        seen(status=STARTED, job=DONE), "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "a recorded end lets the Job expire": (
        seen(status=SUCCEEDED, job=DONE), "Succeeded", (ExpireJob(JOB.name, 600),),
    ),
    "when all is told nothing is left to do": (seen(status=LETTERED), "Failed", ()),
    "suspended before its start, it is not started": (seen(suspend=True), "Queued", (QUEUED,)),
    "suspended while running, its pod is taken away": (
        seen(status=STARTED, job=JOB, suspend=True),
        "Queued", (SuspendJob(JOB.name, suspend=True),),
    ),
    "resumed, it gets a pod again": (
        seen(status=STARTED, job=replace(JOB, suspended=True)),
        "Queued", (SuspendJob(JOB.name, suspend=False),),
    ),
    "stopped, its Job goes first and nothing is told": (
        seen(status=STARTED, job=JOB, stop=True), "Queued", (DeleteJob(JOB.name, "j1"),),
    ),
    "stopped, it waits for its pod to be gone": (
        seen(status=STARTED, job=replace(JOB, deleting=True), stop=True), "Queued", (),
    ),
    "stopped, with its Job gone it is told": (
        seen(status=STARTED, stop=True), "Stopped", (ReportBackend, PublishDeadLetter),
    ),
    "stopped too late, it has succeeded": (
        seen(status=STARTED, job=DONE, pods=(WELL,), stop=True), "Succeeded", (PROCESSING,),
    ),
    "deleted while running, its Job goes first": (
        seen(status=STARTED, job=JOB, deleting=True), "Queued", (DeleteJob(JOB.name, "j1"),),
    ),
    "deleted before its start, it is told as stopped": (
        seen(deleting=True), "Stopped", (QUEUED, ReportBackend, PublishDeadLetter),
    ),
    "deleted after its end, it is let go": (
        seen(status=LETTERED, deleting=True), "Failed", (RemoveFinalizer(),),
    ),
    "deleted after its end, it is held until all is told": (
        seen(status=FAILED, deleting=True, deadletter_due=False, backend_due=False),
        "Failed", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("observed", "phase", "actions"), CASES.values(), ids=CASES.keys())
def test_decided(observed: Observed, phase: str | None, actions: tuple[Action | type, ...]) -> None:
    decision = decide(observed, POLICY, NOW)
    assert decision.status.phase == phase
    assert len(decision.actions) == len(actions), decision.actions
    for done, wanted in zip(decision.actions, actions, strict=True):
        if isinstance(wanted, type):
            assert isinstance(done, wanted)
        else:
            assert done == wanted


# --- whatever is observed -----------------------------------------------------------------

TIMES = st.sampled_from([None, "2026-01-01T00:00:00Z"])
JOBS = st.builds(
    JobView,
    name=st.just(JOB.name),
    uid=st.just("j1"),
    end=st.sampled_from([None, None, "Complete", "Failed"]),
    reason=st.sampled_from(["", "DeadlineExceeded", "PodFailurePolicy", "BackoffLimitExceeded"]),
    deleting=st.booleans(),
    suspended=st.booleans(),
    runs=st.integers(0, 5),
    ttl_set=st.booleans(),
    finished_at=TIMES,
)
PODS = st.builds(
    PodView,
    name=st.just("p"),
    created_at=st.sampled_from(["1", "2", "3"]),
    node=st.sampled_from([None, "n1"]),
    running=st.booleans(),
    started_at=TIMES,
    ended=st.booleans(),
    exit_code=st.sampled_from([None, 0, 1, 65, 137]),
    ended_reason=st.sampled_from(["", "OOMKilled"]),
    ended_message=st.sampled_from(["", "{", "null", SUCCESS, failed("NOT_MEDIA", "probe")]),
    pod_reason=st.sampled_from(["", "Evicted"]),
    waiting=st.sampled_from(["", "no node takes the pod"]),
)
STATUSES = st.builds(
    Status,
    phase=st.sampled_from(
        [None, "Queued", "Queued", "Running", "Running", "Succeeded", "Failed", "Stopped"]
    ),
    conditions=st.lists(
        st.builds(condition, st.sampled_from(ConditionType), st.sampled_from(["True", "False"])),
        unique_by=lambda item: item.type,
    ).map(tuple),
    attempts=st.integers(0, 9),
    acknowledged=st.sampled_from([None, True]),
    progress=st.sampled_from([None, ProgressStatus(chunks=3)]),
    failure=st.sampled_from([None, FAILURE]),
    job_ref=st.none() | st.builds(JobRef, name=st.just(JOB.name), attempt=st.integers(1, 4)),
    reported=st.sampled_from([None, "QUEUED", "PROCESSING", "COMPLETED", "FAILED"]),
)
PROGRESS = st.none() | st.builds(
    Progress,
    resource=st.just("video-101"),
    attempt=st.integers(1, 4),
    chunks=st.integers(0, 9),
    done_s=st.floats(0, 300),
    total_s=st.sampled_from([None, 0.0, 300.0]),
    size_bytes=st.just(1),
)
# Most things are as usual most of the time; otherwise nothing would ever be started.
SELDOM = st.sampled_from([False, False, False, True])
OBSERVED = st.builds(
    seen,
    spec=st.sampled_from([SPEC] * 4 + [REJECTED, VideoChunkJobSpec(process_id=1)]),
    status=STATUSES,
    deleting=SELDOM,
    held=st.booleans(),
    suspend=SELDOM,
    stop=SELDOM,
    job=st.none() | JOBS,
    pods=st.lists(PODS, max_size=3).map(tuple),
    progress=PROGRESS,
    acknowledged=st.booleans(),
    backend_due=st.booleans(),
    deadletter_due=st.booleans(),
)
POLICIES = st.sampled_from(
    [POLICY, replace(POLICY, backend=False), replace(POLICY, handed_over="COMPLETED")]
)


def of_kind(decision: Decision, kind: type) -> list[Any]:
    return [action for action in decision.actions if isinstance(action, kind)]


@given(OBSERVED, POLICIES)
def test_the_same_state_gets_the_same_answer_and_saying_it_changes_nothing(
    observed: Observed, policy: Policy
) -> None:
    decision = decide(observed, policy, NOW)
    assert decide(observed, policy, NOW) == decision
    said = replace(observed, resource=replace(observed.resource, status=decision.status))
    assert decide(said, policy, NOW).status == decision.status


@settings(max_examples=500)
@given(OBSERVED, POLICIES)
def test_there_is_never_a_second_job(observed: Observed, policy: Policy) -> None:
    resource = observed.resource
    decision = decide(observed, policy, NOW)
    created = of_kind(decision, CreateJob)
    assert len(created) <= 1
    if created:
        assert observed.job is None
        assert not any((resource.deleting, resource.spec.stop, resource.spec.suspend))
        assert not decision.status.finished
        before = resource.status.job_ref.attempt if resource.status.job_ref else 0
        assert created[0].attempt == before + 1 <= MAX_JOBS


@given(OBSERVED, POLICIES)
def test_an_end_never_changes(observed: Observed, policy: Policy) -> None:
    decision = decide(observed, policy, NOW)
    if observed.resource.status.finished:
        assert decision.status.phase == observed.resource.status.phase
        assert not of_kind(decision, CreateJob | DeleteJob | SuspendJob)  # type: ignore[arg-type]


@given(OBSERVED, POLICIES)
def test_reports_are_in_order_and_never_ahead_of_the_end(
    observed: Observed, policy: Policy
) -> None:
    decision = decide(observed, policy, NOW)
    told = [report.status for report in of_kind(decision, ReportBackend)]
    if observed.resource.status.reported in {None, *told}:
        assert told == sorted(set(told), key=["QUEUED", policy.handed_over, "FAILED"].index)
    assert told.count("QUEUED") == 0 or told[0] == "QUEUED"
    assert len([status for status in told if status != "QUEUED"]) <= 1
    assert ("FAILED" not in told) or decision.status.failed
    assert (policy.handed_over not in told) or decision.status.phase == "Succeeded"


@given(OBSERVED, POLICIES)
def test_only_a_recorded_failure_is_dead_lettered_and_only_once(
    observed: Observed, policy: Policy
) -> None:
    decision = decide(observed, policy, NOW)
    letters = of_kind(decision, PublishDeadLetter)
    assert len(letters) <= 1
    if letters:
        assert decision.status.failed
        assert not decision.status.is_true(ConditionType.DEAD_LETTERED)
        assert decision.record_first or observed.resource.status.failed


@given(OBSERVED, POLICIES)
def test_a_deleted_one_is_let_go_when_all_is_told_and_not_before(
    observed: Observed, policy: Policy
) -> None:
    decision = decide(observed, policy, NOW)
    resource = observed.resource
    out = effects_out(decision.status, policy)
    assert bool(of_kind(decision, RemoveFinalizer)) == (resource.deleting and resource.held and out)
    assert not (resource.deleting and of_kind(decision, AddFinalizer))
