"""VideoChunkJobs for people: parts of lists, watches of one, a changed wish."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from m0_operator.adapters.cluster import KubernetesCluster, read_answer, translated
from m0_operator.errors import error_from_status
from m0_operator.services.jobs import Change, Page

WATCH_S = 290
SILENCE_S = 75.0
"""The API server sends a bookmark each minute: without one the connection is dead."""

_MERGE = "application/merge-patch+json"


class KubernetesVideos(KubernetesCluster):
    """Implements `services.jobs.VideoStore`. Use as an async context manager."""

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
        with translated():
            answer = await self._call("GET", self._resources, query=query, timeout_s=WATCH_S + 30)
            response = answer.response
        try:
            if response.status != 200:
                with translated():
                    read_answer(response.status, "GET", await response.read())
            async for line in _lines(response.content):
                yield _read_change(json.loads(line))
        finally:
            response.close()

    async def patch_spec(self, name: str, uid: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Merge into the spec of this very one.

        Raises:
            ClusterNotFoundError: it is gone; ClusterConflictError: another has its name.
        """
        body = {"metadata": {"uid": uid}, "spec": dict(spec)}
        return await self._request(
            "PATCH", f"{self._resources}/{name}", body=body, content_type=_MERGE
        )

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


def _read_change(event: dict[str, Any]) -> Change:
    kind, raw = event["type"], event["object"]
    if kind == "ERROR":
        raise error_from_status(raw.get("code") or 500, "GET", raw.get("message", ""))
    version = raw["metadata"]["resourceVersion"]
    if kind == "BOOKMARK":
        return Change(version)
    return Change(version, raw, deleted=kind == "DELETED")
