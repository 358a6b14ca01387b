"""Prometheus and promtool for the tests, in `.m0/bin`: the system's, or Debian's taken apart.

Not installed: Debian's package would start a server on the machine of whoever runs the tests.
"""

import shutil
from pathlib import Path

from . import system
from .settings import Settings
from .shell import Failure, Job, note, run

PROGRAMS = ("prometheus", "promtool")


def publish(settings: Settings) -> None:
    """Put both into `.m0/bin`.

    Raises:
        Failure: they are missing and can't be had from here.
    """
    settings.bin.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        link = settings.bin / name
        if link.exists():
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(system.which(name) or _take(settings) / name)


def _take(settings: Settings) -> Path:
    """The folder of Debian's programs, fetched and unpacked if need be."""
    folder = settings.cache / "prometheus"
    found = folder / "usr" / "bin"
    if all((found / name).exists() for name in PROGRAMS):
        return found
    if not system.which("apt-get") or not system.which("dpkg-deb"):
        raise Failure("missing: prometheus, promtool", hint="install Prometheus with your system")
    note("fetching Debian's prometheus (usually 10 s)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = settings.logs / "prometheus.log"
    # its lists may be old or missing; who may not renew them tries with what there is
    renew = " ".join(system.as_root(["apt-get", "update"]))
    get = "apt-get download prometheus"
    script = f"cd {folder} && {{ {get} || {{ {renew}; {get}; }}; }}"
    run("apt-get download prometheus", ["sh", "-c", script], Job(log, downloads=True))
    (package,) = folder.glob("prometheus_*.deb")
    run("unpacking it", ["dpkg-deb", "-x", package, folder], Job(log))
    package.unlink()
    return found
