"""What was observed of one resource, parsed once from the API's JSON."""

from dataclasses import dataclass
from typing import Any, Literal

from m0_contract.chunk import Progress
from m0_contract.errors import ErrorCode
from m0_contract.resource import FINALIZER, Rejection, VideoChunkJobSpec
from pydantic import ValidationError

from m0_operator.domain.status import Status

CONTAINER = "chunker"


@dataclass(frozen=True, slots=True)
class Resource:
    """A VideoChunkJob."""

    name: str
    namespace: str
    uid: str
    version: str
    generation: int
    deleting: bool
    finalizers: tuple[str, ...]
    created_at: str
    spec: VideoChunkJobSpec
    status: Status

    @property
    def held(self) -> bool:
        """Whether our finalizer is on it."""
        return FINALIZER in self.finalizers


@dataclass(frozen=True, slots=True)
class JobView:
    """What matters of a Job.

    Attributes:
        end: `Complete` or `Failed`, once the Job controller says so.
        reason: the end's reason, such as `DeadlineExceeded`.
        runs: pods that were started for it so far.
        ttl_set: whether it will be collected.
    """

    name: str
    uid: str
    end: Literal["Complete", "Failed"] | None = None
    reason: str = ""
    message: str = ""
    deleting: bool = False
    suspended: bool = False
    runs: int = 0
    ttl_set: bool = False
    created_at: str = ""
    finished_at: str | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    """What matters of a pod of the Job.

    Attributes:
        ended: whether the chunker's container has terminated.
        ended_reason: the container's reason, such as `OOMKilled`.
        ended_message: the termination message: an outcome, or the log's tail.
        waiting: why the container can't start, in words; empty when it can.
        waiting_code: the same in the words of the failure table.
        deleting_since: when it was to be gone at the latest, RFC 3339; None: nobody deleted it.
    """

    name: str
    created_at: str
    node: str | None = None
    running: bool = False
    started_at: str | None = None
    ended: bool = False
    exit_code: int | None = None
    ended_reason: str = ""
    ended_message: str = ""
    pod_reason: str = ""
    pod_message: str = ""
    waiting: str = ""
    waiting_code: ErrorCode = ErrorCode.POD_NOT_STARTED
    deleting_since: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision may depend on.

    Attributes:
        job: the Job of the current attempt; None only when the API said 404.
        progress: the latest word of the current attempt.
        acknowledged: its message is known to be off the queue.
        backend_due: false while a failed report waits for its next try.
        deadletter_due: likewise for the dead letter.
    """

    resource: Resource
    job: JobView | None = None
    pods: tuple[PodView, ...] = ()
    progress: Progress | None = None
    acknowledged: bool = False
    backend_due: bool = True
    deadletter_due: bool = True


def parse_resource(raw: dict[str, Any]) -> Resource:
    """Read a VideoChunkJob."""
    meta = raw["metadata"]
    return Resource(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        uid=meta["uid"],
        version=meta.get("resourceVersion", ""),
        generation=meta.get("generation", 1),
        deleting="deletionTimestamp" in meta,
        finalizers=tuple(meta.get("finalizers") or ()),
        created_at=meta.get("creationTimestamp", ""),
        spec=_parse_spec(raw["spec"]),
        status=Status.model_validate(raw.get("status") or {}),
    )


def _parse_spec(raw: dict[str, Any]) -> VideoChunkJobSpec:
    """The spec; what a person applied and nobody can read becomes one that says so."""
    try:
        spec = VideoChunkJobSpec.model_validate(raw)
        if spec.origin is not None:
            _ = spec.origin.body_bytes
    except ValueError as error:
        reason = (
            "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            if isinstance(error, ValidationError)
            else f"origin.body: {error}"
        )
        return VideoChunkJobSpec(
            process_id=raw["processId"],
            inference_modality=raw.get("inferenceModality", "batch"),
            rejection=Rejection(code=ErrorCode.INVALID_REQUEST, message=f"spec: {reason}"),
        )
    return spec


def parse_job(raw: dict[str, Any]) -> JobView:
    """Read a batch/v1 Job; its end comes from its conditions, never from counters."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    ends = [
        item
        for item in status.get("conditions") or ()
        if item["type"] in {"Complete", "Failed"} and item["status"] == "True"
    ]
    end = ends[0] if ends else {}
    return JobView(
        name=meta["name"],
        uid=meta["uid"],
        end=end.get("type"),
        reason=end.get("reason", ""),
        message=end.get("message", ""),
        deleting="deletionTimestamp" in meta,
        suspended=bool(spec.get("suspend")),
        runs=sum(status.get(key) or 0 for key in ("active", "failed", "succeeded")),
        ttl_set=spec.get("ttlSecondsAfterFinished") is not None,
        created_at=meta.get("creationTimestamp", ""),
        finished_at=status.get("completionTime") or end.get("lastTransitionTime"),
    )


def parse_pod(raw: dict[str, Any]) -> PodView:
    """Read a pod of the Job."""
    meta, status = raw["metadata"], raw.get("status") or {}
    statuses = status.get("containerStatuses") or ()
    state = next((item.get("state") or {} for item in statuses if item["name"] == CONTAINER), {})
    ended = state.get("terminated") or {}
    running = state.get("running") or {}
    code, waiting = _waiting(raw, state)
    return PodView(
        name=meta["name"],
        created_at=meta.get("creationTimestamp", ""),
        node=(raw.get("spec") or {}).get("nodeName"),
        running=bool(running),
        started_at=running.get("startedAt") or ended.get("startedAt"),
        ended=bool(ended),
        exit_code=ended.get("exitCode"),
        ended_reason=ended.get("reason", ""),
        ended_message=ended.get("message", ""),
        pod_reason=status.get("reason", ""),
        pod_message=status.get("message", ""),
        waiting=waiting,
        waiting_code=code,
        deleting_since=meta.get("deletionTimestamp"),
    )


_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})


def _waiting(raw: dict[str, Any], state: dict[str, Any]) -> tuple[ErrorCode, str]:
    status = raw.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return (
                ErrorCode.UNSCHEDULABLE,
                f"no node takes the pod: {condition.get('message', '')}",
            )
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        # The kubelet alternates between two reasons with a growing delay: one steady sentence.
        containers = (raw.get("spec") or {}).get("containers") or ()
        image = next((c.get("image", "") for c in containers if c["name"] == CONTAINER), "")
        return ErrorCode.IMAGE_PULL, f"the image {image} can't be pulled"
    said = "" if reason in _STARTING else f"{reason}: {waiting.get('message', '')}"
    return ErrorCode.POD_NOT_STARTED, said
