"""The kind cluster: one node, created by us, recognised by its container's id.

`ensure` puts it in working order from any state: absent, stopped, half created, dead inside.
A cluster of the same name that we did not create is never touched.
"""

import json
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import system
from .engine import Engine
from .settings import KIND_NODE_IMAGE, PORTS, Port, Settings
from .shell import HEARTBEAT_S, Failure, Job, note, output, run, works

API_TIMEOUT_S = {"wait": 45, "start": 90, "restart": 90}  # after doing what
PODS_TIMEOUT_S = 300
POLL_S = 0.5


@dataclass(frozen=True)
class Record:
    """What we created; kept in the cache, so that it outlives the checkout's .m0."""

    container: str
    """The node's container id; empty while it is being created."""
    ports: dict[str, int]
    image: str


@dataclass(frozen=True)
class Tools:
    """The programs that go with a cluster."""

    kind: str
    helm: str
    kubectl: str


def _record_path(settings: Settings) -> Path:
    return settings.cache / "clusters" / f"{settings.cluster}.json"


def record(settings: Settings) -> Record | None:
    """Return what we know of our cluster, `None` if we created none."""
    try:
        return Record(**json.loads(_record_path(settings).read_text()))
    except FileNotFoundError:
        return None


def recorded(settings: Settings) -> list[str]:
    """Name every cluster that this program created and has not deleted."""
    return sorted(path.stem for path in _record_path(settings).parent.glob("*.json"))


def _remember(settings: Settings, known: Record) -> None:
    path = _record_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(known)))
    partial.rename(path)


def ensure(settings: Settings, engine: Engine, tools: Tools, image: str) -> Record:
    """Return a cluster whose API answers and whose node is ready.

    Args:
        settings: where and how it is called.
        engine: the engine it runs in.
        tools: kind and kubectl.
        image: the node image.

    Raises:
        Failure: a cluster of this name is not ours, or it can't be created.
    """
    known = owned(settings, engine)
    if known and known.ports.keys() != {port.name for port in PORTS}:
        note("it was created for other ports, by another version of this: creating it anew")
    elif known and known.image != image:
        note("the node image has changed since: creating it anew")
    elif known and known.container:
        _write_kubeconfig(settings, engine, tools)
        if is_ready(settings, engine, tools) or _revive(settings, engine, tools):
            return known
        note("it can't be revived: creating it anew")
    if known:
        _kind_delete(settings, engine, tools)
    return _create(settings, engine, tools, image)


def owned(settings: Settings, engine: Engine) -> Record | None:
    """Return the record of our cluster if its node exists (running or not).

    Raises:
        Failure: there is a cluster of this name that we did not create.
    """
    found = engine.ask("ps", "-aq", "--no-trunc", "--filter", f"name=^/?{settings.node}$")
    if not found:
        return None
    known = record(settings)
    if known and known.container in ("", found):
        return known
    raise Failure(
        f"the engine holds a kind cluster {settings.cluster} that this program did not create",
        hint="choose another name with M0_CLUSTER, or delete it yourself with kind",
    )


def is_ready(settings: Settings, engine: Engine, tools: Tools) -> bool:
    """Tell whether the API answers and the node has said that it is ready since it last started.

    Without the second half a node that has just been revived would pass for ready because the
    API server still remembers what it said before it died.
    """
    argv = kubectl(settings, tools, "get", "node", settings.node, "--request-timeout=5s")
    try:
        conditions = json.loads(output([*argv, "-o", "json"], timeout_s=10))["status"]["conditions"]
        started = _started(settings, engine)
    except Failure:
        return False
    ready = next((found for found in conditions if found["type"] == "Ready"), None)
    return bool(ready and ready["status"] == "True" and ready["lastHeartbeatTime"] >= started)


def _started(settings: Settings, engine: Engine) -> str:
    """Return when the node last started, as Kubernetes writes times."""
    text = engine.ask("inspect", "-f", "{{.State.StartedAt}}", settings.node)
    return text.partition(".")[0].rstrip("Z") + "Z"


def wait_pods(settings: Settings, engine: Engine, tools: Tools, namespace: str) -> None:
    """Wait until a namespace's pods, those of Jobs aside, are ready since the node last started.

    Raises:
        Failure: some are not in time.
    """
    started = _started(settings, engine)
    begun, said = time.monotonic(), False
    while True:
        late = late_pods(settings, tools, namespace, started)
        if not late:
            return
        waited_s = time.monotonic() - begun
        if waited_s > PODS_TIMEOUT_S:
            raise Failure(f"pods are not ready after {waited_s:.0f} s: {', '.join(late)}")
        if waited_s > HEARTBEAT_S and not said:
            said = True
            note(f"waiting for {', '.join(late)}")
        time.sleep(POLL_S)


def late_pods(settings: Settings, tools: Tools, namespace: str, started: str) -> list[str]:
    """Name the pods, those of Jobs aside, that are not ready since `started`."""
    argv = kubectl(settings, tools, "-n", namespace, "get", "pods", "-o", "json")
    pods = json.loads(output([*argv, "-l", "!batch.kubernetes.io/job-name"]))["items"]
    return [pod["metadata"]["name"] for pod in pods if not _pod_is_ready(pod, started)]


def _pod_is_ready(pod: dict[str, Any], started: str) -> bool:
    """Tell whether a pod is ready; what was said before the node started does not count."""
    status = pod["status"]
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())
    )
    running = [c["state"].get("running") for c in status.get("containerStatuses", ())]
    return ready and all(state and state["startedAt"] >= started for state in running)


def kubectl(settings: Settings, tools: Tools, *args: str | Path) -> list[str]:
    """A kubectl command for our cluster and no other."""
    return [tools.kubectl, f"--kubeconfig={settings.kubeconfig}", *(str(arg) for arg in args)]


def _revive(settings: Settings, engine: Engine, tools: Tools) -> bool:
    running = engine.ask("inspect", "-f", "{{.State.Running}}", settings.node) == "true"
    for action in ("wait" if running else "start", "restart"):
        if action == "wait":
            note("its API does not answer: waiting")
        else:
            note(f"docker {action} {settings.node}")
            argv = engine.argv(action, settings.node)
            if not works(argv, env=engine.env, timeout_s=60):
                return False
            _write_kubeconfig(settings, engine, tools)
        deadline = time.monotonic() + API_TIMEOUT_S[action]
        while time.monotonic() < deadline:
            if is_ready(settings, engine, tools):
                wait_pods(settings, engine, tools, "kube-system")
                return True
            time.sleep(POLL_S)
    return False


def _create(settings: Settings, engine: Engine, tools: Tools, image: str) -> Record:
    ports = {port.name: free_port(port) for port in PORTS}
    _remember(settings, Record("", ports, image))
    settings.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    settings.kubeconfig.unlink(missing_ok=True)
    config = settings.state / "kind.json"
    config.write_text(json.dumps(_config(ports, image), indent=1))
    argv = [tools.kind, "create", "cluster", "--name", settings.cluster, "--config", str(config)]
    argv += ["--kubeconfig", str(settings.kubeconfig), "--wait", "180s", "--retain"]
    hint = f"look into the node with: docker logs {settings.node}; the next `up` starts afresh"
    log = settings.logs / "kind-create.log"
    run("kind create cluster", argv, Job(log, env=_env(engine), hint=hint))
    if not is_ready(settings, engine, tools):
        raise Failure("the cluster was created but its node is not ready", hint=hint, log=log)
    container = engine.ask("inspect", "-f", "{{.Id}}", settings.node)
    known = replace(Record("", ports, image), container=container)
    _remember(settings, known)
    wait_pods(settings, engine, tools, "kube-system")
    return known


def _config(ports: dict[str, int], image: str) -> dict[str, object]:
    node: dict[str, object] = {
        "role": "control-plane",
        "image": image,
        "extraPortMappings": [
            {"containerPort": port.node, "hostPort": ports[port.name], "listenAddress": "127.0.0.1"}
            for port in PORTS
        ],
    }
    config: dict[str, object] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [node],
    }
    if image != KIND_NODE_IMAGE:
        # kube-router writes iptables' filter table as a whole, and with it back what kube-proxy
        # has just changed there; in this mode that has a table of its own
        config["networking"] = {"kubeProxyMode": "nftables"}
    if system.on_cgroup_v1():
        config["kubeadmConfigPatches"] = ["kind: KubeletConfiguration\nfailCgroupV1: false\n"]
    return config


def free_port(port: Port) -> int:
    """Return the preferred host port if nobody listens there, else any free one."""
    for candidate in (port.preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failure("no free port on 127.0.0.1")


def delete(settings: Settings, engine: Engine, tools: Tools) -> None:
    """Delete our cluster, which exists."""
    _kind_delete(settings, engine, tools)
    forget(settings)


def forget(settings: Settings) -> None:
    """Remove what was written down about a cluster that is no more."""
    for path in (_record_path(settings), settings.kubeconfig, settings.dev_env):
        path.unlink(missing_ok=True)


def _kind_delete(settings: Settings, engine: Engine, tools: Tools) -> None:
    argv = [tools.kind, "delete", "cluster", "--name", settings.cluster]
    argv += ["--kubeconfig", str(settings.kubeconfig)]
    run("kind delete cluster", argv, Job(settings.logs / "kind-delete.log", env=_env(engine)))


def _write_kubeconfig(settings: Settings, engine: Engine, tools: Tools) -> None:
    argv = [tools.kind, "get", "kubeconfig", "--name", settings.cluster]
    try:
        text = output(argv, env=_env(engine))
    except Failure:  # the node is stopped; what we have is still right
        return
    settings.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    settings.kubeconfig.touch(mode=0o600)
    settings.kubeconfig.write_text(text)


def _env(engine: Engine) -> dict[str, str]:
    """Return kind's environment: it runs `docker` from PATH, so our choice comes first."""
    env = engine.env
    env["PATH"] = f"{Path(engine.cli).parent}:{env.get('PATH', '')}"
    env["KIND_EXPERIMENTAL_PROVIDER"] = "docker"
    return env
