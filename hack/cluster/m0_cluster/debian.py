"""Debian root file systems as images, made with mmdebstrap where no registry has them."""

import hashlib
import threading
from pathlib import Path

from . import system
from .engine import Engine
from .settings import Settings
from .shell import Job, note, run

# As in Debian's own slim images; dpkg keeps to it for whatever is installed later, too.
_SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
)
_one_at_a_time = threading.Lock()


def image(settings: Settings, engine: Engine, suite: str, packages: list[str]) -> str:
    """Return the name of a minimal Debian image with some packages, making it if need be.

    Raises:
        Failure: it can't be made.
    """
    digest = hashlib.sha256(" ".join([suite, *packages, *_SLIM]).encode()).hexdigest()[:12]
    name = f"m0-debian:{suite}-{digest}"
    with _one_at_a_time:
        if not engine.has_image(name):
            _import(settings, engine, name, suite, packages)
    return name


def _import(settings: Settings, engine: Engine, name: str, suite: str, packages: list[str]) -> None:
    rootfs = settings.cache / "debian" / f"{name.partition(':')[2]}.tar"
    if not rootfs.exists():
        note(f"making a Debian {suite} (usually 35 to 80 s)")
        _bootstrap(settings, rootfs, suite, packages)
    log = settings.logs / f"import-{suite}.log"
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    change = ["--change", f"ENV {path}", "--change", 'CMD ["bash"]']
    run("docker import", engine.argv("import", *change, rootfs, name), Job(log, env=engine.env))


def _bootstrap(settings: Settings, rootfs: Path, suite: str, packages: list[str]) -> None:
    log = settings.logs / f"mmdebstrap-{suite}.log"
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    system.ensure_packages({"mmdebstrap": "mmdebstrap"}, log)
    if not keyring.exists():
        system.ensure_packages({str(keyring): "debian-archive-keyring"}, log)
    rootfs.parent.mkdir(parents=True, exist_ok=True)
    partial = rootfs.with_suffix(".partial")
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    argv += [f"--dpkgopt={option}" for option in _SLIM]
    argv += ['--customize-hook=rm -f "$1"/var/cache/debconf/*-old', "--format=tar"]
    argv += [suite, str(partial)]
    if settings.debian_mirror:
        argv.append(settings.debian_mirror)
    hint = "M0_DEBIAN_MIRROR names another Debian mirror"
    job = Job(log, env=system.path_env(), hint=hint, downloads=True)
    run(f"mmdebstrap {suite}", system.as_root(argv), job)
    partial.rename(rootfs)
