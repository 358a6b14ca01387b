"""The OpenAPI document: what the code can't say by itself, and examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from m0_contract.request import VideoRequest
from pydantic import BaseModel

from m0_operator.gateway.models import VideoChange
from m0_operator.gateway.problems import MEDIA_TYPE, Problem
from m0_operator.gateway.submission import MAX_PRIORITY

API_VERSION = "1.0.0"
DESCRIPTION = """\
Queue videos to be cut into chunks, see how they do, hold them back, stop them, look through the
dead letters.

The same request again does no harm: a `process_id` is run once, however often it is queued.
Every error is `application/problem+json`. See docs/rest.md.
"""
REQUEST_EXAMPLE: dict[str, Any] = {
    "process_id": 101,
    "inference_modality": "batch",
    "cloud_stream_path": "s3://spectra-videos/uploads/security_cam_feed.mp4",
    "destination_prefix": "processed/101/",
    "cache_container_name": "spectra-cache",
    "video_preprocessing": {"chunk_duration": 60},
    "inference_config": {"model": "vlm-1"},
    "priority": 5,
}
_SCHEMA = "#/components/schemas/"
_BODIES: tuple[type[BaseModel], ...] = (VideoRequest, VideoChange)

_PROBLEMS: dict[int, tuple[str, str, list[dict[str, str]]]] = {
    400: ("BAD_REQUEST", "The request broke off.", []),
    401: ("UNAUTHORIZED", "A bearer token is needed.", []),
    403: ("FORBIDDEN", "This token may only look.", []),
    404: ("NOT_FOUND", "There is no such video.", []),
    408: ("REQUEST_TIMEOUT", "The request's body came too slowly.", []),
    409: ("ENDED", "It has ended already: Succeeded.", []),
    410: ("EXPIRED", "The list has changed too much since: begin again.", []),
    413: ("REQUEST_TOO_LARGE", "The request is too large: at most 245760 bytes are taken.", []),
    422: (
        "INVALID_REQUEST",
        "destination_prefix: is missing",
        [{"field": "destination_prefix", "message": "is missing"}],
    ),
    501: (
        "LOGS_OFF",
        "The log is not served here: set the chart's value gateway.logs.enabled to true.",
        [],
    ),
    503: ("BROKER_UNREACHABLE", "The queue has not confirmed the request. Send it again.", []),
}
_MEANINGS = {
    400: "The request broke off.",
    401: "No bearer token, or not a valid one.",
    403: "The token may only look.",
    404: "There is none.",
    408: "The body came too slowly.",
    409: "It can't be done any more.",
    410: "The continue token is too old.",
    413: "The body is too large.",
    422: "A field or a parameter is wrong; it is named.",
    501: "It is not served here; `detail` names the chart's value that changes that.",
    503: "What it depends on does not answer: try again after `Retry-After` seconds.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What may go wrong, for a route's `responses`."""
    return {status: _problem(status) for status in (*statuses, 401, 403)}


def _problem(status: int) -> dict[str, Any]:
    code, detail, errors = _PROBLEMS[status]
    example = {
        "type": f"urn:m0:problem:{code.lower().replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": "/api/v1/…",
        "code": code,
        "errors": errors,
    }
    answer: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMA}Problem"}, "example": example}},
    }
    if status == 503:
        answer["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
        }
    return answer


def request_body(*, required: bool) -> dict[str, Any]:
    """A request as a route's body, for `openapi_extra`."""
    return json_body(VideoRequest, REQUEST_EXAMPLE, required=required)


def json_body(
    model: type[BaseModel], example: dict[str, Any], *, required: bool = True
) -> dict[str, Any]:
    """A model as a route's body, for `openapi_extra`; it must be one of `_BODIES`."""
    schema = {"$ref": f"{_SCHEMA}{model.__name__}"}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def describe(app: FastAPI, *, guarded: bool) -> None:
    """Have the application serve a document that is complete."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, guarded=guarded)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _build(app: FastAPI, *, guarded: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (Problem, *_BODIES)
    for model in models:
        schema = model.model_json_schema(ref_template=_SCHEMA + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    schemas["VideoRequest"]["properties"]["priority"] = {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_PRIORITY,
        "default": 0,
        "description": "The message's: a higher one is taken first.",
    }
    _forget_defaults(document)
    if guarded:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
        for path in ("/livez", "/readyz"):
            document["paths"][path]["get"]["security"] = []
    return document


def _forget_defaults(document: dict[str, Any]) -> None:
    """FastAPI says of every route with parameters that it may answer 422, in a form not ours."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE}):
                del operation["responses"]["422"]
