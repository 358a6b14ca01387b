"""Renders the charts with helm, as an installation would."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
OPERATOR = ROOT / "charts" / "m0-operator"
DEV_STACK = ROOT / "charts" / "m0-dev-stack"
DEV_VALUES = ROOT / "hack" / "cluster" / "values-dev.yaml"
GOLDEN = ROOT / "tests" / "data" / "charts"
HELM = ROOT / ".m0" / "bin" / "helm"  # brought by `python3 hack/cluster tools`, or `up`

Manifest = dict[str, Any]


def run_helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm without a cluster and without the user's own settings."""
    return subprocess.run(
        [HELM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HELM_NO_PLUGINS": "1"},
    )


def render(chart: Path, *arguments: str | Path) -> list[Manifest]:
    """All manifests of a chart, release `m0` in namespace `m0`."""
    result = run_helm("template", "m0", chart, "--namespace", "m0", *arguments)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def find(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one manifest of this kind and name."""
    found = [m for m in manifests if m["kind"] == kind and name in {None, m["metadata"]["name"]}]
    assert len(found) == 1, f"{len(found)} × {kind} {name}"
    return found[0]


def pods(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    """(name, pod spec) of every Deployment, CronJob and Pod."""
    found = []
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if manifest["kind"] == "Pod":
            found.append((manifest["metadata"]["name"], spec))
        if manifest["kind"] in {"Deployment", "CronJob"}:
            found.append((manifest["metadata"]["name"], spec["template"]["spec"]))
    return found
