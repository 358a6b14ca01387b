"""The chart's NetworkPolicies, enforced: who reaches whom over real connections, and who not."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from blows import pods
from devstack import wait_for
from reach import (
    LISTEN,
    METADATA,
    Place,
    Target,
    end,
    listener,
    listening,
    metadata_service,
    reached,
)
from release import Release, own_release

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]

SETTLED_S = 60
JOB_PORT, OTHER_PORT = 8000, 9001
WHO = "m0.test/who"
WAITS = "waits"
FRIENDS = [{"podSelector": {"matchLabels": {WHO: "friend"}}}]
BROKERS = [
    {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "rabbitmq"}},
    }
]

FOR_ALL = {
    "names", "broker", "broker's other port", "another broker", "backend", "store", "website",
    "database", "Kubernetes", "metadata", "metadata over TLS",
}  # fmt: skip
FOR_FRIENDS = {"gateway", "operator"}
FOR_NOBODY = {"gateway's other port", "Job"}
EVERYTHING = FOR_ALL | FOR_FRIENDS | FOR_NOBODY
UNDER_POLICIES = {
    # To itself everybody comes.
    "Job": {"names", "broker", "backend", "store", "website", "Job"},
    "gateway": {"names", "broker", "Kubernetes", "gateway's other port"},
    "operator": {"names", "broker", "backend", "Kubernetes", "operator"},
    # No policy of the chart selects these: they tell what may come in.
    "friend": FOR_ALL | FOR_FRIENDS,
    "stranger": FOR_ALL,
    # A policy of the test lets this one go nowhere.
    "nobody": set[str](),
}
"""Who → whom it reaches."""
WITHOUT = dict.fromkeys(UNDER_POLICIES, EVERYTHING) | {"nobody": set[str]()}


class Crowd:
    """A release, a Job of it that waits before its work, and pods that are not M0's."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.places: dict[str, Place] = {}
        self.targets: dict[str, Target] = {}

    def switch(self, *, on: bool) -> None:
        """Install the release with its policies or without."""
        peers = {"broker": BROKERS, "gatewayClients": FRIENDS, "monitoring": FRIENDS}
        waits = {
            "name": WAITS,
            "image": ":".join(self.release.values()["chunker"]["image"].values()),
            "command": ["python3", "-c", LISTEN, str(JOB_PORT)],
        }
        self.release.install(
            # With films from http://, so that only its address keeps them from metadata.
            networkPolicy={"enabled": on, "peers": peers, "ports": {"stores": [80, 443]}},
            gateway={"replicas": 1},
            chunker={"podOverlay": {"initContainers": [waits]}},
        )

    def gather(self, process_id: int) -> None:
        """Make the pods, wait for all, and look up where everybody is."""
        self._make_strangers()
        job = wait_for("the Job to wait", lambda: self._waiting(process_id))
        component = "app.kubernetes.io/component"
        (gateway,) = self.release.items("pods", f"{component}=gateway")
        (operator,) = self.release.items("pods", f"{component}=operator")
        found = {"Job": job, "gateway": gateway, "operator": operator}
        for name in ("friend", "stranger", "nobody"):
            self.release.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
            (found[name],) = self.release.items("pods", f"{WHO}={name}")
        self.places = {who: (pod["metadata"]["name"],) for who, pod in found.items()}
        self.places["Job"] += ("-c", WAITS)
        address = {who: str(pod["status"]["podIP"]) for who, pod in found.items()}
        deployed = self.release.deployed
        broker = self._service(deployed, "m0-rabbitmq")
        self.targets = {
            "names": ("kubernetes.default.svc.cluster.local.", 0),
            "broker": (broker, 5672),
            "broker's other port": (broker, 15672),
            "another broker": (address["stranger"], 5672),
            "website": (address["friend"], 80),
            "backend": (self._service(deployed, "m0-backend"), 8400),
            "store": (self._service(deployed, "m0-s3"), 8333),
            "database": (self._service(deployed, "m0-postgres"), 5432),
            "Kubernetes": (self._service("default", "kubernetes"), 443),
            "metadata": (METADATA, 80),
            "metadata over TLS": (METADATA, 443),
            "gateway": (self._service(self.release.namespace, "m0-gateway"), 9000),
            "gateway's other port": (address["gateway"], OTHER_PORT),
            "operator": (address["operator"], 8080),
            "Job": (address["Job"], JOB_PORT),
        }

    def _make_strangers(self) -> None:
        image = self.release.deployed_image("chunker")
        nobody = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "nobody"},
            "spec": {
                "podSelector": {"matchLabels": {WHO: "nobody"}},
                "policyTypes": ["Egress"],
            },
        }
        listens = {"friend": 80, "stranger": 5672, "nobody": 5672}
        made = [listener(name, image, port, **{WHO: name}) for name, port in listens.items()]
        everything = {"apiVersion": "v1", "kind": "List", "items": [*made, nobody]}
        self.release.kubectl("apply", "-f", "-", stdin=json.dumps(everything))

    def _waiting(self, process_id: int) -> dict[str, Any] | None:
        for pod in pods(self.release, process_id):
            first = pod["status"].get("initContainerStatuses", [{}])[0]
            if "running" in first.get("state", {}):
                return pod
        return None

    def _service(self, namespace: str, name: str) -> str:
        path = "jsonpath={.spec.clusterIP}"
        return self.release.kubectl("get", "service", name, "-n", namespace, "-o", path)

    def wait_reached(self, expected: Mapping[str, set[str]]) -> None:
        """Wait until each of these reaches what is expected and nothing else."""
        seen: dict[str, set[str]] = {}

        def settled() -> bool:
            seen.update({who: self._reached(who) for who in expected})
            # A CNI may let every pod reach its own node, and there the API server is.
            own_node = seen["nobody"] & {"Kubernetes"}
            return seen == {who: names | own_node for who, names in expected.items()}

        try:
            wait_for("the policies to settle", settled, SETTLED_S)
        except TimeoutError:
            differ = {who: sorted(seen[who] ^ names) for who, names in expected.items()}
            raise AssertionError(f"not as expected: {differ}") from None

    def _reached(self, who: str) -> set[str]:
        return reached(self.release, self.places[who], self.targets)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with own_release(tmp_path_factory.mktemp("release")) as release, metadata_service(80, 443):
        crowd = Crowd(release)
        crowd.switch(on=True)
        yield crowd


def test_each_reaches_what_it_needs_and_nothing_else_and_is_done(
    crowd: Crowd, new_id: NewId, request_for: Request
) -> None:
    process_id = new_id()
    crowd.release.publish(request_for(process_id), queue=crowd.release.requests)
    crowd.gather(process_id)
    with listening(crowd.release, crowd.places["gateway"], OTHER_PORT):
        crowd.wait_reached(UNDER_POLICIES)
        # The same connections from the same pods: nothing else is in their way.
        crowd.switch(on=False)
        crowd.wait_reached(WITHOUT)
        crowd.switch(on=True)
        crowd.wait_reached(UNDER_POLICIES)
    end(crowd.release, crowd.places["Job"], JOB_PORT)
    crowd.release.wait_phase(f"video-{process_id}", "Succeeded")
    assert len(crowd.release.rows(process_id)) == 5
