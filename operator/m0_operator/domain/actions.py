"""What can be done about a resource, as data: each prints itself and performs nothing."""

from dataclasses import dataclass, field
from typing import Literal

from m0_contract.errors import ErrorCode

from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.status import FailureStatus, Status

BackendStatus = Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment decides.

    Attributes:
        backend: whether there is one to report to.
        finished_ttl_s: seconds that a finished resource is kept; None for ever.
        trace_ratio: of requests that bring no trace, which part is traced; None: M0 records no
            spans.
        handed_over: the backend status that means "all chunks are out".
    """

    template: JobTemplate
    backend: bool = True
    handed_over: Literal["PROCESSING", "COMPLETED"] = "PROCESSING"
    finished_ttl_s: float | None = None
    trace_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the resource until its effects are out."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let a deleted resource go."""


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Start attempt number `attempt`.

    Attributes:
        memory: its limit, where it is to be another than the template's.
        retries: how many Jobs before it ended in a way that counts.
        absences: how many Jobs before it ended because broker, backend or secrets were away.
        why: a sentence for people, for an attempt after the first.
        cause: the same as a code.
    """

    attempt: int
    memory: str | None = None
    retries: int = 0
    absences: int = 0
    why: str = ""
    cause: ErrorCode | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Stop the Job.

    Attributes:
        wait: keep it until its pod is gone; else it goes at once, and the pod when it can.
    """

    name: str
    uid: str
    wait: bool = True


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """Take the Job's pod away, or let it have one again."""

    name: str
    suspend: bool


@dataclass(frozen=True, slots=True)
class ReportBackend:
    """Tell the backend; `error` goes with FAILED."""

    status: BackendStatus
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PublishDeadLetter:
    """Send the original request to the dead-letter queue."""

    failure: FailureStatus


@dataclass(frozen=True, slots=True)
class ExpireJob:
    """Its end is recorded: let the cluster collect it after a while."""

    name: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class DeleteResource:
    """It is finished, has been told to all, and was kept for long enough."""


Action = (
    AddFinalizer
    | RemoveFinalizer
    | CreateJob
    | DeleteJob
    | SuspendJob
    | ReportBackend
    | PublishDeadLetter
    | ExpireJob
    | DeleteResource
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and what to say.

    Attributes:
        status: what the resource's status should say before the actions.
        actions: in order.
        record_first: write the status before the actions: an end must be on record
            before anything is told to others about it.
        requeue_s: look again after so many seconds; None when only events matter.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    record_first: bool = False
    requeue_s: float | None = None
