"""M0's two charts: install or upgrade what changed, repair what an interrupted helm left, wait."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import cluster
from .cluster import Tools
from .engine import Engine
from .images import Image
from .settings import Settings
from .shell import Failure, Job, note, output, run

WAIT = "5m"
HINT = "see the pods' own words with: python3 hack/cluster logs"
DEV_VALUES = "hack/cluster/values-dev.yaml"


@dataclass(frozen=True)
class Release:
    """One chart to install and the values it gets."""

    name: str
    chart: Path
    files: tuple[Path, ...]
    values: Mapping[str, str]

    def digest(self) -> str:
        """Hash everything that decides what helm would render, wherever the checkout is."""
        digest = hashlib.sha256(json.dumps(dict(self.values), sort_keys=True).encode())
        for path in [*sorted(self.chart.rglob("*")), *self.files]:
            if path.is_file():
                name = path.relative_to(self.chart) if path.is_relative_to(self.chart) else "values"
                digest.update(str(name).encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def releases(settings: Settings, images: Mapping[str, Image]) -> list[Release]:
    """List the releases in the order to install them."""
    stack, operator, chunker = (images[n] for n in ("m0-dev-stack", "m0-operator", "m0-chunker"))
    dev_values = settings.repo / DEV_VALUES
    return [
        Release(
            "m0-dev-stack",
            settings.repo / "charts" / "m0-dev-stack",
            (),
            {"image.repository": stack.repository, "image.tag": stack.tag},
        ),
        Release(
            "m0",
            settings.repo / "charts" / "m0-operator",
            (dev_values,) if dev_values.exists() else (),
            {
                "image.repository": operator.repository,
                "image.tag": operator.tag,
                "chunker.image.repository": chunker.repository,
                "chunker.image.tag": chunker.tag,
            },
        ),
    ]


def ensure_namespace(settings: Settings, tools: Tools) -> None:
    """Create the namespace, with the strictest Pod Security level enforced."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": settings.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    argv = cluster.kubectl(settings, tools, "apply", "-f", "-")
    output(argv, stdin=json.dumps(manifest))


def install(settings: Settings, tools: Tools, release: Release) -> None:
    """Install or upgrade one release unless it is what we installed last; wait until it is ready.

    Raises:
        Failure: the chart is missing, or its pods do not become ready.
    """
    if not (release.chart / "Chart.yaml").exists():
        raise Failure(f"{release.chart} holds no chart")
    status, description = _status(settings, tools, release.name)
    is_same = status == "deployed" and description == _describe(release)
    if is_same and _is_whole(settings, tools, release.name):
        note(f"{release.name}: unchanged")
        return
    if status.startswith("pending"):
        _forget_interrupted(settings, tools, release.name)
    argv = [tools.helm, "upgrade", "--install", release.name, str(release.chart)]
    argv += [*_where(settings), "--wait", "--timeout", WAIT]
    # what was applied or edited by hand (a test's CRD, a `kubectl set image`) is helm's again
    argv += ["--take-ownership", "--force-conflicts"]
    # kept in the cluster: another checkout may have installed something else since
    argv += ["--description", _describe(release)]
    for file in release.files:
        argv += ["-f", str(file)]
    for name, value in release.values.items():
        argv += ["--set-string", f"{name}={value}"]
    note(f"{release.name}: helm upgrade --install")

    def progress() -> str:
        try:
            late = cluster.late_pods(settings, tools, settings.namespace, "")
        except Failure as failure:
            return failure.what
        return f"not ready: {', '.join(late) or 'nothing'}"

    log = settings.logs / f"helm-{release.name}.log"
    try:
        run(f"helm {release.name}", argv, Job(log, hint=HINT, progress=progress))
    except Failure:
        _explain(settings, tools)
        raise


def wait(settings: Settings, engine: Engine, tools: Tools) -> None:
    """Wait until what runs is ready: after a reboot nothing has changed, yet it starts.

    Raises:
        Failure: some pods are not ready in time.
    """
    try:
        cluster.wait_pods(settings, engine, tools, settings.namespace)
    except Failure:
        _explain(settings, tools)
        raise


def _where(settings: Settings) -> list[str]:
    return ["--namespace", settings.namespace, f"--kubeconfig={settings.kubeconfig}"]


def _describe(release: Release) -> str:
    return f"hack/cluster {release.digest()}"


def _status(settings: Settings, tools: Tools, name: str) -> tuple[str, str]:
    """Return helm's word for a release's state and our description; empty: no such release."""
    argv = [tools.helm, "status", name, "-o", "json", *_where(settings)]
    try:
        info = json.loads(output(argv))["info"]
    except Failure as failure:
        if "not found" in failure.what:
            return "", ""
        raise
    return str(info["status"]), str(info.get("description", ""))


def _forget_interrupted(settings: Settings, tools: Tools, name: str) -> None:
    note(f"{name}: an earlier helm was interrupted; forgetting its unfinished revision")
    pending = "status in (pending-install,pending-upgrade,pending-rollback)"
    selector = f"owner=helm,name={name},{pending}"
    argv = ["-n", settings.namespace, "delete", "secret", "-l", selector]
    output(cluster.kubectl(settings, tools, *argv))


def _is_whole(settings: Settings, tools: Tools, name: str) -> bool:
    """Tell whether every object of a release still exists."""
    manifest = output([tools.helm, "get", "manifest", name, *_where(settings)])
    get = cluster.kubectl(settings, tools, "-n", settings.namespace, "get", "-o", "name", "-f", "-")
    try:
        output(get, stdin=manifest)
    except Failure:
        return False
    return True


def _explain(settings: Settings, tools: Tools) -> None:
    """Print what a person needs to see why pods are not ready."""
    events = ["get", "events", "--sort-by=.lastTimestamp", "--field-selector=type!=Normal"]
    _show(settings, tools, ["get", "pods"])
    _show(settings, tools, events)
    for pod in cluster.late_pods(settings, tools, settings.namespace, ""):
        _show(settings, tools, ["logs", pod, "--all-containers", "--tail=8"])


def _show(settings: Settings, tools: Tools, question: list[str]) -> None:
    argv = cluster.kubectl(settings, tools, "-n", settings.namespace, *question)
    note(f"--- kubectl {' '.join(question)}")
    try:
        lines = output(argv).splitlines()
    except Failure as failure:
        lines = failure.what.splitlines()
    for line in lines[-12:]:
        note(line[:240])
