"""The operator's `ports.Cluster` and `Leases`, over the network to the API server."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from m0_contract.resource import KIND
from m0_operator.domain.observed import parse_job
from m0_operator.domain.status import Announcement
from m0_operator.errors import (
    ClusterConflictError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnavailableError,
)
from m0_operator.services.leadership import LeaseRecord

from simulation.apiserver import ApiServer, Object
from simulation.ledger import Ledger
from simulation.network import Network
from simulation.world import current

T = TypeVar("T")
LEASE = "m0-operator"


class Admission:
    """What the API server refuses, by a mark in the request."""

    def __init__(self) -> None:
        self.quota_until_s = 0.0

    def check_resource(self, manifest: Object) -> None:
        """Too deep, a label too long: refused for good."""
        mark = str(manifest["spec"]["processId"])
        if "refuse-all" in mark or ("refuse" in mark and "rejection" not in manifest["spec"]):
            raise ClusterRejectedError("spec: too deep")

    def check_job(self, manifest: Object, now_s: float) -> None:
        """A quota for now, or a bad manifest for good."""
        if now_s < self.quota_until_s:
            raise ClusterUnavailableError("HTTP 403: exceeded quota")
        if "nojob" in manifest["metadata"]["name"]:
            raise ClusterRejectedError("Job is invalid")


class SimCluster:
    """One process's connection to the cluster."""

    def __init__(
        self, network: Network, server: ApiServer, admission: Admission, ledger: Ledger
    ) -> None:
        self._network = network
        self._server = server
        self._admission = admission
        self._ledger = ledger
        self._writes: Counter[str] = Counter()

    async def _read(self, what: str, read: Callable[[], T]) -> T:
        return await self._network.call("api", what, read, weight=0.3)

    async def list_resources(self) -> AsyncGenerator[Object]:
        found = await self._read("list resources", lambda: self._server.copies("resource"))
        current().seeded = True
        self._saw(found)
        for item in found:
            yield item

    async def list_versions(self, kind: str) -> list[tuple[str, str]]:
        called = "resource" if kind == KIND else "job"
        found = await self._read(f"list {called}s", lambda: self._server.copies(called))
        metadata = [item["metadata"] for item in found]
        return [(item["name"], item["resourceVersion"]) for item in metadata]

    def _saw(self, resources: list[Object]) -> None:
        for resource in resources:
            self._ledger.saw(current(), resource["metadata"]["uid"])

    async def fetch_resource(self, name: str) -> Object | None:
        found = await self._read(f"get {name}", lambda: self._server.get("resource", name))
        self._saw([found] if found else [])
        return found

    async def fetch_job(self, name: str) -> Object | None:
        return await self._read(f"get job {name}", lambda: self._server.get("job", name))

    async def fetch_pods(self, job: str) -> list[Object]:
        def read() -> list[Object]:
            pods = self._server.copies("pod")
            return [pod for pod in pods if pod["metadata"]["labels"]["job"] == job]

        return await self._read(f"list pods of {job}", read)

    async def create_resource(self, manifest: Object) -> Object:
        name = manifest["metadata"]["name"]
        by = current()
        self._ledger.acts(by, f"create {name}")
        self._ledger.takes_a_slot(by)

        def create() -> Object:
            self._admission.check_resource(manifest)
            created = self._server.create("resource", manifest)
            self._ledger.created(created)
            return created

        created = await self._network.call("api", f"create {name}", create)
        self._saw([created])
        return created

    async def delete_resource(self, name: str, uid: str) -> None:
        await self._delete("resource", name, uid, wait=False)

    async def create_job(self, manifest: Object, resource: str) -> Object:
        name = manifest["metadata"]["name"]
        by = current()
        self._ledger.acts(by, f"create job {name}")
        self._writes[resource] += 1

        def create() -> Object:
            self._admission.check_job(manifest, self._ledger.world.time)
            owner = manifest["metadata"]["ownerReferences"][0]["uid"]
            others = [
                job["metadata"]["name"]
                for job in self._server.all("job").values()
                if job["metadata"]["ownerReferences"][0]["uid"] == owner
                and parse_job(job).end is None
            ]
            created = self._server.create("job", manifest)
            self._ledger.job_created(created, others)
            return created

        return await self._network.call("api", f"create job {name}", create)

    async def delete_job(self, name: str, uid: str, resource: str, *, wait: bool) -> None:
        self._writes[resource] += 1
        await self._delete("job", name, uid, wait=wait)

    async def _delete(self, kind: str, name: str, uid: str, *, wait: bool) -> None:
        def delete() -> None:
            try:
                self._ledger.deleted(uid)
                self._server.delete(kind, name, uid, wait=wait)
            except (ClusterNotFoundError, ClusterConflictError):
                return

        await self._network.call("api", f"delete {kind} {name}", delete)

    async def suspend_job(self, name: str, resource: str, *, suspend: bool) -> None:
        self._ledger.acts(current(), f"suspend job {name}")
        self._writes[resource] += 1
        patch = {"spec": {"suspend": suspend}}
        await self._network.call(
            "api", f"suspend job {name}: {suspend}", lambda: self._server.patch("job", name, patch)
        )

    async def expire_job(self, name: str, ttl_s: int, resource: str) -> None:
        self._writes[resource] += 1
        patch = {"spec": {"ttlSecondsAfterFinished": ttl_s}}
        await self._network.call(
            "api", f"expire job {name}", lambda: self._server.patch("job", name, patch)
        )

    async def patch_status(
        self, name: str, version: str, patch: dict[str, Any], *, progress_only: bool
    ) -> Object:
        if not progress_only:
            self._writes[name] += 1

        def write() -> Object:
            patched = self._server.patch("resource", name, {"status": patch}, version)
            self._ledger.recorded(patched, progress_only=progress_only)
            return patched

        return await self._network.call("api", f"patch {name} {sorted(patch)}", write)

    async def set_finalizers(self, name: str, version: str, finalizers: tuple[str, ...]) -> Object:
        self._writes[name] += 1

        def write() -> Object:
            changed = self._server.set_finalizers("resource", name, list(finalizers), version)
            self._ledger.finalizers_set(changed)
            return changed

        return await self._network.call("api", f"finalizers {name} {list(finalizers)}", write)

    async def announce(self, resource: Object, announcement: Announcement) -> None:
        name = resource["metadata"]["name"]
        self._writes[name] += 1
        self._ledger.count_write(resource["metadata"]["uid"])
        await self._network.call("api", f"event {name} {announcement.reason}", lambda: None)

    def count_writes(self, resource: str) -> int:
        return self._writes[resource]

    # --- the Lease -------------------------------------------------------------------------

    async def fetch_lease(self) -> LeaseRecord | None:
        def read() -> LeaseRecord | None:
            item = self._server.get("lease", LEASE)
            return _read_lease(item) if item else None

        return await self._network.call("api", "get lease", read, weight=0.1)

    async def write_lease(self, holder: str, duration_s: int, version: str | None) -> LeaseRecord:
        by = current()
        spec = {
            "holder": holder,
            "duration": duration_s,
            "renewed": self._ledger.world.time,
        }

        def write() -> LeaseRecord:
            if version is None:
                item = self._server.create("lease", {"metadata": {"name": LEASE}, "spec": spec})
            else:
                item = self._server.patch("lease", LEASE, {"spec": spec}, version)
            self._ledger.lease_written(by, holder)
            return _read_lease(item)

        return await self._network.call("api", f"lease to {holder or 'nobody'}", write, weight=0.2)


def _read_lease(item: Object) -> LeaseRecord:
    spec = item["spec"]
    return LeaseRecord(spec["holder"], item["metadata"]["resourceVersion"], spec["duration"])
