"""The Kubernetes API: plain dictionaries in and out, errors as this program's own.

One request method instead of the generated clients' hundred: those choose the
patch type by themselves and parse answers into models that nothing here needs.
"""

import os
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kubernetes.aio import client, config
from m0_contract.resource import GROUP, KIND, LABEL_RESOURCE, PLURAL, VERSION

from m0_operator.adapters.answers import read_answer, translated
from m0_operator.domain.status import Announcement
from m0_operator.errors import (
    ClusterConflictError,
    ClusterNotFoundError,
    ClusterUnavailableError,
)
from m0_operator.services.leadership import LeaseRecord

LEASE_NAME = "m0-operator"

_MERGE = "application/merge-patch+json"
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

PAGE = 250
"""Objects in one answer to a list."""


class KubernetesCluster:
    """One namespace of a cluster. Use as an async context manager."""

    def __init__(self, namespace: str, *, timeout_s: float = 10.0, connections: int = 100) -> None:
        """Args:
        namespace: all requests stay in it.
        timeout_s: bound on each request, seconds.
        connections: at most so many at once; a watch holds one.
        """
        self._connections = connections
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._api: client.ApiClient | None = None
        self._writes: Counter[str] = Counter()
        self._resources = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._events = f"/api/v1/namespaces/{namespace}/events"
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def __aenter__(self) -> Self:
        configuration = client.Configuration()
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        configuration.connection_pool_maxsize = self._connections
        self._api = client.ApiClient(configuration)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._api is not None:
            await self._api.close()  # type: ignore[no-untyped-call]

    async def list_resources(self) -> AsyncGenerator[dict[str, Any]]:
        """Every VideoChunkJob of the namespace, fetched by pages: there may be thousands.

        Raises:
            ClusterNotFoundError: the custom resource is not installed.
        """
        async for item in self._list(self._resources, _JSON):
            yield item

    async def list_versions(self, kind: str) -> list[tuple[str, str]]:
        """(name, resourceVersion) of every VideoChunkJob, or of every Job of one."""
        path, selector = (self._resources, "") if kind == KIND else (self._jobs, LABEL_RESOURCE)
        metadata = (item["metadata"] async for item in self._list(path, _METADATA, selector))
        return [(found["name"], found["resourceVersion"]) async for found in metadata]

    async def _list(
        self, path: str, accept: str, selector: str = ""
    ) -> AsyncGenerator[dict[str, Any]]:
        query = [("limit", str(PAGE))]
        if selector:
            query.append(("labelSelector", selector))
        following = ""
        while True:
            more = [("continue", following)] if following else []
            answer = await self._request("GET", path, query=[*query, *more], accept=accept)
            # An empty list of metadata is null.
            for item in answer["items"] or ():
                yield item
            following = answer["metadata"].get("continue", "")
            if not following:
                return

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        """The resource, or None when there is none."""
        return await self._fetch(f"{self._resources}/{name}")

    async def create_resource(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create it; AlreadyExistsError when the name is taken."""
        created = await self._request("POST", self._resources, body=manifest)
        # A new life under an old name starts to count anew.
        self._writes[manifest["metadata"]["name"]] = 1
        return created

    async def delete_resource(self, name: str, uid: str) -> None:
        """Delete this very one; no error when it is gone."""
        await self._delete(f"{self._resources}/{name}", uid, "Background")

    async def fetch_job(self, name: str) -> dict[str, Any] | None:
        """The Job, or None when there is none."""
        return await self._fetch(f"{self._jobs}/{name}")

    async def fetch_pods(self, job: str) -> list[dict[str, Any]]:
        """The Job's pods."""
        query = [("labelSelector", f"batch.kubernetes.io/job-name={job}")]
        items: list[dict[str, Any]] = (await self._request("GET", self._pods, query=query))["items"]
        return items

    async def create_job(self, manifest: dict[str, Any], resource: str) -> dict[str, Any]:
        """Create it; AlreadyExistsError when the name is taken."""
        self._writes[resource] += 1
        return await self._request("POST", self._jobs, body=manifest)

    async def delete_job(self, name: str, uid: str, resource: str, *, wait: bool) -> None:
        """Delete this very one; with `wait` it is gone when its pods are, else at once."""
        self._writes[resource] += 1
        await self._delete(f"{self._jobs}/{name}", uid, "Foreground" if wait else "Background")

    async def suspend_job(self, name: str, resource: str, *, suspend: bool) -> None:
        """Take its pod away, or let it have one again."""
        self._writes[resource] += 1
        body = {"spec": {"suspend": suspend}}
        await self._request("PATCH", f"{self._jobs}/{name}", body=body, content_type=_MERGE)

    async def expire_job(self, name: str, ttl_s: int, resource: str) -> None:
        """Have the cluster collect a finished Job."""
        self._writes[resource] += 1
        body = {"spec": {"ttlSecondsAfterFinished": ttl_s}}
        await self._request("PATCH", f"{self._jobs}/{name}", body=body, content_type=_MERGE)

    async def patch_status(
        self, name: str, version: str, patch: dict[str, Any], *, progress_only: bool
    ) -> dict[str, Any]:
        """Merge into the status; ClusterConflictError when `version` is not the newest."""
        if not progress_only:
            self._writes[name] += 1
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        return await self._request(
            "PATCH", f"{self._resources}/{name}/status", body=body, content_type=_MERGE
        )

    async def set_finalizers(
        self, name: str, version: str, finalizers: tuple[str, ...]
    ) -> dict[str, Any]:
        """Replace the finalizers; ClusterConflictError when `version` is not the newest."""
        self._writes[name] += 1
        body = {"metadata": {"resourceVersion": version, "finalizers": list(finalizers)}}
        return await self._request(
            "PATCH", f"{self._resources}/{name}", body=body, content_type=_MERGE
        )

    async def announce(self, resource: dict[str, Any], announcement: Announcement) -> None:
        """Post an Event about the resource."""
        meta = resource["metadata"]
        self._writes[meta["name"]] += 1
        now = datetime.now(UTC)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}.", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": meta["name"],
                "namespace": self._namespace,
                "uid": meta["uid"],
                "resourceVersion": meta.get("resourceVersion", ""),
            },
            "type": announcement.type,
            "reason": announcement.reason,
            "message": announcement.message,
            "count": 1,
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "source": {"component": "m0-operator"},
            "reportingComponent": "m0-operator",
            "reportingInstance": os.environ.get("HOSTNAME", "m0-operator"),
        }
        await self._request("POST", self._events, body=body)

    async def fetch_lease(self) -> LeaseRecord | None:
        """The operator's Lease, or None when there is none."""
        raw = await self._fetch(f"{self._leases}/{LEASE_NAME}")
        return _read_lease(raw) if raw else None

    async def write_lease(self, holder: str, duration_s: int, version: str | None) -> LeaseRecord:
        """Create the Lease, or replace that version of it; ClusterConflictError when it moved."""
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration_s,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        if version is None:
            return _read_lease(await self._request("POST", self._leases, body=body))
        body["metadata"] = {"name": LEASE_NAME, "resourceVersion": version}
        return _read_lease(await self._request("PUT", f"{self._leases}/{LEASE_NAME}", body=body))

    def count_writes(self, resource: str) -> int:
        """Writes for this resource so far by this process, without those of progress only."""
        return self._writes[resource]

    async def _fetch(self, path: str) -> dict[str, Any] | None:
        try:
            return await self._request("GET", path)
        except ClusterNotFoundError:
            return None

    async def _delete(self, path: str, uid: str, propagation: str) -> None:
        body = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        try:
            await self._request("DELETE", path, body=body)
        except (ClusterNotFoundError, ClusterConflictError):
            # Gone, or another one has its name by now: either way this one is no more.
            return

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: dict[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> dict[str, Any]:
        """One request to its end.

        Raises:
            OperatorError: as `errors.error_from_status` maps the answer.
        """
        with translated():
            response = await self._call(
                method,
                path,
                query=query,
                timeout_s=self._timeout_s,
                body=body,
                content_type=content_type,
                accept=accept,
            )
            data = await response.read()
        return read_answer(response.status, method, data)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None,
        timeout_s: float,
        body: dict[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Any:
        """The answer's head; its body is still to be read."""
        if self._api is None:
            raise ClusterUnavailableError("not connected")
        parameters = await self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=query or [],
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(*parameters, _request_timeout=timeout_s)


def _read_lease(raw: dict[str, Any]) -> LeaseRecord:
    spec = raw.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        version=raw["metadata"]["resourceVersion"],
        duration_s=spec.get("leaseDurationSeconds") or 0,
    )
