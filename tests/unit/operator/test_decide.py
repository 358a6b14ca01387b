"""The specification of the operator: what is decided in each state, and what never is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    DeleteResource,
    ExpireJob,
    Policy,
    PublishDeadLetter,
    RemoveFinalizer,
    ReportBackend,
    SuspendJob,
)
from m0_operator.domain.decide import decide
from m0_operator.domain.effects import effects_out
from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.observed import JobView, Observed, PodView, Resource
from m0_operator.domain.records import record_job
from m0_operator.domain.resource_builder import build_origin
from m0_operator.domain.retries import MAX_ABSENCES, MAX_JOBS, MAX_RETRIES
from m0_operator.domain.settled import settled_until
from m0_operator.domain.status import (
    Condition,
    ConditionType,
    JobRef,
    ProgressStatus,
    Status,
    announcements,
    build_failure,
)

from .conftest import SUCCESS, failed, request_body

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = {"limits": {"memory": "1Gi"}}
TEMPLATE = JobTemplate(image="c:1", resources=SMALL, memory_cap="3Gi")
POLICY = Policy(template=TEMPLATE, finished_ttl_s=3600)
SPEC = VideoChunkJobSpec.model_validate(
    build_spec(parse_request(request_body()), build_origin(request_body(), {}, 0, NOW))
)
REJECTED = VideoChunkJobSpec(
    process_id=101, rejection=Rejection(code=ErrorCode.INVALID_REQUEST, message="no film")
)
JOB = JobView(name="video-101-j-1", uid="j1")
DONE = replace(JOB, end="Complete")
BROKEN = replace(JOB, end="Failed")
WELL = PodView(
    name="p", created_at="2025-12-31T23:59:58Z", ended=True, exit_code=0, ended_message=SUCCESS
)
ILL = replace(WELL, exit_code=65, ended_message=failed("NOT_MEDIA", "probe"))
NO_MEMORY = replace(WELL, exit_code=137, ended_reason="OOMKilled", ended_message="")
NO_BROKER = replace(WELL, exit_code=75, ended_message=failed("BROKER_UNREACHABLE", "publish"))
LATELY = "2025-12-31T23:59:50Z"
KILLED = replace(WELL, exit_code=137, ended_reason="Error", ended_message="")
LONG_AGO = "2025-12-31T23:55:00Z"
AT_WORK = PodView(name="p", created_at=LONG_AGO, running=True)
LOST = replace(AT_WORK, deleting_since=LONG_AGO)
TOO_BIG = replace(
    WELL, ended_message="", pod_reason="Evicted", pod_message="Usage of EmptyDir exceeds the limit"
)
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


def again(**changes: Any) -> Status:
    ref = STARTED.job_ref
    assert ref is not None
    return STARTED.model_copy(update={"job_ref": ref.model_copy(update=changes)})


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
    "a Job that vanished is made again": (
        seen(status=STARTED), "Queued",
        (CreateJob(2, None, 1, why="The Job video-101-j-1 vanished; it is started again."),),
    ),
    "a Job that vanished too often fails the video": (
        seen(status=STARTED.model_copy(update={"job_ref": JobRef(name="j", retries=MAX_RETRIES)})),
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
    "a Job without proof of its work is done again": (
        seen(status=STARTED, job=DONE), "Queued", (ExpireJob(JOB.name, 600), CreateJob),
    ),
    "a Job without proof of its work has failed in the end": (
        seen(status=again(retries=MAX_RETRIES), job=DONE),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "one that had too little memory gets more": (
        seen(status=STARTED, job=BROKEN, pods=(NO_MEMORY,)), "Queued",
        (
            ExpireJob(JOB.name, 600),
            CreateJob(
                2, "2048Mi",
                why="1Gi of memory were too little; it is started again with 2048Mi.",
            ),
        ),
    ),
    "the cap is tried too": (
        seen(status=again(memory="2048Mi"), job=replace(BROKEN, ttl_set=True), pods=(NO_MEMORY,)),
        "Queued",
        (
            CreateJob(
                2, "3072Mi",
                why="2048Mi of memory were too little; it is started again with 3072Mi.",
            ),
        ),
    ),
    "what had all the memory there is has failed": (
        seen(status=again(memory="3072Mi"), job=BROKEN, pods=(NO_MEMORY,)),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "one that somebody killed is started again": (
        seen(status=STARTED, job=replace(BROKEN, ttl_set=True), pods=(KILLED,)),
        "Queued", (CreateJob,),
    ),
    "one that is killed again and again has failed": (
        seen(status=again(retries=MAX_RETRIES), job=BROKEN, pods=(KILLED,)),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "a broker that is away for long is waited for": (
        seen(status=STARTED, job=replace(BROKEN, finished_at=LATELY), pods=(NO_BROKER,)),
        "Queued", (),
    ),
    "then it is tried again": (
        seen(status=STARTED, job=replace(BROKEN, finished_at=LONG_AGO), pods=(NO_BROKER,)),
        "Queued", (ExpireJob(JOB.name, 600), CreateJob),
    ),
    "but each time later": (
        seen(
            status=again(absences=2), job=replace(BROKEN, finished_at=LONG_AGO), pods=(NO_BROKER,)
        ),
        "Queued", (),
    ),
    "but never later than in eight minutes": (
        seen(
            status=again(absences=MAX_ABSENCES - 1, retries=MAX_RETRIES),
            job=replace(BROKEN, finished_at="2025-12-31T23:51:59Z"), pods=(NO_BROKER,),
        ),
        "Queued",
        (
            ExpireJob(JOB.name, 600),
            CreateJob(
                2, None, MAX_RETRIES, MAX_ABSENCES,
                "why; it is started again.",
            ),
        ),
    ),
    "and not for ever": (
        seen(
            status=again(absences=MAX_ABSENCES), job=replace(BROKEN, finished_at=LONG_AGO),
            pods=(NO_BROKER,),
        ),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "stopped, it is not started again": (
        seen(status=STARTED, job=BROKEN, pods=(KILLED,), stop=True),
        "Failed", (ReportBackend, PublishDeadLetter),
    ),
    "suspended, it is not started again": (
        seen(status=STARTED, job=BROKEN, pods=(KILLED,), suspend=True), "Queued", (),
    ),
    "on a lost node, it is started elsewhere, and that is not held against it": (
        seen(status=again(retries=MAX_RETRIES), job=JOB, pods=(LOST,)), "Queued",
        (
            DeleteJob(JOB.name, "j1", wait=False),
            CreateJob(
                2, None, MAX_RETRIES,
                why="The pod does not end: its node is gone; it is started again.",
            ),
        ),
    ),
    "a pod that is being deleted is waited for": (
        seen(status=STARTED, job=JOB, pods=(replace(LOST, deleting_since="2026-01-01T00:00:00Z"),)),
        "Running", (),
    ),
    "stopped on a lost node, nobody waits for its pod": (
        seen(status=STARTED, job=replace(JOB, deleting=True), pods=(LOST,), stop=True),
        "Queued", (DeleteJob(JOB.name, "j1", wait=False),),
    ),
    "one that outgrew its disk twice has failed": (
        seen(status=STARTED, job=JOB, pods=(TOO_BIG, TOO_BIG, AT_WORK)),
        "Failed", (DeleteJob(JOB.name, "j1", wait=False), ReportBackend, PublishDeadLetter),
    ),
    "one that outgrew its disk once is tried again": (
        seen(
            status=STARTED, job=JOB,
            pods=(TOO_BIG, replace(AT_WORK, created_at="2026-01-01T00:00:00Z")),
        ),
        "Running", (),
    ),
    "kept for long enough, it goes": (
        seen(
            status=LETTERED.model_copy(
                update={"finished_at": "2025-12-31T22:00:00Z", "acknowledged": True}
            )
        ),
        "Failed", (DeleteResource(),),
    ),
    "kept for long enough, it waits for a message that may come again": (
        seen(
            status=LETTERED.model_copy(
                update={"finished_at": "2025-12-31T22:00:00Z", "acknowledged": None}
            )
        ),
        "Failed", (),
    ),
    "but not for ever": (
        seen(
            status=LETTERED.model_copy(
                update={"finished_at": "2025-12-30T22:00:00Z", "acknowledged": None}
            )
        ),
        "Failed", (DeleteResource(),),
    ),
    "until then it stays": (
        seen(status=LETTERED.model_copy(update={"finished_at": LONG_AGO})), "Failed", (),
    ),
    "kept for long enough but not told, it stays": (
        seen(
            status=FAILED.model_copy(update={"finished_at": "2025-12-31T22:00:00Z"}),
            deadletter_due=False, backend_due=False,
        ),
        "Failed", (),
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
    created_at=st.sampled_from(["", LONG_AGO]),
    finished_at=TIMES,
)
PODS = st.builds(
    PodView,
    name=st.just("p"),
    created_at=st.sampled_from([LONG_AGO, "2025-12-31T23:59:50Z", "2026-01-01T00:00:00Z"]),
    node=st.sampled_from([None, "n1"]),
    running=st.booleans(),
    started_at=TIMES,
    ended=st.booleans(),
    exit_code=st.sampled_from([None, 0, 1, 65, 137]),
    ended_reason=st.sampled_from(["", "OOMKilled"]),
    ended_message=st.sampled_from(["", "{", "null", SUCCESS, failed("NOT_MEDIA", "probe")]),
    pod_reason=st.sampled_from(["", "Evicted"]),
    pod_message=st.sampled_from(["", "exceeds the limit"]),
    waiting=st.sampled_from(["", "no node takes the pod"]),
    waiting_code=st.sampled_from([ErrorCode.UNSCHEDULABLE, ErrorCode.IMAGE_PULL]),
    deleting_since=TIMES | st.just(LONG_AGO),
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
    job_ref=st.none()
    | st.builds(
        JobRef,
        name=st.just(JOB.name),
        attempt=st.sampled_from([1, 2, 3, MAX_JOBS]),
        retries=st.integers(0, MAX_RETRIES),
        absences=st.integers(0, MAX_ABSENCES),
        memory=st.sampled_from([None, "2048Mi", "3072Mi"]),
    ),
    finished_at=st.sampled_from([None, LONG_AGO, "2025-12-31T20:00:00Z"]),
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
        # The one before is over, or goes before it.
        gone = of_kind(decision, DeleteJob)
        assert observed.job is None or observed.job.end or not gone[0].wait
        assert not any((resource.deleting, resource.spec.stop, resource.spec.suspend))
        assert not decision.status.finished
        ref = resource.status.job_ref
        before = ref.attempt if ref else int(observed.job is not None)
        assert created[0].attempt == before + 1 <= MAX_JOBS


@settings(max_examples=500)
@given(OBSERVED, POLICIES)
def test_for_what_is_settled_nothing_is_to_be_done(observed: Observed, policy: Policy) -> None:
    until = settled_until(observed.resource, policy)
    job = replace(observed.job, ttl_set=True) if observed.job else None
    # That its message is off the queue is recorded first, which makes another version of it.
    recorded = bool(observed.resource.status.acknowledged)
    decision = decide(replace(observed, job=job, acknowledged=recorded), policy, NOW)
    if until is not None and until >= NOW:
        assert decision.actions == ()


@given(OBSERVED, POLICIES)
def test_an_end_never_changes(observed: Observed, policy: Policy) -> None:
    decision = decide(observed, policy, NOW)
    if observed.resource.status.finished:
        assert decision.status.phase == observed.resource.status.phase
        assert not of_kind(decision, CreateJob | DeleteJob | SuspendJob)  # type: ignore[arg-type]


@given(OBSERVED, POLICIES)
def test_only_what_was_told_to_all_is_deleted(observed: Observed, policy: Policy) -> None:
    decision = decide(observed, policy, NOW)
    if of_kind(decision, DeleteResource):
        assert observed.resource.status.finished
        assert effects_out(decision.status, policy)
        assert policy.finished_ttl_s is not None


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


# --- why a pod does not start ---------------------------------------------------------------

PULLING = PodView(
    name="p",
    created_at="2025-12-31T23:59:58Z",
    waiting="the image c:1 can't be pulled",
    waiting_code=ErrorCode.IMAGE_PULL,
)
NO_NODE = replace(PULLING, waiting="no node takes it", waiting_code=ErrorCode.UNSCHEDULABLE)
SILENT = replace(PULLING, waiting="")


@pytest.mark.parametrize(
    ("pods", "after_s", "reason"),
    [
        ((PULLING,), 0, "ImagePullFailed"),
        ((NO_NODE,), 0, None),
        ((NO_NODE,), 20, "Unschedulable"),
        ((SILENT,), 20, None),
        ((SILENT,), 45, "PodNotStarted"),
        ((), 20, None),
        ((), 45, "PodNotStarted"),
        ((replace(SILENT, ended=True, exit_code=75),), 45, None),
    ],
)
def test_a_pod_that_does_not_start_is_told_within_a_minute(
    pods: tuple[PodView, ...], after_s: int, reason: str | None
) -> None:
    job = replace(JOB, created_at="2026-01-01T00:00:00Z")
    decision = decide(
        seen(status=STARTED, job=job, pods=pods), POLICY, NOW + timedelta(seconds=after_s)
    )
    told = decision.status.condition(ConditionType.POD_STARTED)
    assert (told.reason if told else None) == reason
    assert decision.requeue_s is not None
    if reason:
        said = announcements(STARTED, decision.status)
        assert [(event.type, event.reason) for event in said] == [("Warning", reason)]


def test_what_never_started_until_the_deadline_failed_for_that_reason() -> None:
    waiting = decide(seen(status=STARTED, job=JOB, pods=(PULLING,)), POLICY, NOW).status
    late = replace(BROKEN, reason="DeadlineExceeded")
    failure = decide(seen(status=waiting, job=late), POLICY, NOW).status.failure
    assert failure is not None
    assert failure.code is ErrorCode.IMAGE_PULL


def test_people_are_told_when_it_runs_after_all() -> None:
    waiting = decide(seen(status=STARTED, job=JOB, pods=(PULLING,)), POLICY, NOW).status
    running = decide(seen(status=waiting, job=JOB, pods=(AT_WORK,)), POLICY, NOW).status
    assert [event.reason for event in announcements(waiting, running)] == ["PodStarted"]
    assert running.phase == "Running"


def test_a_further_job_is_told_with_its_reason() -> None:
    action = CreateJob(2, "2048Mi", why="1Gi of memory were too little; it is started again.")
    after = record_job(STARTED, "j-2", "u", action, NOW)
    assert [(event.reason, event.message) for event in announcements(STARTED, after)] == [
        ("StartedAgain", action.why)
    ]
    assert (after.attempts, after.job_ref and after.job_ref.runs_before) == (2, 1)


def test_how_long_it_will_take_is_said() -> None:
    progress = Progress(
        resource="video-101", attempt=1, chunks=5, done_s=50, total_s=100, left_s=3725.4
    )
    status = decide(
        seen(status=STARTED, job=JOB, pods=(AT_WORK,), progress=progress), POLICY, NOW
    ).status
    assert status.progress is not None
    assert status.progress.eta_seconds == 3725
    assert status.message == "The chunker is at work: 5 chunks are out, about 1 h 2 min to go."


def test_why_a_run_failed_is_told_until_the_next_one_runs() -> None:
    job = replace(JOB, runs=2)
    after = decide(seen(status=STARTED, job=job, pods=(NO_BROKER,)), POLICY, NOW).status
    told = "The last run failed: why. Another is about to start."
    assert after.message == told
    said = [(event.type, event.reason, event.message) for event in announcements(STARTED, after)]
    assert said == [("Warning", "RunFailed", told)]
    pods = (NO_BROKER, replace(SILENT, created_at="2026-01-01T00:00:01Z"))
    waiting = decide(seen(status=after, job=job, pods=pods), POLICY, NOW).status
    assert waiting.message == told
    assert list(announcements(after, waiting)) == []
    pods = (NO_BROKER, replace(AT_WORK, created_at="2026-01-01T00:00:01Z"))
    running = decide(seen(status=waiting, job=job, pods=pods), POLICY, NOW).status
    assert running.message == "The chunker is at work (run 2)."
    again = decide(seen(status=running, job=job, pods=(NO_BROKER,)), POLICY, NOW).status
    assert [event.reason for event in announcements(running, again)] == ["RunFailed"]


def test_a_run_that_failed_for_good_promises_no_other() -> None:
    after = decide(seen(status=STARTED, job=JOB, pods=(ILL,)), POLICY, NOW).status
    assert after.message == "The last run failed: why."
    assert list(announcements(STARTED, after)) == []


def test_a_run_that_left_no_word_failed_by_what_kubernetes_says() -> None:
    after = decide(seen(status=STARTED, job=JOB, pods=(KILLED,)), POLICY, NOW).status
    assert after.message == (
        "The last run failed: The chunker was killed, and not for its memory."
        " Another is about to start."
    )
