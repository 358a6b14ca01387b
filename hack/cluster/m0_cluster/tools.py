"""kind, helm and kubectl: the user's where there is a registry and they are new enough, else ours.

Without a registry the node image is our own build, and so are the tools: nothing on PATH there
can be trusted to fit. `.m0/bin` is where everyone else finds the ones that were chosen.
"""

import shlex
from pathlib import Path

from . import gotools
from .cluster import Tools
from .engine import WRAPPER_HEAD, Engine
from .settings import KUBERNETES_VERSION, Settings
from .shell import Failure, note, works

KUBECTL_IN_NODE = "/usr/bin/kubectl"


def ensure(settings: Settings, *, use_installed: bool) -> Tools:
    """Return kind and helm (and kubectl, if it needs no node), building what is missing.

    Raises:
        Failure: one of them does not build.
    """
    kind = helm = kubectl = None
    if use_installed:
        kind = gotools.installed("kind", ["version"], (0, 32))
        helm = gotools.installed("helm", ["version", "--short"], (4, 0))
        kubectl = gotools.installed("kubectl", ["version", "--client"], (1, 34))
    kube = settings.cache / "tools" / f"kubectl-{KUBERNETES_VERSION}" / "kubectl"
    return Tools(
        kind=kind or str(gotools.build(settings, gotools.KIND) / "kind"),
        helm=helm or str(gotools.build(settings, gotools.HELM) / "helm"),
        kubectl=kubectl or str(kube),
    )


def ensure_kubectl(engine: Engine, tools: Tools, image: str) -> None:
    """Copy kubectl out of the node image if there is no other.

    Raises:
        Failure: it can't be copied.
    """
    target = Path(tools.kubectl)
    if target.exists() and works([target, "version", "--client"], timeout_s=20):
        return
    note("taking kubectl out of the node image")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name("kubectl.partial")
    container = engine.ask("create", image)
    try:
        engine.ask("cp", "-L", f"{container}:{KUBECTL_IN_NODE}", partial)
    finally:
        engine.ask("rm", "-v", container)
    partial.chmod(0o755)
    partial.rename(target)
    if not works([target, "version", "--client"], timeout_s=20):
        raise Failure("the node image's kubectl does not run here", hint="install kubectl yourself")


def publish(settings: Settings, engine: Engine, tools: Tools) -> None:
    """Put the chosen tools into `.m0/bin`; docker as a wrapper that knows which engine."""
    settings.bin.mkdir(parents=True, exist_ok=True)
    for name in ("kind", "helm", "kubectl"):
        link = settings.bin / name
        link.unlink(missing_ok=True)
        link.symlink_to(getattr(tools, name))
    exports = "export DOCKER_BUILDKIT=1\n"
    if engine.host:
        exports += f"export DOCKER_HOST={shlex.quote(engine.host)}\nunset DOCKER_CONTEXT\n"
    wrapper = settings.bin / "docker"
    wrapper.write_text(f'{WRAPPER_HEAD}{exports}exec {shlex.quote(engine.cli)} "$@"\n')
    wrapper.chmod(0o755)
