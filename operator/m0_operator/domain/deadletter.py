"""The dead letter: the original bytes, with the error in the headers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from m0_contract.request import RequestError
from m0_contract.resource import VideoChunkJobSpec

from m0_operator.domain.headers import unpack_headers
from m0_operator.domain.observed import Resource
from m0_operator.domain.status import FailureStatus, Status, rfc3339

_PREFIX = "x-m0-"
LINEAGE = "x-m0-lineage"
"""Ids of earlier dead letters of the same request, the oldest first."""
_FAILED, _REFUSED = "m0-failed-", "m0-refused-"
_FIRST_SEEN = "x-m0-first-seen-at"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What goes to the dead-letter queue.

    Attributes:
        message_id: the same for every try at the same failure, so that a double can be told.
    """

    body: bytes
    headers: dict[str, Any]
    priority: int
    message_id: str


def build_headers(
    failure: FailureStatus,
    original: Mapping[str, Any],
    *,
    process_id: int | str | None,
    attempts: int,
    failed_at: datetime | str,
    first_seen_at: datetime | str,
    lineage: Sequence[str] = (),
) -> dict[str, Any]:
    """The contract's headers over the request's own.

    Args:
        original: the request's own, packed.
        lineage: ids of the dead letters that it was a replay of; said only where there are any.

    A replayed dead letter brings the headers of its last failure: they are replaced,
    but for the time it was first seen.
    """
    headers = {
        key: value for key, value in unpack_headers(original).items() if not key.startswith(_PREFIX)
    }
    own: dict[str, Any] = {
        "x-m0-error-code": failure.code.value,
        "x-m0-error-message": failure.message,
        "x-m0-error-field": failure.field,
        "x-m0-stage": failure.stage.value,
        "x-m0-chunk-id": failure.chunk_id,
        "x-m0-process-id": process_id,
        "x-m0-attempts": attempts,
        "x-m0-failed-at": _text(failed_at),
        LINEAGE: list(lineage) or None,
        _FIRST_SEEN: _as_text(original.get(_FIRST_SEEN)) or _text(first_seen_at),
    }
    return headers | {key: value for key, value in own.items() if value is not None}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def build_refusal_id(body: bytes, headers: Mapping[str, Any], message_id: str) -> str:
    """The dead letter's id for a request that never became a resource.

    The same for each delivery of a message: when an acknowledgement is lost, the
    second dead letter can be told from one for a second message.

    Args:
        headers: the request's own, packed.
        message_id: the request's own, if its sender gave one.
    """
    digest = hashlib.sha256(body)
    digest.update(json.dumps([headers, message_id], sort_keys=True).encode())
    return f"{_REFUSED}{digest.hexdigest()[:32]}"


def build_failure_id(uid: str) -> str:
    """The dead letter's id for a failed resource."""
    return f"{_FAILED}{uid}"


def is_letter_id(message_id: str) -> bool:
    """Whether a message is a dead letter that somebody sent again."""
    return message_id.startswith((_FAILED, _REFUSED))


def _text(moment: datetime | str) -> str:
    return moment if isinstance(moment, str) else rfc3339(moment)


def build_dead_letter(
    resource: Resource, status: Status, failure: FailureStatus, now: datetime
) -> DeadLetter:
    """The dead letter of a failed resource."""
    origin = resource.spec.origin
    return DeadLetter(
        body=origin.body_bytes if origin else _canonical_body(resource.spec),
        headers=build_headers(
            failure,
            origin.headers if origin else {},
            process_id=resource.spec.process_id,
            attempts=status.attempts,
            failed_at=status.finished_at or now,
            first_seen_at=(origin.received_at if origin else "") or resource.created_at or now,
            lineage=origin.lineage if origin else (),
        ),
        priority=origin.priority if origin else 0,
        message_id=build_failure_id(resource.uid),
    )


def _canonical_body(spec: VideoChunkJobSpec) -> bytes:
    try:
        return spec.to_request().to_json().encode()
    except RequestError:
        # Applied by hand and not valid: what was asked for, as it stands.
        return spec.model_dump_json(by_alias=True, exclude_none=True).encode()
