"""The resource's status: its model, its conditions, and what a change of it is worth saying."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from m0_contract.errors import ERRORS, ErrorCode, Stage, Verdict
from m0_contract.redact import redact
from m0_contract.resource import Phase
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

MAX_MESSAGE = 1024


class ConditionType(StrEnum):
    """What programs may wait for."""

    ACCEPTED = "Accepted"
    JOB_CREATED = "JobCreated"
    POD_STARTED = "PodStarted"
    CHUNKS_PUBLISHED = "ChunksPublished"
    BACKEND_REPORTED = "BackendReported"
    DEAD_LETTERED = "DeadLettered"
    SUCCEEDED = "Succeeded"


class Reason(StrEnum):
    """Why a condition is as it is; each has a sentence in `SENTENCES`."""

    REQUEST_VALID = "RequestValid"
    REQUEST_INVALID = "RequestInvalid"
    JOB_CREATED = "JobCreated"
    JOB_REFUSED = "JobRefused"
    JOB_REFUSED_FOR_NOW = "JobRefusedForNow"
    POD_RUNNING = "PodRunning"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    POD_NOT_STARTED = "PodNotStarted"
    ALL_CHUNKS_OUT = "AllChunksOut"
    STATUS_CONFIRMED = "StatusConfirmed"
    NO_BACKEND = "NoBackend"
    BACKEND_UNAVAILABLE = "BackendUnavailable"
    BACKEND_REJECTED = "BackendRejected"
    PUBLISHED = "Published"
    BROKER_UNAVAILABLE = "BrokerUnavailable"
    JOB_SUCCEEDED = "JobSucceeded"
    JOB_FAILED = "JobFailed"
    STOPPED = "Stopped"


SENTENCES: dict[Reason, str] = {
    Reason.REQUEST_VALID: "The request is valid.",
    Reason.REQUEST_INVALID: "The request can't be run.",
    Reason.JOB_CREATED: "The Job exists.",
    Reason.JOB_REFUSED: "The cluster refused the Job.",
    Reason.JOB_REFUSED_FOR_NOW: "The cluster does not take the Job now; it is tried again.",
    Reason.POD_RUNNING: "The chunker runs.",
    Reason.IMAGE_PULL_FAILED: "The chunker's image can't be pulled.",
    Reason.UNSCHEDULABLE: "No node takes the pod.",
    Reason.POD_NOT_STARTED: "The pod can't start.",
    Reason.ALL_CHUNKS_OUT: "Every chunk is stored, recorded and announced.",
    Reason.STATUS_CONFIRMED: "The backend has confirmed the status.",
    Reason.NO_BACKEND: "No backend is configured: nothing to report.",
    Reason.BACKEND_UNAVAILABLE: "The backend does not answer; it is tried again.",
    Reason.BACKEND_REJECTED: "The backend refused the status; it is not tried again.",
    Reason.PUBLISHED: "The request is in the dead-letter queue.",
    Reason.BROKER_UNAVAILABLE: "The broker does not take the dead letter; it is tried again.",
    Reason.JOB_SUCCEEDED: "The video is chunked.",
    Reason.JOB_FAILED: "The video could not be chunked.",
    Reason.STOPPED: "It was stopped on request.",
}


class _Camel(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Condition(_Camel):
    """A Kubernetes API condition."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: str
    observed_generation: int | None = None


class ProgressStatus(_Camel):
    """How far it is; seconds of the source, bytes of all chunks; `eta_seconds` of time."""

    chunks: int = 0
    done_seconds: float = 0.0
    total_seconds: float | None = None
    percent: str | None = None
    eta_seconds: int | None = None
    size_bytes: int = 0


class FailureStatus(_Camel):
    """Why it failed, in the same words as the dead letter."""

    code: ErrorCode
    stage: Stage
    message: str
    remedy: str = ""
    field: str | None = None
    chunk_id: int | None = None
    retryable: bool = False
    log_tail: str | None = None


class JobRef(_Camel):
    """The Job of the current attempt.

    Attributes:
        memory: its memory limit, where it is another than the deployment's.
        retries: how many Jobs before it ended in a way that counts.
        absences: how many Jobs before it ended because broker, backend or secrets were away.
        runs_before: pods that were started by the Jobs before it.
    """

    name: str
    uid: str = ""
    attempt: int = 1
    memory: str | None = None
    retries: int = 0
    absences: int = 0
    runs_before: int = 0


class Status(_Camel):
    """All that the operator has recorded as done or seen.

    Attributes:
        acknowledged: the message behind it is off the queue for good; perhaps noted late.
        attempts: how many times a pod was started for it, all Jobs together.
        reported: the last backend status that is settled: confirmed, or refused for good
            (then the condition BackendReported is False with reason BackendRejected).
    """

    observed_generation: int | None = None
    phase: Phase | None = None
    message: str | None = None
    conditions: tuple[Condition, ...] = ()
    acknowledged: bool | None = None
    attempts: int = 0
    progress: ProgressStatus | None = None
    failure: FailureStatus | None = None
    mode: str | None = None
    integrity: dict[str, Any] | None = None
    receipt: dict[str, Any] | None = None
    job_ref: JobRef | None = None
    node: str | None = None
    reported: str | None = None
    accepted_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the end is recorded; it never changes after that."""
        return self.phase in {"Succeeded", "Failed", "Stopped"}

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.phase in {"Failed", "Stopped"}

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of this type, if it is known yet."""
        return next((item for item in self.conditions if item.type == kind), None)

    def is_true(self, kind: ConditionType) -> bool:
        """Whether the condition is known and True."""
        found = self.condition(kind)
        return found is not None and found.status == "True"

    def with_condition(
        self,
        kind: ConditionType,
        status: Literal["True", "False"],
        reason: Reason,
        now: datetime,
        message: str = "",
    ) -> Self:
        """A copy that says so; the transition time moves only when the condition flips."""
        old = self.condition(kind)
        flipped = old is None or old.status != status
        new = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=cap(message or SENTENCES[reason]),
            last_transition_time=rfc3339(now)
            if old is None or flipped
            else old.last_transition_time,
            observed_generation=self.observed_generation,
        )
        kept = tuple(item for item in self.conditions if item.type != kind)
        order = list(ConditionType)
        conditions = tuple(sorted((*kept, new), key=lambda item: order.index(item.type)))
        return self.model_copy(update={"conditions": conditions})

    def to_json(self) -> dict[str, Any]:
        """As the API holds it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def build_failure(
    code: ErrorCode,
    message: str,
    *,
    stage: Stage | None = None,
    field: str | None = None,
    chunk_id: int | None = None,
    log_tail: str | None = None,
) -> FailureStatus:
    """A failure with the stage, verdict and remedy that the failure table gives for its code."""
    entry = ERRORS[code]
    return FailureStatus(
        code=code,
        stage=stage or entry.stage,
        message=cap(message),
        remedy=entry.remedy,
        field=field,
        chunk_id=chunk_id,
        retryable=entry.verdict is not Verdict.PERMANENT,
        log_tail=redact(log_tail) if log_tail else log_tail,
    )


def cap(text: str, limit: int = MAX_MESSAGE) -> str:
    """`text`, fit to be shown: without credentials, cut to `limit` characters."""
    shown = redact(text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def rfc3339(moment: datetime) -> str:
    """As Kubernetes writes times: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def build_merge_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch from `old` to `new`: null where a key goes, lists whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            patch[key] = build_merge_patch(before, value)
        else:
            patch[key] = value
    return patch


RUN_FAILED = "The last run failed"
"""How a message begins that says why a pod ended, until the next one runs."""

RUN_AGAIN = "Another is about to start."


class Announcement(BaseModel):
    """A Kubernetes Event worth a person's time."""

    model_config = ConfigDict(frozen=True)

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


_ANNOUNCED: tuple[tuple[ConditionType, str, Literal["Normal", "Warning"], str | None], ...] = (
    (ConditionType.JOB_CREATED, "False", "Warning", None),
    (ConditionType.POD_STARTED, "False", "Warning", None),
    (ConditionType.CHUNKS_PUBLISHED, "True", "Normal", "ChunksPublished"),
    (ConditionType.SUCCEEDED, "False", "Warning", None),
    (ConditionType.BACKEND_REPORTED, "False", "Warning", None),
    (ConditionType.DEAD_LETTERED, "True", "Normal", "DeadLettered"),
    (ConditionType.DEAD_LETTERED, "False", "Warning", None),
)


def announcements(old: Status, new: Status) -> Iterable[Announcement]:
    """The events for a change of status: one for each condition that flipped and matters."""
    if new.job_ref and old.job_ref and new.job_ref.attempt > old.job_ref.attempt:
        yield Announcement(type="Warning", reason="StartedAgain", message=new.message or "")
    said = new.message or ""
    if said.startswith(RUN_FAILED) and said.endswith(RUN_AGAIN) and said != old.message:
        yield Announcement(type="Warning", reason="RunFailed", message=said)
    for kind, wanted, event_type, reason in _ANNOUNCED:
        now, before = new.condition(kind), old.condition(kind)
        if now is None or now.status != wanted or _known(before, now):
            continue
        yield Announcement(type=event_type, reason=reason or now.reason, message=now.message)
    started, waited = (
        new.condition(ConditionType.POD_STARTED),
        old.condition(ConditionType.POD_STARTED),
    )
    if waited and started and (waited.status, started.status) == ("False", "True"):
        yield Announcement(type="Normal", reason="PodStarted", message=started.message)


def _known(before: Condition | None, now: Condition) -> bool:
    """Whether people have been told: for a trouble, of this very kind."""
    if before is None or before.status != now.status:
        return False
    return now.status == "True" or now.reason == before.reason
