"""The resource for a message: for a valid request one to run, for a bad one one that says why."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from m0_contract.keys import resource_name
from m0_contract.request import Modality, VideoRequest
from m0_contract.resource import (
    FINALIZER,
    GROUP,
    KIND,
    VERSION,
    Origin,
    Rejection,
    build_spec,
)

from m0_operator.domain.headers import pack_headers
from m0_operator.domain.status import rfc3339

LABEL_PROCESS_ID = f"{GROUP}/process-id"
MAX_SHOWN_BYTES = 32 * 1024
"""A longer body is only in `origin`: shown once more in the spec, with the API's escapes,
it could exceed what etcd takes."""

_OPEN = frozenset({"inferenceConfig", "extra"})
_SHOWN = frozenset({"chunkDuration", "fps", "width", "height"})
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def build_origin(
    body: bytes, headers: Mapping[str, Any], priority: int, received_at: datetime
) -> Origin:
    """The message behind a resource, exactly."""
    return Origin(
        body=base64.b64encode(body).decode(),
        headers=pack_headers(headers),
        priority=priority,
        received_at=rfc3339(received_at),
    )


def build_resource(request: VideoRequest, origin: Origin, namespace: str) -> dict[str, Any]:
    """The manifest for a valid request."""
    spec = build_spec(request, origin)
    if len(origin.body) > MAX_SHOWN_BYTES:
        spec = {key: value for key, value in spec.items() if key not in _OPEN}
        given = spec["videoPreprocessing"]
        spec["videoPreprocessing"] = {key: given[key] for key in _SHOWN & given.keys()}
    return _manifest(request.process_id, spec, namespace)


def build_applied(request: VideoRequest, namespace: str) -> dict[str, Any]:
    """The manifest for a request that a person hands to the cluster without a message."""
    manifest = _manifest(request.process_id, build_spec(request, None), namespace)
    manifest["metadata"].pop("finalizers")
    return manifest


def build_rejected(
    process_id: int | str,
    modality: Modality,
    origin: Origin,
    rejection: Rejection,
    namespace: str,
) -> dict[str, Any]:
    """The manifest for a request that can't be run but whose id is known."""
    spec = {
        "processId": process_id,
        "inferenceModality": modality,
        "origin": origin.model_dump(by_alias=True),
        "rejection": rejection.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    return _manifest(process_id, spec, namespace)


def _manifest(process_id: int | str, spec: dict[str, Any], namespace: str) -> dict[str, Any]:
    label = str(process_id)
    labels = {LABEL_PROCESS_ID: label} if _LABEL.fullmatch(label) else {}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": resource_name(process_id),
            "namespace": namespace,
            "labels": labels,
            "finalizers": [FINALIZER],
        },
        "spec": spec,
    }
