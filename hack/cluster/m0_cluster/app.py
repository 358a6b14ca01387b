"""The commands, each a list of steps; run as `python3 hack/cluster <command>`."""

import argparse
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from . import (
    charts,
    cluster,
    engine,
    images,
    monitoring,
    node,
    registry,
    report,
    settings,
    system,
    tools,
)
from .cluster import Record, Tools
from .engine import Engine
from .images import Image
from .settings import KIND_NODE_IMAGE, Settings
from .shell import Failure, Job, meanwhile, note, run, step, tail


def main(argv: list[str]) -> int:
    """Run one command; return the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 hack/cluster",
        description="A local Kubernetes with M0 in it.",
        epilog="\n".join(f"  {name:<8} {command.__doc__}" for name, command in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="one of those below")
    command = COMMANDS[parser.parse_args(argv).command]
    try:
        here = settings.load()
        if command in UNLOCKED:
            return command(here)
        with _alone(here):
            return command(here)
    except Failure as failure:
        _print_failure(failure)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return 130


def up(here: Settings) -> int:
    """Bring everything up: engine, cluster, images, charts, dev.env."""
    started = time.monotonic()
    docker, pulls = _engine(here)
    # building them waits for the network most of the time, building the node for the processor
    with meanwhile("images", lambda: _beside(here, docker, pulls=pulls)) as built_images:
        chosen, known = _cluster(here, docker, pulls=pulls)
        with step("M0's images", "5 s; the first time up to 5 min"):
            built = built_images()
    with step("loading them into the node", "1 s, 30 s when they changed"):
        images.load(here, docker, list(built.values()))
    with step("charts", "2 min the first time, 3 s when nothing changed"):
        charts.ensure_namespace(here, chosen)
        for release in charts.releases(here, built):
            charts.install(here, chosen, release)
        charts.wait(here, docker, chosen)
    report.write_dev_env(here, known.ports)
    print(f"M0 is up after {time.monotonic() - started:.0f} s. Next: source {here.dev_env}")
    print(f"kubectl, helm, kind and docker for it are in {here.bin}")
    return 0


def cluster_only(here: Settings) -> int:
    """Bring up only the engine, the tools and an empty cluster."""
    docker, pulls = _engine(here)
    _, known = _cluster(here, docker, pulls=pulls)
    report.write_dev_env(here, known.ports)
    return 0


def images_only(here: Settings) -> int:
    """Build M0's images and load them into the running cluster."""
    docker = engine.ensure(here)
    if not cluster.owned(here, docker):
        raise Failure(f"there is no cluster {here.cluster}", hint="run `cluster` or `up` first")
    with step("M0's images", "10 s; the first time 5 min"):
        built = images.build(here, docker, images.base(here, docker))
    with step("loading them into the node", "1 s, 30 s when they changed"):
        images.load(here, docker, list(built.values()))
    return 0


def tools_only(here: Settings) -> int:
    """Put helm, kubectl and promtool into .m0/bin; needs no engine."""
    monitoring.publish(here)
    if not tools.are_published(here):
        with _alone(here), step("helm and kubectl", "4 min to build"):
            tools.publish_without_engine(here)
    return 0


def running(here: Settings) -> int:
    """Tell whether the cluster is up with M0 in it (exit 0) or not (exit 1)."""
    docker = engine.find(here)
    up_now = docker is not None and report.has_m0(here, docker)
    print(f"M0 is {'' if up_now else 'not '}up in cluster {here.cluster}")
    return 0 if up_now else 1


def down(here: Settings) -> int:
    """Delete the cluster and stop the engine that we started; keep the caches."""
    _delete(here)
    if others := cluster.recorded(here):
        note(f"the engine goes on for {', '.join(others)}")
    elif engine.stop(here):
        note("our Docker engine stopped")
    return 0


def _delete(here: Settings) -> None:
    docker = engine.find(here)
    if cluster.record(here):  # stopped containers keep their place: to delete them takes an engine
        docker = docker or engine.ensure(here)
    if not docker or not cluster.owned(here, docker):
        cluster.forget(here)
        note(f"there is no cluster {here.cluster}")
        return
    with step("down", "10 s"):
        found = tools.ensure(here, use_installed=registry.reachable(here, docker))
        cluster.delete(here, docker, found)
        note(f"cluster {here.cluster} deleted")


def clean(here: Settings) -> int:
    """Take everything away: clusters, engine, images, .venv, .m0, caches."""
    for name in cluster.recorded(here):
        _delete(replace(here, cluster=name))
    if (docker := engine.find(here)) and not docker.host:
        images.forget_all(docker)
    down(here)
    with step("removing what was made", "10 s"):
        for path in [*here.cached, here.repo / ".venv", here.state]:
            system.remove(path)
    with suppress(OSError):
        here.cache.rmdir()  # unless something else is in it
    print(f"removed {here.cache}, {here.state} and .venv")
    return 0


def status(here: Settings) -> int:
    """Show docker, cluster, endpoints, releases, pods and vcj resources."""
    return 0 if report.status(here, _chosen(here)) else 1


def logs(here: Settings) -> int:
    """Show the end of the operator's, the gateway's and the last Jobs' logs."""
    report.logs(here, _chosen(here))
    return 0


def env(here: Settings) -> int:
    """Show dev.env: addresses and credentials of the dev stack."""
    report.print_env(here)
    return 0


COMMANDS: dict[str, Callable[[Settings], int]] = {
    "up": up,
    "cluster": cluster_only,
    "images": images_only,
    "down": down,
    "status": status,
    "logs": logs,
    "clean": clean,
    "env": env,
    "tools": tools_only,
    "running": running,
}
# these change nothing that another of these programs could be changing
UNLOCKED = (status, logs, env, running, tools_only)


def _engine(here: Settings) -> tuple[Engine, bool]:
    with step("Docker engine", "1 s, 5 s to start"):
        docker = engine.ensure(here)
        return docker, registry.reachable(here, docker)


def _cluster(here: Settings, docker: Engine, *, pulls: bool) -> tuple[Tools, Record]:
    with step("kind and helm", "1 s, 2 min to build"):
        chosen = tools.ensure(here, use_installed=pulls)
    with step("node image", "1 s; the first time 3 min, 10 to 20 min without a registry"):
        image = _node_image(here, docker, pulls=pulls)
        tools.ensure_kubectl(docker, chosen, image)
        tools.publish(here, docker, chosen)
        monitoring.publish(here)
    with step(f"cluster {here.cluster}", "1 s, 40 s to create"):
        known = cluster.ensure(here, docker, chosen, image)
        note(f"ready; kubeconfig: {here.kubeconfig}")
    return chosen, known


def _node_image(here: Settings, docker: Engine, *, pulls: bool) -> str:
    if not pulls:
        return node.build(here, docker)
    if not docker.has_image(KIND_NODE_IMAGE):
        hint = "M0_REGISTRY=no builds the image here instead (10 to 20 min)"
        job = Job(here.logs / "pull.log", env=docker.env, hint=hint, downloads=True)
        run("docker pull", docker.argv("pull", KIND_NODE_IMAGE), job)
    return KIND_NODE_IMAGE


def _beside(here: Settings, docker: Engine, *, pulls: bool) -> dict[str, Image]:
    """Do what needs neither Go nor the cluster; return M0's images."""
    if not pulls and not docker.has_image(node.image_name(here)):
        node.base(here, docker)  # first: the node's builder will soon be waiting for it
    return images.build(here, docker, images.base(here, docker))


def _chosen(here: Settings) -> Tools:
    """Return the tools of the last `up`, building nothing."""
    if not (here.bin / "kubectl").exists():
        raise Failure("nothing is up", hint="run `up` first")
    return Tools(*(str(here.bin / name) for name in ("kind", "helm", "kubectl")))


@contextmanager
def _alone(here: Settings) -> Iterator[None]:
    """Keep two of these programs from working on the same cache at once."""
    here.cache.mkdir(parents=True, exist_ok=True)
    with (here.cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            note("another hack/cluster is at work: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _print_failure(failure: Failure) -> None:
    print(f"\nFAILED: {failure.what}", file=sys.stderr)
    if failure.log:
        for line in tail(failure.log):
            print(f"  | {line}", file=sys.stderr)
        print(f"log: {failure.log}", file=sys.stderr)
    if failure.hint:
        print(f"what to do: {failure.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
