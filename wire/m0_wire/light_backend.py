"""The GraphQL backend for a program that must start fast: standard library only.

`backend` does the same through gql, whose import alone costs 0.3 s of CPU; each Job would
pay it. What an answer means is not decided here but in `mutations`, for both.
"""

import asyncio
import functools
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn, Protocol

from m0_wire.errors import BackendUnavailableError
from m0_wire.mutations import check_answer, read_documents

MAX_ANSWER_BYTES = 2**20
"""More is not read: a mutation's answer has a few hundred bytes."""


class _Answer(Protocol):
    """What `http.client.HTTPResponse` and `HTTPError` have in common."""

    def read1(self, size: int, /) -> bytes: ...


class LightBackend:
    """Calls mutations at one GraphQL endpoint."""

    def __init__(
        self,
        url: str,
        *,
        documents: dict[str, str] | None = None,
        token: str | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        """Args:
        url: the endpoint, `http(s)://…`.
        documents: from `read_documents`.
        token: sent as `Authorization: Bearer …` when given.
        timeout_s: bound on each call, seconds.
        """
        self._url = url
        self._documents = documents or read_documents()
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s

    async def mutate(self, name: str, variables: dict[str, Any]) -> None:
        """Run one mutation to its confirmed end.

        Raises:
            BackendRejectedError: the backend answered with an error: the same call fails again.
            BackendUnavailableError: no usable answer: worth trying again.
        """
        body = json.dumps({"query": self._documents[name], "variables": variables}).encode()
        try:
            # The socket's own timeout starts anew with each byte: hence the outer one, and
            # the thread's deadline, since nobody can end a thread from outside.
            async with asyncio.timeout(self._timeout_s):
                status, answer = await asyncio.to_thread(self._post, body)
        except (OSError, http.client.HTTPException, ValueError, TimeoutError) as error:
            detail = str(error) or type(error).__name__
            raise BackendUnavailableError(f"{name}: {detail}") from error
        check_answer(name, status, answer)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """One POST: HTTP status and body, whatever the status."""
        deadline = time.monotonic() + self._timeout_s
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310
        try:
            with _opener(secure=request.type == "https").open(
                request, timeout=self._timeout_s
            ) as answer:
                return answer.status, _read(answer, deadline)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, _read(answer, deadline)


def _read(answer: _Answer, deadline: float) -> bytes:
    """The body, as it comes; at most MAX_ANSWER_BYTES, and not beyond the deadline."""
    body = b""
    while len(body) < MAX_ANSWER_BYTES and (piece := answer.read1(MAX_ANSWER_BYTES)):
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError("the answer did not end in time")
    return body


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is the answer: following it would turn the POST into a GET, token and all."""

    def redirect_request(self, *_: object) -> None:
        return None


@functools.cache
def _opener(*, secure: bool) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only; the proxies and CA file that the environment names.

    Built once, and the CA file only read for HTTPS: that costs 20 ms of CPU.
    """
    proxies = urllib.request.getproxies()
    for scheme in ("http", "https"):
        if "all" in proxies:
            proxies.setdefault(scheme, proxies["all"])
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _NoRedirect(),
        _UnknownScheme(),
    ):
        opener.add_handler(handler)
    if secure:
        opener.add_handler(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    return opener


class _UnknownScheme(urllib.request.BaseHandler):
    """Without it `file://` and the like would give None instead of an error."""

    def unknown_open(self, request: urllib.request.Request) -> NoReturn:
        raise urllib.error.URLError(f"unknown scheme {request.type!r}")
