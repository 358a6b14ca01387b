"""kind, helm and kubectl: which ones, and `.m0/bin`, where everyone else finds them.

helm and kubectl: the user's where they are new enough, else ours. kind: the user's only where
there is a registry, since it must fit the node image, which is our own build where there is none.
"""

import shlex
from pathlib import Path

from . import gotools
from .cluster import Tools
from .engine import WRAPPER_HEAD, Engine
from .settings import Settings
from .shell import Failure, note, works

KUBECTL_IN_NODE = "/usr/bin/kubectl"


def ensure(settings: Settings, *, use_installed: bool) -> Tools:
    """Return kind, helm and where kubectl is or will be, building what is missing.

    Raises:
        Failure: one of them does not build.
    """
    kind = gotools.installed("kind", ["version"], (0, 32)) if use_installed else None
    return Tools(
        kind=kind or str(gotools.build(settings, gotools.KIND) / "kind"),
        helm=_find_helm(settings) or str(gotools.build(settings, gotools.HELM) / "helm"),
        kubectl=_find_kubectl(settings) or str(_own_kubectl(settings)),
    )


def are_published(settings: Settings) -> bool:
    """Put helm and kubectl into `.m0/bin` if that takes no building; tell whether it did not."""
    helm, kubectl = _find_helm(settings), _find_kubectl(settings)
    if not helm or not kubectl:
        return False
    _link(settings, helm=helm, kubectl=kubectl)
    return True


def publish_without_engine(settings: Settings) -> None:
    """Put helm and kubectl into `.m0/bin`, building them if need be; no engine is asked.

    Raises:
        Failure: one of them does not build.
    """
    helm = _find_helm(settings) or str(gotools.build(settings, gotools.HELM) / "helm")
    kubectl = _find_kubectl(settings)
    _link(
        settings,
        helm=helm,
        kubectl=kubectl or str(gotools.build(settings, gotools.KUBECTL) / "kubectl"),
    )


def _find_helm(settings: Settings) -> str | None:
    own = gotools.folder(settings, gotools.HELM) / "helm"
    return str(own) if own.exists() else gotools.installed("helm", ["version", "--short"], (4, 0))


def _find_kubectl(settings: Settings) -> str | None:
    own = _own_kubectl(settings)
    if own.exists():
        return str(own)
    return gotools.installed("kubectl", ["version", "--client"], (1, 34))


def _own_kubectl(settings: Settings) -> Path:
    return gotools.folder(settings, gotools.KUBECTL) / "kubectl"


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
    _link(settings, kind=tools.kind, helm=tools.helm, kubectl=tools.kubectl)
    exports = "export DOCKER_BUILDKIT=1\n"
    if engine.host:
        exports += f"export DOCKER_HOST={shlex.quote(engine.host)}\nunset DOCKER_CONTEXT\n"
    wrapper = settings.bin / "docker"
    wrapper.write_text(f'{WRAPPER_HEAD}{exports}exec {shlex.quote(engine.cli)} "$@"\n')
    wrapper.chmod(0o755)


def _link(settings: Settings, **programs: str) -> None:
    settings.bin.mkdir(parents=True, exist_ok=True)
    for name, program in programs.items():
        link, new = settings.bin / name, settings.bin / f".{name}"
        new.unlink(missing_ok=True)
        new.symlink_to(program)
        new.rename(link)  # at once: others may be using it
