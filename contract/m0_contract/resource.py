"""The custom resource VideoChunkJob, as the Kubernetes API holds it (camelCase).

`crds/videochunkjobs.yaml` is the schema that the cluster enforces; these models
are how the programs read and write it.
"""

import base64
import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from m0_contract.errors import ErrorCode
from m0_contract.request import Modality, VideoRequest, parse_request, validate_request
from m0_contract.trace import HEADER, read_traceparent

GROUP = "m0.sightapi.io"
VERSION = "v1"
PLURAL = "videochunkjobs"
KIND = "VideoChunkJob"
FINALIZER = f"{GROUP}/reported"
"""Holds a deleted resource until its outcome is with the backend and, on failure, dead-lettered."""

REQUEST_ANNOTATION = f"{GROUP}/request"
"""On the Job's pod: the request as JSON, mounted into the chunker through the downward API."""

LABEL_RESOURCE = f"{GROUP}/videochunkjob"
LABEL_ATTEMPT = f"{GROUP}/attempt"

Phase = Literal["Queued", "Running", "Succeeded", "Failed", "Stopped"]


class _Camel(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Origin(_Camel):
    """The message behind a resource: enough to dead-letter it unchanged.

    Attributes:
        body: the message's exact bytes, base64.
        headers: its AMQP headers, as far as JSON can hold them.
        priority: its priority, 0-9.
        received_at: RFC 3339, when the operator first took it.
        lineage: ids of the dead letters that it is a replay of, oldest first.
    """

    body: str
    headers: dict[str, Any] = Field(default_factory=dict)
    priority: int = 0
    received_at: str = ""
    lineage: tuple[str, ...] = ()

    @property
    def body_bytes(self) -> bytes:
        """The original message body."""
        return base64.b64decode(self.body)

    @property
    def traceparent(self) -> str | None:
        """The trace that the message belongs to, if it says so."""
        return read_traceparent(self.headers.get(HEADER))

    @property
    def body_sha256(self) -> str:
        """Identifies the content: the same process_id with another hash is a conflict."""
        return hashlib.sha256(self.body_bytes).hexdigest()


class Rejection(_Camel):
    """Why the request in `origin` can't be run: such a resource only fails, visibly."""

    code: ErrorCode
    message: str
    field: str | None = None


class VideoChunkJobSpec(_Camel):
    """What is asked for. All but `suspend`, `stop` and `retryToken` is immutable.

    Attributes:
        extra: the request's unknown fields.
        origin: absent for a resource that a person applied.
        rejection: present instead of a usable request.
    """

    process_id: int | str
    inference_modality: Modality = "batch"
    cloud_stream_path: str | None = None
    cloud_stream_version_id: str | None = None
    destination_prefix: str | None = None
    cache_container_name: str | None = None
    video_preprocessing: dict[str, Any] | None = None
    inference_config: dict[str, Any] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)
    origin: Origin | None = None
    rejection: Rejection | None = None
    suspend: bool = False
    stop: bool = False
    retry_token: str | None = None

    def to_request(self) -> VideoRequest:
        """The request to run.

        The original bytes win where there are any: the Kubernetes API reorders
        keys and rounds large numbers, and `inference_config` is to go through untouched.

        Raises:
            RequestError: the resource holds no valid request.
        """
        if self.origin is not None:
            return parse_request(self.origin.body_bytes)
        preprocessing = self.video_preprocessing or {}
        document = {
            **self.extra,
            "process_id": self.process_id,
            "inference_modality": self.inference_modality,
            "cloud_stream_path": self.cloud_stream_path,
            "cloud_stream_version_id": self.cloud_stream_version_id,
            "destination_prefix": self.destination_prefix,
            "cache_container_name": self.cache_container_name,
            "video_preprocessing": {_snake(key): value for key, value in preprocessing.items()},
            "inference_config": self.inference_config,
        }
        return validate_request({k: v for k, v in document.items() if v is not None})


def _snake(name: str) -> str:
    return {"chunkDuration": "chunk_duration"}.get(name, name)


def build_spec(request: VideoRequest, origin: Origin | None) -> dict[str, Any]:
    """The `spec` of a new resource for `request`, as plain JSON."""
    preprocessing = request.video_preprocessing.model_dump(exclude_none=True, exclude_unset=True)
    preprocessing["chunkDuration"] = preprocessing.pop("chunk_duration")
    spec: dict[str, Any] = {
        "processId": request.process_id,
        "inferenceModality": request.inference_modality,
        "cloudStreamPath": request.cloud_stream_path,
        "destinationPrefix": request.destination_prefix,
        "cacheContainerName": request.cache_container_name,
        "videoPreprocessing": preprocessing,
        "inferenceConfig": request.inference_config,
    }
    if request.cloud_stream_version_id:
        spec["cloudStreamVersionId"] = request.cloud_stream_version_id
    if request.model_extra:
        spec["extra"] = dict(request.model_extra)
    if origin is not None:
        spec["origin"] = origin.model_dump(by_alias=True)
    return spec
