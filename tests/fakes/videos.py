"""VideoChunkJobs in memory, as people look at them: parts of lists, a history that is forgotten."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from m0_contract.keys import resource_name
from m0_operator.errors import (
    ClusterConflictError,
    ClusterExpiredError,
    ClusterNotFoundError,
    ClusterRejectedError,
)
from m0_operator.services.jobs import Change, Page

CREATED = "2026-01-01T00:00:00Z"


def build_video(process_id: int | str = 101, **status: Any) -> dict[str, Any]:
    """A resource; what is given becomes its status."""
    return {
        "metadata": {
            "name": resource_name(process_id),
            "uid": f"uid-{process_id}",
            "creationTimestamp": CREATED,
        },
        "spec": {
            "processId": process_id,
            "inferenceModality": "batch",
            "cloudStreamPath": "s3://films/film.mp4",
            "origin": {"body": "", "priority": 5, "lineage": ["letter-1"]},
        },
        "status": status,
    }


def final(code: str | None = None) -> dict[str, Any]:
    """The status of one that has ended and of which all were told."""
    if code is None:
        return {"phase": "Succeeded", "reported": "PROCESSING"}
    return {
        "phase": "Stopped" if code == "STOPPED" else "Failed",
        "reported": "FAILED",
        "failure": {"code": code, "stage": "source", "message": "why", "remedy": "do this"},
        "conditions": [{"type": "DeadLettered", "status": "True", "reason": "Published"}],
    }


class FakeVideoStore:
    """Implements `VideoStore` and `LogSource`. A watch ends when there is nothing more to tell."""

    def __init__(self, *videos: dict[str, Any]) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.history: list[Change] = []
        self.forgotten = 0
        self.error: Exception | None = None
        self.pages: list[tuple[int, str, str]] = []
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.watches = 0
        self.pods: list[dict[str, Any]] = []
        self.log: dict[str, list[str]] = {}
        self.log_error: Exception | None = None
        self.news = asyncio.Event()
        self._version = 10
        self._snapshots: dict[str, list[dict[str, Any]]] = {}
        for video in videos:
            self.put(video)

    def put(self, video: dict[str, Any]) -> str:
        """Create it or replace it; the new version."""
        self._version += 1
        video = copy.deepcopy(video)
        video["metadata"]["resourceVersion"] = str(self._version)
        self.resources[video["metadata"]["name"]] = video
        self._tell(Change(str(self._version), video))
        return str(self._version)

    def set_status(self, name: str, **status: Any) -> str:
        """Change some of its status."""
        video = self.resources[name]
        return self.put({**video, "status": {**video["status"], **status}})

    def drop(self, name: str) -> None:
        """Delete it."""
        self._version += 1
        self._tell(Change(str(self._version), self.resources.pop(name), deleted=True))

    def bookmark(self) -> None:
        """Only the version moves."""
        self._version += 1
        self._tell(Change(str(self._version)))

    def forget(self) -> None:
        """What has happened until now can't be told any more."""
        self._version += 1
        self.forgotten = self._version
        self._snapshots.clear()

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        self.news.set()

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        if self.error is not None:
            raise self.error
        return copy.deepcopy(self.resources.get(name))

    async def list_page(self, *, limit: int, token: str, version: str) -> Page:
        if self.error is not None:
            raise self.error
        self.pages.append((limit, token, version))
        start = 0
        if token:
            version, _, number = token.partition("/")
            if not number.isdecimal():
                raise ClusterRejectedError("continue key is not valid")
            start = int(number)
        if version and version not in self._snapshots:
            raise ClusterExpiredError("too old resource version")
        version = version or str(self._version)
        everything = [self.resources[name] for name in sorted(self.resources)]
        items = self._snapshots.setdefault(version, everything)
        end = start + limit
        return Page(
            copy.deepcopy(items[start:end]), f"{version}/{end}" if end < len(items) else "", version
        )

    async def watch(self, name: str, version: str) -> AsyncGenerator[Change, None]:
        if self.error is not None:
            raise self.error
        self.watches += 1
        if int(version) < self.forgotten:
            raise ClusterExpiredError("too old resource version")
        for change in list(self.history):
            if int(change.version) > int(version) and (
                change.raw is None or change.raw["metadata"]["name"] == name
            ):
                yield copy.deepcopy(change)

    async def patch_spec(self, name: str, uid: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        video = self.resources.get(name)
        if video is None:
            raise ClusterNotFoundError(name)
        if video["metadata"]["uid"] != uid:
            raise ClusterConflictError("Precondition failed: UID")
        self.patches.append((name, dict(spec)))
        self.put({**video, "spec": {**video["spec"], **spec}})
        return copy.deepcopy(self.resources[name])

    async def fetch_pods(self, job: str) -> list[dict[str, Any]]:  # noqa: ARG002
        if self.log_error is not None:
            raise self.log_error
        return list(self.pods)

    async def read_log(
        self, pod: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[tuple[str, ...], None]:
        """Two lines at a time; with `follow` what is written meanwhile, too."""
        given = 0 if tail is None else max(0, len(self.log[pod]) - tail)
        while True:
            if pod not in self.log:
                raise ClusterNotFoundError(pod)
            lines = self.log[pod][given : given + 2]
            if lines:
                given += len(lines)
                yield tuple(lines)
            elif follow and self._runs(pod):
                await self.pause(0)
            else:
                return

    def write(self, pod: str, *lines: str, phase: str = "Running") -> None:
        """The pod writes these and is then in this phase; it begins with its first ones."""
        if pod not in self.log:
            self.pods.append({"metadata": {"name": pod, "creationTimestamp": CREATED}})
        self.log.setdefault(pod, []).extend(lines)
        for item in self.pods:
            if item["metadata"]["name"] == pod:
                item["status"] = {"phase": phase}
        self.news.set()

    def _runs(self, pod: str) -> bool:
        return any(
            item["metadata"]["name"] == pod and item["status"]["phase"] == "Running"
            for item in self.pods
        )

    async def pause(self, _: float) -> None:
        """Between two watches: until something happens."""
        await self.news.wait()
        self.news.clear()
