"""The Kubernetes API's answers, and its silence, as this program's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from kubernetes.aio import client

from m0_operator.errors import ClusterUnavailableError, error_from_status


@contextmanager
def translated() -> Iterator[None]:
    """The API's silence as an error of this program.

    Raises:
        ClusterUnavailableError: no answer.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError, client.ApiException) as error:
        detail = str(error) or type(error).__name__
        raise ClusterUnavailableError(f"Kubernetes API: {detail}") from error


def read_answer(status: int, method: str, data: bytes) -> dict[str, Any]:
    """The answer's JSON; an OperatorError when it is a refusal."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = {}
    if 200 <= status < 300 and isinstance(answer, dict):
        return answer
    text = answer.get("message", "") if isinstance(answer, dict) else ""
    raise error_from_status(status, method, text or data[:200].decode(errors="replace"))
