"""Debian root file systems as images, made with mmdebstrap where no registry has them."""

import hashlib
from pathlib import Path

from . import system
from .engine import Engine
from .settings import Settings
from .shell import Job, note, run


def image(settings: Settings, engine: Engine, suite: str, packages: list[str]) -> str:
    """Return the name of a minimal Debian image with some packages, making it if need be.

    Raises:
        Failure: it can't be made.
    """
    digest = hashlib.sha256(" ".join([suite, *packages]).encode()).hexdigest()[:12]
    name = f"m0-debian:{suite}-{digest}"
    if engine.has_image(name):
        return name
    rootfs = settings.cache / "debian" / f"{suite}-{digest}.tar"
    if not rootfs.exists():
        note(f"making a Debian {suite} (usually 45 to 80 s)")
        _bootstrap(settings, rootfs, suite, packages)
    log = settings.logs / f"import-{suite}.log"
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    change = ["--change", f"ENV {path}", "--change", 'CMD ["bash"]']
    run("docker import", engine.argv("import", *change, rootfs, name), Job(log, env=engine.env))
    return name


def _bootstrap(settings: Settings, rootfs: Path, suite: str, packages: list[str]) -> None:
    log = settings.logs / f"mmdebstrap-{suite}.log"
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    system.ensure_packages({"mmdebstrap": "mmdebstrap"}, log)
    if not keyring.exists():
        system.ensure_packages({str(keyring): "debian-archive-keyring"}, log)
    rootfs.parent.mkdir(parents=True, exist_ok=True)
    partial = rootfs.with_suffix(".partial")
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    argv += ["--format=tar", suite, str(partial)]
    if settings.debian_mirror:
        argv.append(settings.debian_mirror)
    job = Job(log, env=system.path_env(), hint="M0_DEBIAN_MIRROR names another Debian mirror")
    run(f"mmdebstrap {suite}", system.as_root(argv), job)
    partial.rename(rootfs)
