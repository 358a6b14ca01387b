"""Paths, names, versions and ports: each constant and each environment variable, once."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .shell import Failure

KUBERNETES_VERSION = "v1.37.2"
KIND_VERSION = "v0.33.0"
KIND_NODE_IMAGE = (  # that version's default
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
HELM_VERSION = "v4.3.1"
CONTAINERD_VERSION = "v2.4.2"
COREDNS_VERSION = "v1.14.6"  # these three: what `kubeadm config images list` prints
ETCD_IMAGE_TAG = "3.7.0-0"  # the program itself is pinned in node/etcd/go.mod
PAUSE_IMAGE_TAG = "3.10.2"
KUBE_ROUTER_VERSION = "v2.1.0"
GO_VERSION = "1.26.6"  # fetched only where no Go as new as GO_MINIMUM is installed
GO_MINIMUM = (1, 26, 6)  # what containerd asks for

STACK_PASSWORD = "m0-dev-password"  # the dev stack's only one, on 127.0.0.1 only


@dataclass(frozen=True)
class Port:
    """One NodePort of the dev stack and where it should appear on 127.0.0.1."""

    name: str
    node: int
    preferred: int


PORTS = (
    Port("amqp", 30672, 5673),
    Port("s3", 30833, 8334),
    Port("azure", 30100, 10010),
    Port("graphql", 30400, 8400),
    Port("postgres", 30432, 5433),
    Port("gateway", 30900, 9000),
    Port("rabbitmq", 30156, 15673),
)


@dataclass(frozen=True)
class Settings:
    """Where things are and what they are called; built once, at the start."""

    repo: Path
    cache: Path
    cluster: str
    namespace: str
    registry: bool | None
    """Whether an image registry can be reached; `None`: find out."""
    debian_mirror: str | None
    """A mirror for the Debian images; `None`: mmdebstrap's own default."""

    @property
    def state(self) -> Path:
        """Per checkout: kubeconfig, dev.env, bin/, logs."""
        return self.repo / ".m0"

    @property
    def logs(self) -> Path:
        """One log file per long step."""
        return self.state / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The only kubeconfig this program reads or writes."""
        return self.state / "kubeconfig"

    @property
    def dev_env(self) -> Path:
        """Addresses and credentials of the running dev stack."""
        return self.state / "dev.env"

    @property
    def bin(self) -> Path:
        """The tools that go with this cluster: kubectl, helm, kind, docker."""
        return self.state / "bin"

    @property
    def cached(self) -> list[Path]:
        """All that this program keeps in the cache directory."""
        names = ("clusters", "debian", "docker", "engine", "go", "registry", "tools", "lock")
        return [self.cache / name for name in names]

    @property
    def node_dir(self) -> Path:
        """Sources of the node image."""
        return self.repo / "hack" / "cluster" / "node"

    @property
    def node(self) -> str:
        """Return kind's name for the container that is the cluster's only node."""
        return f"{self.cluster}-control-plane"


def load() -> Settings:
    """Read the environment.

    Raises:
        Failure: `M0_REGISTRY` or `M0_CLUSTER` makes no sense.
    """
    env = os.environ
    base = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    answers = {"": None, "yes": True, "no": False}
    registry = env.get("M0_REGISTRY", "").lower()
    if registry not in answers:
        raise Failure(f"M0_REGISTRY={registry}", hint="set it to yes or no, or leave it unset")
    cluster = env.get("M0_CLUSTER") or "m0-dev"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,49}", cluster):
        raise Failure(f"M0_CLUSTER={cluster}", hint="use lower-case letters, digits, '.' and '-'")
    return Settings(
        repo=Path(__file__).resolve().parents[3],
        cache=Path(env.get("M0_CACHE_DIR") or base / "m0").resolve(),
        cluster=cluster,
        namespace=env.get("M0_NAMESPACE") or "m0",
        registry=answers[registry],
        debian_mirror=env.get("M0_DEBIAN_MIRROR") or None,
    )
