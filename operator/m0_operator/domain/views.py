"""What people see of a video: from a raw resource to the words of the REST door and the terminal.

Pure. It reads whatever the cluster's schema lets in, also what a later version or a person wrote:
a word that it doesn't know is shown as it is, one that is missing is null, and nothing here fails.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from m0_contract.keys import is_live_url
from pydantic import BaseModel, ConfigDict, Field

PREPROCESSING = {"chunkDuration": "chunk_duration"}


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProgressView(_View):
    """How far it is."""

    chunks: int = Field(0, description="Chunks that are stored, recorded and announced.")
    done_seconds: float = Field(0.0, description="Seconds of the film that they cover.")
    total_seconds: float | None = Field(None, description="The film's length; null while unknown.")
    percent: str | None = Field(None, description="`done_seconds` as a share, such as `60%`.")
    eta_seconds: int | None = Field(None, description="Seconds until it is done, as it goes now.")
    size_bytes: int = Field(0, description="Size of the chunks together.")


class FailureView(_View):
    """Why it failed, and what to do."""

    code: str = Field("", description="One word, as in docs/failures.md.")
    stage: str = Field("", description="Where in the line it failed.")
    message: str = Field("", description="What happened.")
    remedy: str = Field("", description="What to do about it, in one sentence.")
    field: str | None = Field(None, description="The request's bad fields, comma-separated.")
    chunk_id: int | None = Field(None, description="The chunk at which it failed.")
    retryable: bool = Field(
        default=False, description="Whether the same request may succeed later."
    )
    log_tail: str | None = Field(None, description="The last lines that the chunker wrote.")


class ConditionView(_View):
    """One thing that is true of it, or not."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class VideoSummary(_View):
    """A video in a list."""

    process_id: int | str
    name: str = Field(description="Its VideoChunkJob, for kubectl.")
    inference_modality: str
    phase: str = Field(description="`Queued`, `Running`, `Succeeded`, `Failed` or `Stopped`.")
    message: str | None = Field(None, description="Where it stands, in one sentence.")
    progress: ProgressView
    failure_code: str | None = None
    priority: int | None = Field(None, description="Its message's; null when it came by hand.")
    attempts: int = Field(0, description="How many times a pod was started for it.")
    suspended: bool = False
    stopping: bool = Field(
        default=False, description="It is being stopped; until then it isn't final."
    )
    final: bool = Field(
        description="It has ended and everybody was told: nothing changes any more."
    )
    cloud_stream_path: str | None = Field(None, description="The film, without credentials.")
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    resource_version: str = Field(description="Changes with every change; opaque.")


class VideoView(VideoSummary):
    """All that there is to know of a video."""

    failure: FailureView | None = None
    conditions: list[ConditionView] = Field(default_factory=list)
    destination_prefix: str | None = None
    cache_container_name: str | None = None
    video_preprocessing: dict[str, Any] | None = None
    mode: str | None = Field(None, description="`copy` or `transcode`.")
    certificate: dict[str, Any] | None = Field(
        None, description="What went in and what came out, counted on what was really written."
    )
    receipt: dict[str, Any] | None = Field(None, description="What it took.")
    lineage: list[str] = Field(
        default_factory=list, description="Dead letters that this is a replay of, oldest first."
    )
    reported: str | None = Field(None, description="The status that the backend has confirmed.")
    job: str | None = Field(None, description="The latest Job.")
    node: str | None = None
    accepted_at: str | None = None
    uid: str


def build_summary(raw: Mapping[str, Any]) -> VideoSummary:
    """A resource as a line of a list."""
    return VideoSummary(**_shared(raw))


def build_view(raw: Mapping[str, Any]) -> VideoView:
    """A resource in full."""
    spec, status = _dict(raw.get("spec")), _dict(raw.get("status"))
    failure = status.get("failure")
    preprocessing = spec.get("videoPreprocessing")
    return VideoView(
        **_shared(raw),
        failure=_build_failure(failure) if isinstance(failure, dict) and failure else None,
        conditions=[_build_condition(item) for item in status.get("conditions") or ()],
        destination_prefix=spec.get("destinationPrefix"),
        cache_container_name=spec.get("cacheContainerName"),
        video_preprocessing={PREPROCESSING.get(str(k), str(k)): v for k, v in preprocessing.items()}
        if isinstance(preprocessing, dict)
        else None,
        mode=status.get("mode"),
        certificate=status.get("integrity"),
        receipt=status.get("receipt"),
        lineage=[str(item) for item in _dict(spec.get("origin")).get("lineage") or ()],
        reported=status.get("reported"),
        job=_dict(status.get("jobRef")).get("name"),
        node=status.get("node"),
        accepted_at=status.get("acceptedAt"),
        uid=raw["metadata"]["uid"],
    )


def changed(before: VideoView | None, now: VideoView) -> bool:
    """Whether there is anything to tell: a version alone is nothing."""
    same = {"resource_version": ""}
    return before is None or before.model_copy(update=same) != now.model_copy(update=same)


def is_final(raw: Mapping[str, Any]) -> bool:
    """Whether it has ended and all have been told: backend, and on failure the dead letters."""
    status = _dict(raw.get("status"))
    if status.get("phase") == "Succeeded":
        return status.get("reported") in {"PROCESSING", "COMPLETED"}
    lettered = any(
        item.get("type") == "DeadLettered" and item.get("status") == "True"
        for item in status.get("conditions") or ()
    )
    return is_finished(raw) and lettered and status.get("reported") == "FAILED"


def is_finished(raw: Mapping[str, Any]) -> bool:
    """Whether its end is recorded."""
    return _dict(raw.get("status")).get("phase") in {"Succeeded", "Failed", "Stopped"}


def stop_state(raw: Mapping[str, Any]) -> Literal["running", "stopping", "stopped", "ended"]:
    """What a wish to stop it meets: `ended` is an end of another kind."""
    spec, status = _dict(raw.get("spec")), _dict(raw.get("status"))
    failure = _dict(status.get("failure")).get("code")
    if status.get("phase") == "Stopped" or (is_finished(raw) and failure == "STOPPED"):
        return "stopped"
    if is_finished(raw):
        return "ended"
    return "stopping" if spec.get("stop") or "deletionTimestamp" in raw["metadata"] else "running"


def _shared(raw: Mapping[str, Any]) -> dict[str, Any]:
    meta, spec, status = raw["metadata"], _dict(raw.get("spec")), _dict(raw.get("status"))
    origin = spec.get("origin")
    path = spec.get("cloudStreamPath")
    return {
        "process_id": spec.get("processId", ""),
        "name": meta["name"],
        "inference_modality": spec.get("inferenceModality") or "batch",
        "phase": status.get("phase") or "Queued",
        "message": status.get("message"),
        "progress": _build_progress(_dict(status.get("progress"))),
        "failure_code": _dict(status.get("failure")).get("code"),
        "priority": origin.get("priority", 0) if isinstance(origin, dict) else None,
        "attempts": status.get("attempts") or 0,
        "suspended": bool(spec.get("suspend")),
        "stopping": stop_state(raw) == "stopping",
        "final": is_final(raw),
        "cloud_stream_path": hide_credentials(path) if isinstance(path, str) else None,
        "created_at": meta.get("creationTimestamp"),
        "started_at": status.get("startedAt"),
        "finished_at": status.get("finishedAt"),
        "resource_version": meta.get("resourceVersion", ""),
    }


def _build_progress(raw: dict[str, Any]) -> ProgressView:
    return ProgressView(
        chunks=raw.get("chunks") or 0,
        done_seconds=raw.get("doneSeconds") or 0.0,
        total_seconds=raw.get("totalSeconds"),
        percent=raw.get("percent"),
        eta_seconds=raw.get("etaSeconds"),
        size_bytes=raw.get("sizeBytes") or 0,
    )


def _build_failure(raw: dict[str, Any]) -> FailureView:
    return FailureView(
        code=raw.get("code") or "",
        stage=raw.get("stage") or "",
        message=raw.get("message") or "",
        remedy=raw.get("remedy") or "",
        field=raw.get("field"),
        chunk_id=raw.get("chunkId"),
        retryable=bool(raw.get("retryable")),
        log_tail=raw.get("logTail"),
    )


def _build_condition(raw: dict[str, Any]) -> ConditionView:
    return ConditionView(
        type=raw.get("type", ""),
        status=raw.get("status", ""),
        reason=raw.get("reason") or "",
        message=raw.get("message") or "",
        last_transition_time=raw.get("lastTransitionTime"),
    )


def hide_credentials(url: str) -> str:
    """A live source's URL without user, password and query, which may be secret."""
    if not is_live_url(url):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def parse_time(text: str | None) -> datetime | None:
    """RFC 3339, or None when it is no time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
