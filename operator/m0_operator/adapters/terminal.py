"""The Kubernetes API for a person at a terminal: their kubeconfig, events, rights."""

import os
from pathlib import Path
from typing import Any, Self

from kubernetes.aio import client, config

from m0_operator.adapters.videos import KubernetesVideos

_SELECTOR = "app.kubernetes.io/name=m0-operator,app.kubernetes.io/component=operator"


_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoClusterError(Exception):
    """The kubeconfig names no cluster, or can't be read."""


class KubernetesTerminal(KubernetesVideos):
    """One namespace, as the kubeconfig's user sees it. Use as an async context manager.

    Attributes:
        inside: this is a pod without a kubeconfig: its account is asked with.
        server: the API server's URL, once it is entered.
    """

    def __init__(
        self,
        namespace: str = "",
        *,
        kubeconfig: str = "",
        context: str = "",
        timeout_s: float = 10.0,
    ) -> None:
        """Args:
        namespace: empty for the context's own, in a pod without a kubeconfig for the pod's.
        kubeconfig: a file; empty for the usual places.
        context: empty for the current one.
        timeout_s: bound on each request, seconds.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        inside = bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not (
            kubeconfig or os.environ.get("KUBECONFIG")
        )
        self.inside = inside
        self.server = ""
        own = _find_pods_namespace() if inside else self._find_namespace()
        super().__init__(namespace or own, timeout_s=timeout_s)

    @property
    def namespace(self) -> str:
        """The one that all requests stay in."""
        return self._namespace

    def _file(self) -> str | None:
        return self._kubeconfig or os.environ.get("KUBECONFIG") or None

    def _find_namespace(self) -> str:
        file = self._file()
        if file and os.pathsep not in file and not Path(file).expanduser().is_file():
            raise NoClusterError(f"there is no file {file}")
        try:
            contexts, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
                config_file=self._file()
            )
        except (config.ConfigException, OSError, ValueError, TypeError, KeyError) as error:
            raise NoClusterError(str(error)) from error
        except Exception as error:  # a YAML error has no base that this module knows
            raise NoClusterError(f"{self._file()} can't be read: {error}") from error
        if self._context:
            named = [item for item in contexts if item["name"] == self._context]
            if not named:
                names = ", ".join(item["name"] for item in contexts)
                raise NoClusterError(f"there is no context {self._context}, only: {names}")
            current = named[0]
        return (current.get("context") or {}).get("namespace") or "default"

    async def __aenter__(self) -> Self:
        configuration = client.Configuration()
        try:
            if self.inside:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=self._file(),
                    context=self._context or None,
                    client_configuration=configuration,
                )
        except (config.ConfigException, OSError, ValueError) as error:
            raise NoClusterError(str(error)) from error
        configuration.connection_pool_maxsize = 20
        self.server = configuration.host
        self._api = client.ApiClient(configuration)
        return self

    async def fetch_events(self, kinds_and_names: set[tuple[str, str]]) -> list[dict[str, Any]]:
        """Events about any of these objects."""
        found: list[dict[str, Any]] = []
        for kind, name in sorted(kinds_and_names):
            field = f"involvedObject.kind={kind},involvedObject.name={name}"
            query = [("fieldSelector", field), ("limit", "200")]
            found += (await self._request("GET", self._events, query=query))["items"]
        return found

    async def fetch_operator(self) -> dict[str, Any] | None:
        """The operator's Deployment, as the chart labels it; None when there is none."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments"
        items = (await self._request("GET", path, query=[("labelSelector", _SELECTOR)]))["items"]
        return items[0] if items else None

    async def fetch_operator_pods(self) -> list[dict[str, Any]]:
        """The operator's pods."""
        query = [("labelSelector", _SELECTOR)]
        items: list[dict[str, Any]] = (await self._request("GET", self._pods, query=query))["items"]
        return items

    async def fetch_secret(self, name: str) -> dict[str, Any] | None:
        """A Secret; None when there is none."""
        return await self._fetch(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")

    async def fetch_config_map(self, name: str) -> dict[str, Any] | None:
        """A ConfigMap; None when there is none."""
        return await self._fetch(f"/api/v1/namespaces/{self._namespace}/configmaps/{name}")

    async def fetch_raw_lease(self, name: str) -> dict[str, Any] | None:
        """A Lease as it is; None when there is none."""
        return await self._fetch(f"{self._leases}/{name}")

    async def fetch_kinds(self, group_version: str) -> list[str] | None:
        """The resources of an API group's version; None where there is no such."""
        found = await self._fetch(f"/apis/{group_version}")
        return None if found is None else [item["name"] for item in found["resources"]]

    async def fetch_server_version(self) -> str:
        """The API server's."""
        return str((await self._request("GET", "/version")).get("gitVersion", ""))

    async def may(self, verb: str, group: str, resource: str, name: str = "") -> bool:
        """Whether the user may do this in the namespace, to all or to the one of this name."""
        kind, _, part = resource.partition("/")
        attributes = {
            "namespace": self._namespace,
            "verb": verb,
            "group": group,
            "resource": kind,
            "name": name,
            **({"subresource": part} if part else {}),
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool((await self._request("POST", path, body=body))["status"].get("allowed"))


def _find_pods_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text().strip() or "default"
    except OSError:
        return "default"
