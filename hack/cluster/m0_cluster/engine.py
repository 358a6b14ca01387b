"""A Docker engine: the user's if it answers, else one of our own, which we alone start and stop.

Our own keeps everything below the cache directory (`docker/` its data, `engine/` the rest), so
it shares nothing with another engine. It is put back on its feet from any state: a stale
pidfile after a reboot, containers whose dockerd was killed, mounts left behind.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import runc_bounded, system
from .settings import Settings
from .shell import Failure, note, output, tail, works

START_TIMEOUT_S = 60
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
WRAPPER_HEAD = "#!/bin/sh\n# written by hack/cluster\n"  # how `.m0/bin/docker` begins
STOP_GRACE_S = 30.0
INTEGRATED_BUILDKIT_BEFORE = 23  # older clients bring BuildKit themselves, newer ones need buildx


@dataclass(frozen=True)
class Engine:
    """A working engine and the client to talk to it with."""

    cli: str
    host: str | None
    """`DOCKER_HOST` of our own engine; `None`: the user's, as the environment says."""
    _environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def env(self) -> dict[str, str]:
        """The environment for docker and for kind."""
        extra = {"DOCKER_BUILDKIT": "1", "DOCKER_CLI_EXPERIMENTAL": "enabled"}
        if self.host:
            extra["DOCKER_HOST"] = self.host
        env = {**self._environ, **extra}
        if self.host:
            env.pop("DOCKER_CONTEXT", None)
        return env

    def argv(self, *args: str | Path) -> list[str]:
        """A docker command."""
        return [self.cli, *(str(arg) for arg in args)]

    def ask(self, *args: str | Path, timeout_s: float = 60) -> str:
        """Run a short docker command and return what it printed."""
        return output(self.argv(*args), env=self.env, timeout_s=timeout_s).strip()

    def has_image(self, name: str) -> bool:
        """Tell whether the engine holds an image."""
        return works(self.argv("image", "inspect", name), env=self.env)


@dataclass(frozen=True)
class Paths:
    """Where our own engine keeps what."""

    data: Path
    home: Path

    @property
    def config(self) -> Path:
        """Its whole configuration; also how its process is recognised."""
        return self.home / "daemon.json"

    @property
    def pidfile(self) -> Path:
        """Dockerd writes its pid here."""
        return self.home / "docker.pid"

    @property
    def socket(self) -> Path:
        """The only place where it listens."""
        return self.home / "docker.sock"

    @property
    def exec_root(self) -> Path:
        """Runtime state of dockerd and its containerd; worth nothing once they are gone."""
        return self.home / "exec"

    @property
    def log(self) -> Path:
        """Output of dockerd and its containerd."""
        return self.home / "dockerd.log"


def paths(settings: Settings) -> Paths:
    """Return where our own engine lives."""
    return Paths(settings.cache / "docker", settings.cache / "engine")


def find(settings: Settings) -> Engine | None:
    """Return the engine that is running now, starting nothing."""
    where = paths(settings)
    for cli in _clients():
        if where.config.exists():
            own = Engine(cli, f"unix://{where.socket}")
            if works(own.argv("version"), env=own.env, timeout_s=10):
                return own
        elif works([cli, "info"], timeout_s=20):
            return Engine(cli, None)
    return None


def ensure(settings: Settings) -> Engine:
    """Return a working engine, starting or repairing our own if the user has none.

    Raises:
        Failure: there is none and none can be started from here.
    """
    where = paths(settings)
    if running := find(settings):
        return running
    if not where.config.exists():
        if not sys.platform.startswith("linux") or not system.which("apt-get"):
            raise Failure("no Docker engine answers", hint="start Docker, then try again")
        if not system.can_be_root():
            raise Failure(
                "no Docker engine answers, and starting one needs root",
                hint="as root, run: apt-get install -y docker.io && "
                f"usermod -aG docker {os.environ.get('USER', 'YOU')}   (then log in again)",
            )
    log = settings.logs / "packages.log"
    wanted = {"dockerd": "docker.io", "iptables": "iptables", "runc": "runc"}
    system.ensure_packages(wanted, log)
    if not _clients():
        missing = "docker-buildx" if system.apt_has("docker-buildx") else "docker.io"
        system.ensure_packages({"docker-client-with-buildkit": missing}, log)
    if running := find(settings):  # installing docker.io starts the system's own where there is one
        return running
    _start(where)
    if running := find(settings):
        note(f"our own engine, data in {where.data}")
        return running
    raise Failure("the Docker engine started but no client can use it", log=where.log)


def _clients() -> list[str]:
    """Docker clients that can build with BuildKit, the first on PATH first."""
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/bin"]
    found = dict.fromkeys(str(Path(f) / "docker") for f in folders if f)
    return [cli for cli in found if os.access(cli, os.X_OK) and _is_client(Path(cli))]


def _is_client(cli: Path) -> bool:
    """Tell whether this is a docker that has BuildKit, and not a wrapper that we wrote."""
    with cli.open("rb") as file:
        if WRAPPER_HEAD.encode() in file.read(len(WRAPPER_HEAD)):
            return False
    return _has_buildkit(str(cli))


def _has_buildkit(cli: str) -> bool:
    try:
        version = output([cli, "--version"], timeout_s=10)
    except Failure:
        return False
    major = re.search(r"version (\d+)\.", version)
    if major and int(major[1]) < INTEGRATED_BUILDKIT_BEFORE:
        return True
    return works([cli, "buildx", "version"], timeout_s=10)


def _pid(where: Paths) -> int | None:
    """Return the pid of our dockerd if it is alive, whatever a pidfile says."""
    for pid, line in system.processes():
        words = line.split(" ")
        if words[0].rpartition("/")[2] == "dockerd" and str(where.config) in words:
            return pid
    return None


def _start(where: Paths) -> None:
    if pid := _pid(where):
        note(f"our dockerd (pid {pid}) does not answer: stopping it")
        system.end(pid, lambda _: _pid(where) is not None, grace_s=STOP_GRACE_S)
    _sweep(where)
    where.home.mkdir(parents=True, exist_ok=True)
    where.config.write_text(json.dumps(_config(where), indent=1))
    with where.log.open("wb") as log:
        argv = ["dockerd", "--config-file", str(where.config)]
        starter = subprocess.Popen(
            system.as_root(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=system.path_env(),
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not where.socket.is_socket() or not _answers(where):
        if starter.poll() is not None or time.monotonic() > deadline:
            for line in tail(where.log, 8):
                note(line)
            raise Failure("our own Docker engine does not start", log=where.log)
        time.sleep(0.2)


def _answers(where: Paths) -> bool:
    env = {**os.environ, "DOCKER_HOST": f"unix://{where.socket}"}
    return any(works([cli, "version"], env=env, timeout_s=10) for cli in _clients()[:1])


def _config(where: Paths) -> dict[str, object]:
    config: dict[str, object] = {
        "data-root": str(where.data),
        "exec-root": str(where.exec_root),
        "pidfile": str(where.pidfile),
        "hosts": [f"unix://{where.socket}"],
        "log-level": "warn",
    }
    if os.geteuid():
        config["group"] = str(os.getgid())
    if missing := system.missing_capabilities():
        note(f"this machine lacks {', '.join(missing)}: containers run without")
        shim = where.home / "runc-bounded"
        source = Path(runc_bounded.__file__).read_text()
        shim.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{source}")
        shim.chmod(0o755)
        config["runtimes"] = {"bounded": {"path": str(shim)}}
        config["default-runtime"] = "bounded"
    return config


def _sweep(where: Paths) -> None:
    """Remove what a dockerd that is gone left behind: processes, mounts, runtime state."""
    mine = str(where.exec_root)
    runtimes = {
        pid: line.split(" ")
        for pid, line in system.processes()
        if mine in line and line.split(" ", 1)[0].rpartition("/")[2].startswith("containerd")
    }
    # which containers were ours: as dockerd wrote it down, and as their shims say
    ids = [word for words in runtimes.values() for word in words if CONTAINER_ID.fullmatch(word)]
    with suppress(Failure):  # there may be no container yet
        ids += output(system.as_root(["ls", where.data / "containers"])).split()

    def left_over(pid: int) -> bool:
        if words := runtimes.get(pid):
            return system.cmdline(pid).split(" ") == words
        groups = system.cgroups(pid)
        return any(name in groups for name in ids)

    for pid, _ in list(system.processes()):
        if left_over(pid):
            system.end(pid, left_over, grace_s=0)
    system.unmount_below(where.exec_root, where.data)
    output(system.as_root(["rm", "-rf", where.exec_root, where.pidfile, where.socket]))


def stop(settings: Settings) -> bool:
    """Stop our own engine if it runs; never anybody else's."""
    where = paths(settings)
    pid = _pid(where)
    if pid:
        system.end(pid, lambda _: _pid(where) is not None, grace_s=STOP_GRACE_S)
    _sweep(where)
    return pid is not None
