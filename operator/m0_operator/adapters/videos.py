"""VideoChunkJobs for people: parts of lists, watches of one, a changed wish, their pods' logs."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from m0_operator.adapters.answers import read_answer, translated
from m0_operator.adapters.cluster import KubernetesCluster
from m0_operator.errors import error_from_status
from m0_operator.services.jobs import Change, Page

WATCH_S = 290
SILENCE_S = 75.0
"""The API server sends a bookmark each minute: without one the connection is dead."""

FOLLOW_S = 24 * 3600
LINE_BYTES = 64 * 1024
"""A longer line of a log is several."""

_MERGE = "application/merge-patch+json"


class KubernetesVideos(KubernetesCluster):
    """Implements `services.jobs.VideoStore` and `services.pod_logs.LogSource`.

    Use as an async context manager.
    """

    async def list_page(self, *, limit: int, token: str, version: str) -> Page:
        """A part of the list: after `token`, or the first one, at exactly `version` if given.

        Raises:
            ClusterExpiredError: the cluster no longer knows that state.
        """
        query = [("limit", str(limit))]
        if token:
            query += [("continue", token)]
        elif version:
            query += [("resourceVersion", version), ("resourceVersionMatch", "Exact")]
        answer = await self._request("GET", self._resources, query=query)
        meta = answer["metadata"]
        return Page(answer["items"], meta.get("continue") or "", meta["resourceVersion"])

    async def watch(self, name: str, version: str) -> AsyncGenerator[Change, None]:
        """What happens to one after `version`, until the watch ends.

        Raises:
            ClusterExpiredError: the cluster no longer knows what happened since.
            ClusterUnavailableError: the API does not answer.
        """
        query = [
            ("watch", "true"),
            ("fieldSelector", f"metadata.name={name}"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(WATCH_S)),
        ]
        async with self._reading(self._resources, query, timeout_s=WATCH_S + 30) as content:
            async for line in _lines(content):
                yield _read_change(json.loads(line))

    async def patch_spec(self, name: str, uid: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Merge into the spec of this very one.

        Raises:
            ClusterNotFoundError: it is gone; ClusterConflictError: another has its name.
        """
        body = {"metadata": {"uid": uid}, "spec": dict(spec)}
        return await self._request(
            "PATCH", f"{self._resources}/{name}", body=body, content_type=_MERGE
        )

    async def read_log(
        self, pod: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[tuple[str, ...], None]:
        """A pod's log, whole lines at a time.

        Raises:
            ClusterNotFoundError: there is no such pod.
            ClusterForbiddenError: it may not be read; ClusterUnavailableError at any time.
        """
        query = [("follow", "true")] if follow else []
        if tail is not None:
            query.append(("tailLines", str(tail)))
        # Whoever reads may take their time; what is followed may be silent, even at its head.
        silence_s = None if follow else self._timeout_s
        path = f"{self._pods}/{pod}/log"
        async with self._reading(path, query, timeout_s=FOLLOW_S, head_s=silence_s) as content:
            async for lines in _log_lines(content, silence_s):
                yield lines

    @asynccontextmanager
    async def _reading(
        self,
        path: str,
        query: list[tuple[str, str]],
        *,
        timeout_s: float,
        head_s: float | None = None,
    ) -> AsyncIterator[Any]:
        """The content of an answer that goes on, while the context is open.

        Args:
            timeout_s: bound on the whole answer, seconds.
            head_s: bound on its beginning.

        Raises:
            OperatorError: it is refused, or does not begin.
        """
        with translated():
            async with asyncio.timeout(head_s):
                answer = await self._call("GET", path, query=query, timeout_s=timeout_s)
        response = answer.response
        try:
            if response.status != 200:
                with translated():
                    read_answer(response.status, "GET", await response.read())
            yield response.content
        finally:
            response.close()

    async def check(self) -> None:
        """Ask for as little as possible; raises as `list_page`."""
        await self._request("GET", self._resources, query=[("limit", "1")])


async def _lines(content: Any) -> AsyncGenerator[bytes, None]:
    """Lines of any length, until the end or a long silence."""
    rest = bytearray()
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                with translated():
                    part = await content.readany()
        except TimeoutError:
            return
        if not part:
            return
        rest += part
        *lines, tail = rest.split(b"\n")
        for line in lines:
            if line.strip():
                yield bytes(line)
        rest = bytearray(tail)


async def _log_lines(
    content: Any, silence_s: float | None
) -> AsyncGenerator[tuple[str, ...], None]:
    rest = b""
    while True:
        with translated():
            async with asyncio.timeout(silence_s):
                part = await content.readany()
        *lines, rest = (rest + part).split(b"\n")
        if rest and (not part or len(rest) > LINE_BYTES):
            lines, rest = [*lines, rest], b""
        if lines:
            yield tuple(line.decode(errors="replace") for line in lines)
        if not part:
            return


def _read_change(event: dict[str, Any]) -> Change:
    kind, raw = event["type"], event["object"]
    if kind == "ERROR":
        raise error_from_status(raw.get("code") or 500, "GET", raw.get("message", ""))
    version = raw["metadata"]["resourceVersion"]
    if kind == "BOOKMARK":
        return Change(version)
    return Change(version, raw, deleted=kind == "DELETED")
