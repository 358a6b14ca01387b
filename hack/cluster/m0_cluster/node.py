"""The kind node image, built from Go modules and Debian packages where no registry has one.

The image's name carries a hash of everything that goes into it: it is built once per change.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import debian, gotools, system
from . import settings as s
from .engine import Engine
from .settings import Settings
from .shell import Job, note, run

_PACKAGES = (  # noqa: SIM905
    "systemd conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2 pigz "
    "e2fsprogs bash ca-certificates curl jq procps socat ipset runc containernetworking-plugins"
).split()
# systemd of later Debians refuses cgroup v1.
_SUITE = "bookworm"

_REGISTRY = "registry.k8s.io"
_PAUSE_IMAGE = f"{_REGISTRY}/pause:{s.PAUSE_IMAGE_TAG}"
_KUBE_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")

_TOOLS = (
    gotools.PAUSE,
    gotools.KIND,
    gotools.ETCD,
    gotools.CONTAINERD,
    gotools.COREDNS,
    gotools.KUBE_ROUTER,
)

# what we call an image in the engine -> the names that kubeadm will ask the node for
_NAMES = {
    "m0-node-control-plane": [f"{_REGISTRY}/{name}:{s.KUBERNETES_VERSION}" for name in _KUBE_PODS],
    "m0-node-etcd": [f"{_REGISTRY}/etcd:{s.ETCD_IMAGE_TAG}"],
    "m0-node-coredns": [f"{_REGISTRY}/coredns/coredns:{s.COREDNS_VERSION}"],
    "m0-node-pause": [_PAUSE_IMAGE],
    "m0-node-kube-router": [],  # default-cni.yaml calls it by our name
}

_IMPORT = """\
set -euo pipefail
containerd &
pid=$!
until ctr version >/dev/null 2>&1; do kill -0 $pid; sleep 0.2; done
ctr -n k8s.io images import --no-unpack --all-platforms --digests /tmp/images.tar
{tags}
kill $pid && wait $pid || true
rm -rf /run/containerd
"""


def image_name(settings: Settings) -> str:
    """Return the name of the node image for these sources on this machine."""
    digest = hashlib.sha256()
    for path in [*sorted(settings.node_dir.rglob("*")), Path(__file__)]:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    parts = [s.KIND_VERSION, s.CONTAINERD_VERSION, s.COREDNS_VERSION, s.KUBERNETES_VERSION]
    parts.append(s.KUBE_ROUTER_VERSION)
    digest.update(" ".join([*parts, *system.missing_capabilities()]).encode())
    return f"m0-node:{s.KUBERNETES_VERSION}-{digest.hexdigest()[:12]}"


def build(settings: Settings, engine: Engine) -> str:
    """Return the name of the node image, building it and all that it needs if need be.

    Raises:
        Failure: something does not build.
    """
    name = image_name(settings)
    if engine.has_image(name):
        return name
    built = {tool.name: gotools.build(settings, tool) for tool in _TOOLS}
    node_base = base(settings, engine)
    built["kube"] = gotools.build(settings, gotools.KUBE)
    settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache, prefix=".node-") as scratch:
        note("putting the node image together (usually 60 s)")
        _assemble(settings, engine, node_base, built, Path(scratch))
        context = Path(scratch) / "node"
        _docker_build(settings, engine, "Dockerfile", node_base, name=name, context=context)
    return name


def base(settings: Settings, engine: Engine) -> str:
    """Return the Debian that the node image is built from, making it if need be.

    Raises:
        Failure: it can't be made.
    """
    return debian.image(settings, engine, _SUITE, _PACKAGES)


def _assemble(
    settings: Settings, engine: Engine, base: str, built: dict[str, Path], scratch: Path
) -> None:
    pods, node = scratch / "pods", scratch / "node"
    (node / "bin").mkdir(parents=True)
    (pods / "kube").mkdir(parents=True)
    _link(built["kube"] / "kube", pods / "kube" / "kube")
    for name in _KUBE_PODS:
        (pods / "kube" / name).symlink_to("kube")
    for name in ("etcd", "coredns", "pause", "kube-router"):
        _link(built[name] / name, pods / name)
    for image in _NAMES:
        part = image.removeprefix("m0-node-")
        _docker_build(settings, engine, f"{part}.Dockerfile", base, name=image, context=pods)
    job = Job(settings.logs / "node-save.log", env=engine.env)
    run("docker save", engine.argv("save", "-o", node / "images.tar", *_NAMES), job)

    _link(built["kube"] / "kube", node / "bin" / "kube")
    for program in built["containerd"].iterdir():
        _link(program, node / "bin" / program.name)
    module = gotools.module_dir(settings, f"sigs.k8s.io/kind@{s.KIND_VERSION}")
    _copy_writable(module / "images" / "base" / "files", node / "kind")
    for file in ("10-ptp.conflist", "default-cni.yaml"):
        shutil.copy(settings.node_dir / file, node)
    tags = [
        f"ctr -n k8s.io images tag docker.io/library/{image}:latest {name}"
        f" && ctr -n k8s.io images label {name} io.cri-containerd.pinned=pinned"
        for image, names in _NAMES.items()
        for name in names
    ]
    (node / "import.sh").write_text(_IMPORT.format(tags="\n".join(tags)))


def _docker_build(
    settings: Settings, engine: Engine, dockerfile: str, base: str, *, name: str, context: Path
) -> None:
    arguments = {
        "BASE": base,
        "KUBERNETES_VERSION": s.KUBERNETES_VERSION,
        "PAUSE_IMAGE": _PAUSE_IMAGE,
        "BOUNDED": " ".join(system.missing_capabilities()),
    }
    argv = engine.argv("build", "-f", settings.node_dir / dockerfile, "-t", name)
    for key, value in arguments.items():
        argv += ["--build-arg", f"{key}={value}"]
    log = settings.logs / f"node-{dockerfile}.log"
    run(f"docker build {name}", [*argv, str(context)], Job(log, env=engine.env))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)


def _copy_writable(source: Path, target: Path) -> None:
    """Copy out of the module cache, which is read-only."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
