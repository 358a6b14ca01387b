"""An API server small enough to reason about: versions, finalizers, owner-free deletion."""

import copy
import itertools
from datetime import UTC, datetime
from typing import Any

from m0_operator.domain.status import Announcement
from m0_operator.errors import (
    AlreadyExistsError,
    ClusterConflictError,
    ClusterNotFoundError,
    ClusterUnavailableError,
)


class FakeCluster:
    """Implements `ports.Cluster`. `fail(method, error)` arms one failure.

    A failure with `after=True` strikes when the write has been done: the answer is lost.
    """

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, list[dict[str, Any]]] = {}
        self.events: list[tuple[str, Announcement]] = []
        self.writes: list[str] = []
        self._numbers = itertools.count(1)
        self._failures: dict[str, list[tuple[BaseException, bool]]] = {}

    def fail(self, method: str, error: BaseException | None = None, *, after: bool = False) -> None:
        wanted = error or ClusterUnavailableError("the API server is away")
        self._failures.setdefault(method, []).append((wanted, after))

    def _strike(self, method: str, *, after: bool = False) -> None:
        armed = self._failures.get(method)
        if armed and armed[0][1] == after:
            raise armed.pop(0)[0]

    def _stamp(self, item: dict[str, Any]) -> dict[str, Any]:
        item["metadata"]["resourceVersion"] = str(next(self._numbers))
        return copy.deepcopy(item)

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        self._strike("fetch_resource")
        return copy.deepcopy(self.resources.get(name))

    async def create_resource(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._strike("create_resource")
        name = manifest["metadata"]["name"]
        if name in self.resources:
            raise AlreadyExistsError(name)
        item = copy.deepcopy(manifest)
        item["metadata"] |= {
            "uid": f"{next(self._numbers):08d}-uid",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self.resources[name] = item
        self.writes.append("create_resource")
        created = self._stamp(item)
        self._strike("create_resource", after=True)
        return created

    async def delete_resource(self, name: str, uid: str) -> None:
        self._strike("delete_resource")
        item = self.resources.get(name)
        if item is None or item["metadata"]["uid"] != uid:
            return
        self.writes.append("delete_resource")
        if item["metadata"].get("finalizers"):
            item["metadata"]["deletionTimestamp"] = datetime.now(UTC).isoformat()
            self._stamp(item)
        else:
            del self.resources[name]

    async def fetch_job(self, name: str) -> dict[str, Any] | None:
        self._strike("fetch_job")
        return copy.deepcopy(self.jobs.get(name))

    async def fetch_pods(self, job: str) -> list[dict[str, Any]]:
        self._strike("fetch_pods")
        return copy.deepcopy(self.pods.get(job, []))

    async def create_job(self, manifest: dict[str, Any], resource: str) -> dict[str, Any]:  # noqa: ARG002
        self._strike("create_job")
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            raise AlreadyExistsError(name)
        item = copy.deepcopy(manifest)
        item["metadata"]["uid"] = f"job-{next(self._numbers)}"
        self.jobs[name] = item
        self.writes.append("create_job")
        created = self._stamp(item)
        self._strike("create_job", after=True)
        return created

    async def delete_job(self, name: str, uid: str, resource: str, *, wait: bool) -> None:  # noqa: ARG002
        self._strike("delete_job")
        self.writes.append("delete_job")
        if wait:
            self.jobs[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.jobs[name]

    async def suspend_job(self, name: str, resource: str, *, suspend: bool) -> None:  # noqa: ARG002
        self._strike("suspend_job")
        self.writes.append("suspend_job")
        self.jobs[name]["spec"]["suspend"] = suspend

    async def expire_job(self, name: str, ttl_s: int, resource: str) -> None:  # noqa: ARG002
        self._strike("expire_job")
        if name not in self.jobs:
            raise ClusterNotFoundError(name)
        self.writes.append("expire_job")
        self.jobs[name]["spec"]["ttlSecondsAfterFinished"] = ttl_s

    async def patch_status(
        self, name: str, version: str, patch: dict[str, Any], *, progress_only: bool
    ) -> dict[str, Any]:
        self._strike("patch_status")
        item = self._current(name, version)
        item["status"] = merge(item.get("status") or {}, patch)
        self.writes.append("patch_progress" if progress_only else "patch_status")
        patched = self._stamp(item)
        self._strike("patch_status", after=True)
        return patched

    async def set_finalizers(
        self, name: str, version: str, finalizers: tuple[str, ...]
    ) -> dict[str, Any]:
        self._strike("set_finalizers")
        item = self._current(name, version)
        item["metadata"]["finalizers"] = list(finalizers)
        self.writes.append("set_finalizers")
        stamped = self._stamp(item)
        if not finalizers and "deletionTimestamp" in item["metadata"]:
            del self.resources[name]
        return stamped

    def _current(self, name: str, version: str) -> dict[str, Any]:
        item = self.resources.get(name)
        if item is None:
            raise ClusterNotFoundError(name)
        if version != item["metadata"]["resourceVersion"]:
            raise ClusterConflictError(f"{name} has changed")
        return item

    async def announce(self, resource: dict[str, Any], announcement: Announcement) -> None:
        self._strike("announce")
        self.events.append((resource["metadata"]["name"], announcement))
        self.writes.append("announce")

    def count_writes(self, resource: str) -> int:  # noqa: ARG002
        return len([write for write in self.writes if write != "patch_progress"])

    # --- what the world does ---------------------------------------------------------------

    def touch(self, name: str) -> None:
        """Somebody else writes the resource: its version moves on."""
        self._stamp(self.resources[name])

    def run_pod(self, job: str, *, waiting: dict[str, str] | None = None) -> None:
        state: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
        if waiting:
            state = {"waiting": waiting}
        self._pod(job, state)
        self.jobs[job]["status"] = {"active": 1}

    def end_job(
        self,
        job: str,
        *,
        message: str = "",
        exit_code: int = 0,
        reason: str = "",
        pods: bool = True,
    ) -> None:
        terminated = {
            "exitCode": exit_code,
            "message": message,
            "reason": reason or ("Completed" if exit_code == 0 else "Error"),
            "startedAt": "2026-01-01T00:00:05Z",
        }
        self.pods[job] = []
        if pods:
            self._pod(job, {"terminated": terminated})
        kind = "Complete" if exit_code == 0 and pods and not reason else "Failed"
        self.jobs[job]["status"] = {
            "succeeded" if kind == "Complete" else "failed": 1,
            "conditions": [{"type": kind, "status": "True", "reason": reason}],
        }

    def _pod(self, job: str, state: dict[str, Any]) -> None:
        self.pods.setdefault(job, []).append(
            {
                "metadata": {"name": f"{job}-x", "creationTimestamp": "2026-01-01T00:00:01Z"},
                "spec": {"nodeName": "n1", "containers": [{"name": "chunker", "image": "c:1"}]},
                "status": {"containerStatuses": [{"name": "chunker", "state": state}]},
            }
        )


def merge(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch as the API server applies it (RFC 7396)."""
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge(result[key] if isinstance(result.get(key), dict) else {}, value)
        else:
            result[key] = value
    return result
