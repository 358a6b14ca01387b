"""Why a request can fail: one table from cause to stage, verdict and remedy.

The same code appears in the resource, its events, the dead letter and the
backend, so that a person can follow one word through all of them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where in the line a request failed (`x-m0-stage`)."""

    INTAKE = "intake"
    SOURCE = "source"
    PROBE = "probe"
    CHUNK = "chunk"
    UPLOAD = "upload"
    DATABASE = "database"
    PUBLISH = "publish"
    JOB = "job"


class Verdict(StrEnum):
    """Whether running the same request again can help."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    DISRUPTED = "disrupted"


class ErrorCode(StrEnum):
    """What went wrong (`x-m0-error-code`); each has a row in `ERRORS`."""

    INVALID_JSON = "INVALID_JSON"
    INVALID_REQUEST = "INVALID_REQUEST"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    CONFLICT = "CONFLICT"
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SOURCE_FORBIDDEN = "SOURCE_FORBIDDEN"
    SOURCE_UNREACHABLE = "SOURCE_UNREACHABLE"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    NOT_MEDIA = "NOT_MEDIA"
    UNSUPPORTED_MEDIA = "UNSUPPORTED_MEDIA"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    SOURCE_CORRUPT = "SOURCE_CORRUPT"
    CHUNK_FAILED = "CHUNK_FAILED"
    INTEGRITY = "INTEGRITY"
    DISK_FULL = "DISK_FULL"
    DESTINATION_NOT_FOUND = "DESTINATION_NOT_FOUND"
    DESTINATION_FORBIDDEN = "DESTINATION_FORBIDDEN"
    UPLOAD_FAILED = "UPLOAD_FAILED"
    DATABASE_REJECTED = "DATABASE_REJECTED"
    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    PUBLISH_UNROUTABLE = "PUBLISH_UNROUTABLE"
    BROKER_UNREACHABLE = "BROKER_UNREACHABLE"
    BAD_CONFIGURATION = "BAD_CONFIGURATION"
    SECRETS_UNREACHABLE = "SECRETS_UNREACHABLE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    IMAGE_PULL = "IMAGE_PULL"
    UNSCHEDULABLE = "UNSCHEDULABLE"
    POD_NOT_STARTED = "POD_NOT_STARTED"
    NODE_LOST = "NODE_LOST"
    KILLED = "KILLED"
    JOB_REFUSED = "JOB_REFUSED"
    JOB_LOST = "JOB_LOST"
    STOPPED = "STOPPED"
    DISRUPTED = "DISRUPTED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """A row of the failure table.

    Attributes:
        stage: where it usually happens; the place that raises may say better.
        verdict: whether a retry can help.
        remedy: what a person should do, in one sentence.
    """

    stage: Stage
    verdict: Verdict
    remedy: str


_P, _T = Verdict.PERMANENT, Verdict.TRANSIENT

ERRORS: dict[ErrorCode, ErrorEntry] = {
    ErrorCode.INVALID_JSON: ErrorEntry(Stage.INTAKE, _P, "Send one JSON object, encoded in UTF-8."),
    ErrorCode.INVALID_REQUEST: ErrorEntry(
        Stage.INTAKE, _P, "Correct the named field and send the request again."
    ),
    ErrorCode.REQUEST_TOO_LARGE: ErrorEntry(
        Stage.INTAKE,
        _P,
        "Keep the request small; put large settings where they can be referred to.",
    ),
    ErrorCode.CONFLICT: ErrorEntry(
        Stage.INTAKE,
        _P,
        "This process_id is already used for another request: choose a new one.",
    ),
    ErrorCode.SOURCE_NOT_FOUND: ErrorEntry(
        Stage.SOURCE, _P, "Check cloud_stream_path: no object is there."
    ),
    ErrorCode.SOURCE_FORBIDDEN: ErrorEntry(
        Stage.SOURCE, _P, "Give the chunker's credentials the right to read the source."
    ),
    ErrorCode.SOURCE_UNREACHABLE: ErrorEntry(
        Stage.SOURCE, _T, "Check that the source's store is up and reachable from the cluster."
    ),
    ErrorCode.SOURCE_CHANGED: ErrorEntry(
        Stage.SOURCE, _P, "The object was replaced while it was read: send the request again."
    ),
    ErrorCode.NOT_MEDIA: ErrorEntry(
        Stage.PROBE, _P, "The source is not a film that can be read: check the file."
    ),
    ErrorCode.UNSUPPORTED_MEDIA: ErrorEntry(
        Stage.PROBE, _P, "Convert the source to a codec and container that M0 supports."
    ),
    ErrorCode.LIMIT_EXCEEDED: ErrorEntry(
        Stage.PROBE, _P, "The film exceeds a limit of this deployment: cut it or raise the limit."
    ),
    ErrorCode.SOURCE_CORRUPT: ErrorEntry(
        Stage.CHUNK, _P, "The film is damaged or incomplete: upload a whole one."
    ),
    ErrorCode.CHUNK_FAILED: ErrorEntry(
        Stage.CHUNK, _P, "The film could not be cut: see the message and the log's tail."
    ),
    ErrorCode.INTEGRITY: ErrorEntry(
        Stage.CHUNK, _P, "What was written does not add up to the source: report this as a bug."
    ),
    ErrorCode.DISK_FULL: ErrorEntry(Stage.CHUNK, _T, "Raise the chunker's scratch size."),
    ErrorCode.DESTINATION_NOT_FOUND: ErrorEntry(
        Stage.UPLOAD, _P, "Create the destination bucket or correct its name."
    ),
    ErrorCode.DESTINATION_FORBIDDEN: ErrorEntry(
        Stage.UPLOAD, _P, "Give the chunker's credentials the right to write the destination."
    ),
    ErrorCode.UPLOAD_FAILED: ErrorEntry(
        Stage.UPLOAD, _T, "Check that the destination's store is up and has room."
    ),
    ErrorCode.DATABASE_REJECTED: ErrorEntry(
        Stage.DATABASE, _P, "The backend refused the row: compare its schema with the documents."
    ),
    ErrorCode.DATABASE_UNREACHABLE: ErrorEntry(
        Stage.DATABASE, _T, "Check that the GraphQL backend is up and reachable from the cluster."
    ),
    ErrorCode.PUBLISH_UNROUTABLE: ErrorEntry(
        Stage.PUBLISH, _P, "Create the results queue or correct its name."
    ),
    ErrorCode.BROKER_UNREACHABLE: ErrorEntry(
        Stage.PUBLISH, _T, "Check that RabbitMQ is up and that the credentials are right."
    ),
    ErrorCode.BAD_CONFIGURATION: ErrorEntry(
        Stage.JOB, _P, "Correct the named setting of the deployment."
    ),
    ErrorCode.SECRETS_UNREACHABLE: ErrorEntry(
        Stage.JOB, _T, "Check that the service that secrets.source names can be reached."
    ),
    ErrorCode.OUT_OF_MEMORY: ErrorEntry(
        Stage.JOB, _T, "Raise chunker.memoryCap: each run had more memory, the last one all of it."
    ),
    ErrorCode.DEADLINE_EXCEEDED: ErrorEntry(
        Stage.JOB, _P, "Raise the Job's deadline or ask for less work."
    ),
    ErrorCode.IMAGE_PULL: ErrorEntry(
        Stage.JOB, _T, "Check chunker.image, imagePullSecrets and that the registry is reachable."
    ),
    ErrorCode.UNSCHEDULABLE: ErrorEntry(
        Stage.JOB, _T, "Add a node that fits, or ask for less: chunker.resources, nodeSelector."
    ),
    ErrorCode.POD_NOT_STARTED: ErrorEntry(
        Stage.JOB,
        _T,
        "See the message: a volume, Secret or setting of the pod is missing or wrong.",
    ),
    ErrorCode.NODE_LOST: ErrorEntry(
        Stage.JOB, Verdict.DISRUPTED, "The node fell silent: it is tried again on another."
    ),
    ErrorCode.KILLED: ErrorEntry(
        Stage.JOB, _T, "Something outside of M0 killed the chunker: look at its node."
    ),
    ErrorCode.JOB_REFUSED: ErrorEntry(
        Stage.JOB, _P, "The cluster refused the Job: see the message, correct the chart's values."
    ),
    ErrorCode.JOB_LOST: ErrorEntry(
        Stage.JOB, _T, "The Job or its pod vanished: look at the node and at who deleted it."
    ),
    ErrorCode.STOPPED: ErrorEntry(Stage.JOB, _P, "It was stopped on request: send it again."),
    ErrorCode.DISRUPTED: ErrorEntry(
        Stage.JOB, Verdict.DISRUPTED, "The pod was evicted or shut down: it is tried again."
    ),
    ErrorCode.INTERNAL: ErrorEntry(Stage.JOB, _T, "A bug in M0: report it with the log's tail."),
}
