"""A request for one video, as it arrives on the queue, over REST or in a file."""

import json
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from m0_contract.errors import ErrorCode
from m0_contract.keys import destination_url, is_live_url, parse_object_url
from m0_contract.strict_json import measure_depth, read_json

MAX_BODY_BYTES = 240 * 1024
"""A longer body is refused. The request travels to its pod as an annotation, and
Kubernetes allows 256 KiB for all annotations of an object together."""

MAX_PROCESS_ID = 2**63 - 1
MAX_DEPTH = 64

Modality = Literal["batch", "live"]


_PLAIN_TEXTS = {
    "missing": "is missing",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be a string",
}
"""pydantic's error types whose own words speak of Python."""


class RequestError(Exception):
    """A body that is not a valid request.

    Attributes:
        code: INVALID_JSON, INVALID_REQUEST or REQUEST_TOO_LARGE.
        fields: (dotted name, what is wrong with it) for each bad field, in order.
        process_id: the request's id where one could be read all the same.
        inference_modality: likewise, `batch` where it could not be read.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        fields: tuple[tuple[str, str], ...] = (),
        process_id: int | str | None = None,
        inference_modality: Modality = "batch",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields
        self.process_id = process_id
        self.inference_modality: Modality = inference_modality

    @property
    def field(self) -> str | None:
        """The bad fields' names, comma-separated (`x-m0-error-field`)."""
        return ", ".join(name for name, _ in self.fields) or None


class VideoPreprocessing(BaseModel):
    """How the film is to be cut.

    Attributes:
        chunk_duration: seconds, above 0, at most a day.
        fps: frames per second wanted; None keeps the source's.
        width: pixels wanted; None keeps the source's (or its aspect, when height is given).
        height: pixels wanted, likewise.
        precision: `keyframe` cuts a copied film at the first key frame at or after each
            multiple of chunk_duration; `exact` at the very picture, encoding only around it.
        overlap: seconds that a chunk goes on after the next one's start; below chunk_duration.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    chunk_duration: float = Field(gt=0, le=86_400)
    fps: float | None = Field(default=None, gt=0, le=1000)
    width: int | None = Field(default=None, gt=0, le=16_384)
    height: int | None = Field(default=None, gt=0, le=16_384)
    precision: Literal["keyframe", "exact"] = "keyframe"
    overlap: float = Field(default=0.0, ge=0, le=86_400)

    @field_validator("chunk_duration", "fps", "width", "height", "overlap", mode="before")
    @classmethod
    def _no_booleans_or_strings(cls, value: object) -> object:
        if isinstance(value, bool | str):
            raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants ValueError
        return value

    @field_validator("overlap")
    @classmethod
    def _less_than_a_chunk(cls, value: float, info: ValidationInfo) -> float:
        duration = info.data.get("chunk_duration")
        if duration is not None and value >= duration:
            raise ValueError(f"must be less than chunk_duration ({duration:g})")
        return value


class VideoRequest(BaseModel):
    """One video to be chunked. Unknown fields are kept in `model_extra`.

    `cloud_stream_version_id` names a version of the source in a store that keeps versions;
    without it the current one is taken.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    process_id: int | str
    inference_modality: Modality
    cloud_stream_path: str = Field(min_length=1, max_length=4096)
    destination_prefix: str = Field(min_length=1, max_length=1024)
    cache_container_name: str = Field(min_length=1, max_length=1024)
    video_preprocessing: VideoPreprocessing
    inference_config: dict[str, Any] = Field(default_factory=dict)
    cloud_stream_version_id: str | None = Field(default=None, min_length=1, max_length=1024)

    @field_validator("process_id", mode="before")
    @classmethod
    def _process_id(cls, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("must be an integer or a string")  # noqa: TRY004
        if isinstance(value, int) and not 0 <= value <= MAX_PROCESS_ID:
            raise ValueError(f"must be between 0 and {MAX_PROCESS_ID}")
        if isinstance(value, str) and not 1 <= len(value) <= 256:
            raise ValueError("must have 1 to 256 characters")
        return value

    @field_validator("cloud_stream_path", "destination_prefix", "cache_container_name")
    @classmethod
    def _no_control_characters(cls, value: str) -> str:
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise ValueError("must not contain control characters")
        return value

    @model_validator(mode="after")
    def _places(self, info: ValidationInfo) -> "VideoRequest":
        problems = _place_problems(self, local=bool((info.context or {}).get("local")))
        if problems:
            raise _PlaceError(problems)
        return self

    def to_json(self) -> str:
        """Compact JSON in the contract's field names, unknown fields included."""
        return json.dumps(
            self.model_dump(exclude_none=True), ensure_ascii=False, separators=(",", ":")
        )


class _PlaceError(ValueError):
    """Carries field names out of the model validator, which pydantic attributes to no field."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems))
        self.problems = problems


def _place_problems(request: VideoRequest, *, local: bool) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    source = parse_object_url(request.cloud_stream_path)
    destination = destination_url(source, request.destination_prefix)
    if source is not None and source.kind == "file" and not local:
        source = None
    live = request.inference_modality == "live" and is_live_url(request.cloud_stream_path)
    if not live and (source is None or not source.key):
        wanted = "s3://bucket/key, az://container/blob or https://ACCOUNT.blob.core.windows.net/container/blob"
        if request.inference_modality == "live":
            wanted += ", rtsp(s)://, rtmp(s)://, srt:// or http(s)://….m3u8"
        problems.append(("cloud_stream_path", f"must be {wanted}"))
    elif destination is None or (destination.kind == "file" and not local):
        problems.append(
            (
                "destination_prefix",
                "must be a key prefix in the source's own bucket, or a full s3:// or az:// URL"
                if source
                else "must be a full s3:// or az:// URL, since a live source has no bucket",
            )
        )
    return problems


def parse_request(body: bytes, *, local: bool = False) -> VideoRequest:
    """Read a request from a message body.

    Args:
        body: the exact bytes.
        local: accept `file://` places; only for a person at a terminal, never from the wire.

    Raises:
        RequestError: with the code, each bad field, and the process_id if readable.
    """
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(
            ErrorCode.REQUEST_TOO_LARGE,
            f"the request has {len(body)} bytes; at most {MAX_BODY_BYTES} are taken",
        )
    return validate_request(_load_object(body), local=local)


def validate_request(document: dict[str, Any], *, local: bool = False) -> VideoRequest:
    """Check an already decoded request; `local` as in `parse_request`.

    Raises:
        RequestError: INVALID_REQUEST, naming each bad field.
    """
    try:
        return VideoRequest.model_validate(document, context={"local": local})
    except ValidationError as error:
        fields: list[tuple[str, str]] = []
        for item in error.errors(include_url=False, include_input=False):
            cause = item.get("ctx", {}).get("error")
            if isinstance(cause, _PlaceError):
                fields.extend(cause.problems)
                continue
            # `int | str` adds its alternative to the location; people know only the field.
            location = [str(part) for part in item["loc"] if part not in {"int", "str"}]
            text = _PLAIN_TEXTS.get(item["type"], item["msg"].removeprefix("Value error, "))
            entry = (".".join(location), text)
            if entry[0] not in {name for name, _ in fields}:
                fields.append(entry)
        message = "; ".join(f"{name}: {text}" for name, text in fields)
        raise RequestError(
            ErrorCode.INVALID_REQUEST, message, tuple(fields), *_identity(document)
        ) from error


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        document = read_json(body)
    except ValueError as error:
        raise RequestError(ErrorCode.INVALID_JSON, f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(ErrorCode.INVALID_JSON, "the body is JSON, but not an object")
    if measure_depth(document) > MAX_DEPTH:
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"objects are nested more than {MAX_DEPTH} deep"
        )
    return document


def _identity(document: dict[str, Any]) -> tuple[int | str | None, Modality]:
    """process_id and modality of an invalid request, as far as they are themselves valid."""
    process_id = document.get("process_id")
    readable = (
        isinstance(process_id, int)
        and not isinstance(process_id, bool)
        and 0 <= process_id <= MAX_PROCESS_ID
    ) or (isinstance(process_id, str) and 1 <= len(process_id) <= 256)
    modality: Modality = "live" if document.get("inference_modality") == "live" else "batch"
    return (process_id if readable else None), modality
