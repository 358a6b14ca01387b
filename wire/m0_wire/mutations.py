"""The backend's mutations without a client: their documents, and what an answer means.

The documents are files, since a backend may name its arguments in its own way: a
deployment mounts its own directory of `<mutation>.graphql` files over ours. The table of
answers is here once, for both clients: `backend` (gql, which the operator uses) and
`light_backend` (standard library only, for the chunker, which starts once for every film).
"""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

from m0_wire.errors import BackendRejectedError, BackendUnavailableError

MUTATIONS = (
    "createBatchChunk",
    "createLiveChunk",
    "updateBatchVideoProcessingStatus",
    "updateCamVideoProcessingStatus",
)

_RETRYABLE_STATUS = frozenset({408, 425, 429})
_RETRYABLE_CODES = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT"})
"""`extensions.code` by which servers say, under HTTP 200, that it was not the request's fault."""

_NO_CODE = re.compile(r'"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*', re.DOTALL)
"""Strings and comments: brackets in them mean nothing."""

_CLOSES = {")": "(", "]": "[", "}": "{"}


def read_documents(directory: Path | None = None) -> dict[str, str]:
    """Read the mutations' documents: the given directory's, else the built-in one's.

    Only their outline is checked, a mutation with balanced brackets: a GraphQL parser costs
    a tenth of a second to import. The operator has parsed the same files when it started.

    Raises:
        ValueError: a document is missing or can't be GraphQL; names the file.
    """
    builtin = importlib.resources.files("m0_contract") / "graphql"
    documents: dict[str, str] = {}
    for name in MUTATIONS:
        own = directory / f"{name}.graphql" if directory else None
        source = own if own is not None and own.is_file() else builtin / f"{name}.graphql"
        try:
            documents[name] = source.read_text(encoding="utf-8")
            _check_outline(documents[name])
        except (OSError, ValueError) as error:
            raise ValueError(f"GraphQL document {source}: {error}") from error
    return documents


def _check_outline(document: str) -> None:
    code = _NO_CODE.sub(" ", document)
    if not re.match(r"[\s,]*(mutation|fragment)\b", code) or "{" not in code:
        raise ValueError("it holds no mutation")
    opened: list[str] = []
    for bracket in re.findall(r"[()\[\]{}]", code):
        if bracket not in _CLOSES:
            opened.append(bracket)
        elif not opened or opened.pop() != _CLOSES[bracket]:
            raise ValueError(f"unexpected {bracket!r}")
    if opened:
        raise ValueError(f"{opened[-1]!r} is not closed")


def check_answer(name: str, status: int, body: bytes) -> None:
    """Return if the backend confirmed the mutation `name`.

    Args:
        name: of the mutation, for the message.
        status: of the HTTP answer.
        body: of the HTTP answer.

    Raises:
        BackendRejectedError: the backend said no: the same call fails again.
        BackendUnavailableError: the answer says nothing about the request: try again.
    """
    # An outage is one whatever JSON it carries: proxies and frameworks answer in errors' shape.
    if status >= 500 or status in _RETRYABLE_STATUS:
        raise BackendUnavailableError(f"{name}: HTTP {status}")
    document = _load_object(body)
    errors = document.get("errors")
    if errors:
        _refuse(name, errors)
    if status >= 300:
        raise BackendRejectedError(f"{name}: HTTP {status}")
    if "data" not in document and "errors" not in document:
        raise BackendUnavailableError(f"{name}: HTTP {status}, but no GraphQL answer")


def _load_object(body: bytes) -> dict[str, Any]:
    """The answer's JSON object; empty when it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refuse(name: str, errors: object) -> None:
    items = errors if isinstance(errors, list) else [errors]
    objects = [item if isinstance(item, dict) else {"message": item} for item in items]
    text = "; ".join(str(item.get("message", item)) for item in objects)
    extensions = [item.get("extensions") for item in objects]
    codes = {str(value.get("code")) for value in extensions if isinstance(value, dict)}
    kind = BackendUnavailableError if codes & _RETRYABLE_CODES else BackendRejectedError
    raise kind(f"{name}: {text}")
