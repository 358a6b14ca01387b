"""What a caller posts: a request, and perhaps a priority, which belongs to the queue."""

import json
from dataclasses import dataclass
from typing import Any

from m0_contract.errors import ErrorCode
from m0_contract.request import RequestError, VideoRequest, parse_request

DEFAULT_PRIORITY = 0
MAX_PRIORITY = 9


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid post.

    Attributes:
        body: what is published: the posted bytes, or without `priority` if that was given.
        priority_given: whether it was.
    """

    request: VideoRequest
    body: bytes
    priority: int
    priority_given: bool = False


def parse_submission(posted: bytes) -> Submission:
    """Read a post.

    Raises:
        RequestError: naming each bad field, `priority` among them.
    """
    priority_problem: tuple[tuple[str, str], ...] = ()
    body, priority = posted, DEFAULT_PRIORITY
    document = _peek(posted)
    if document is not None and "priority" in document:
        given = document.pop("priority")
        if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MAX_PRIORITY:
            priority = given
        else:
            priority_problem = (("priority", f"must be an integer from 0 to {MAX_PRIORITY}"),)
    try:
        # The bytes as they came: duplicate keys and the like would not survive decoding.
        request = parse_request(posted)
    except RequestError as error:
        if not priority_problem or error.code is not ErrorCode.INVALID_REQUEST:
            raise
        raise _refuse((*error.fields, *priority_problem)) from error
    if priority_problem:
        raise _refuse(priority_problem)
    given_too = document is not None and "priority" in (request.model_extra or {})
    if given_too:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        request = parse_request(body)
    return Submission(request, body, priority, priority_given=given_too)


def _refuse(fields: tuple[tuple[str, str], ...]) -> RequestError:
    text = "; ".join(f"{name}: {problem}" for name, problem in fields)
    return RequestError(ErrorCode.INVALID_REQUEST, text, fields)


def _peek(posted: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(posted)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
