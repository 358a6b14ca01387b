"""The machine: being root, installing Debian packages, processes and mounts by exact identity."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .shell import Failure, Job, note, output, run, works

# dockerd and mmdebstrap live in sbin directories that a user's PATH may lack.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_one_apt = threading.Lock()


def path_env() -> dict[str, str]:
    """Return the environment with the sbin directories at the end of PATH."""
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:{SBIN}"}


def which(name: str) -> str | None:
    """Find a program, in sbin too."""
    return shutil.which(name, path=path_env()["PATH"])


def can_be_root() -> bool:
    """Tell whether commands can run as root without a password."""
    return os.geteuid() == 0 or works(["sudo", "-n", "true"], timeout_s=10)


def as_root(argv: Sequence[str | Path]) -> list[str]:
    """Prefix a command with sudo unless we are root already."""
    words = [str(arg) for arg in argv]
    return words if os.geteuid() == 0 else ["sudo", "-n", *words]


def ensure_packages(programs: dict[str, str], log: Path) -> None:
    """Install the Debian packages whose program is missing.

    Args:
        programs: program name to the package that brings it.
        log: where apt's output goes.

    Raises:
        Failure: something is missing and can't be installed from here.
    """
    with _one_apt:
        packages = sorted({pkg for prog, pkg in programs.items() if not which(prog)})
        if packages:
            _install(packages, log)


def _install(packages: list[str], log: Path) -> None:
    names = " ".join(packages)
    install = f"apt-get install -y --no-install-recommends {names}"
    hint = f"as root, run: {install}"
    if not which("apt-get"):
        raise Failure(f"missing: {names}", hint="install them with your system's tool")
    if not can_be_root():
        raise Failure(f"missing Debian packages: {names}", hint=hint)
    note(f"installing {names}")
    # one job, so that what is tried again starts from fresh lists; another apt is waited for
    script = f"apt-get update && {install} -o DPkg::Lock::Timeout=300"
    argv = as_root(["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script])
    run("apt-get install", argv, Job(log, env=path_env(), hint=hint, downloads=True))


def remove(path: Path) -> None:
    """Remove a file or a directory, as root where it takes root.

    Raises:
        Failure: it is still there.
    """
    try:
        path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError:
        output(as_root(["rm", "-rf", "--one-file-system", path]), timeout_s=600)


def apt_has(package: str) -> bool:
    """Tell whether apt could install a package."""
    try:
        return "Candidate: " in (text := output(["apt-cache", "policy", package])) and (
            "Candidate: (none)" not in text
        )
    except Failure:
        return False


def processes() -> Iterator[tuple[int, str]]:
    """Yield each process's pid and command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), cmdline(int(entry.name))


def cmdline(pid: int) -> str:
    """Return a process's command line, empty when it is gone or a kernel thread."""
    return _read(Path("/proc") / str(pid) / "cmdline").replace("\0", " ")


def cgroups(pid: int) -> str:
    """Return the cgroups a process is in, empty when it is gone."""
    return _read(Path("/proc") / str(pid) / "cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def end(pid: int, ours: Callable[[int], bool], *, grace_s: float) -> None:
    """Stop one process by pid: SIGTERM, `grace_s`, SIGKILL; each only while it is still ours."""
    for name, wait_s in (("TERM", grace_s), ("KILL", 10.0)):
        if wait_s <= 0 or not ours(pid):
            continue
        if os.geteuid() == 0:
            _signal(pid, signal.Signals[f"SIG{name}"])
        else:
            works(as_root(["kill", f"-{name}", str(pid)]))
        deadline = time.monotonic() + wait_s
        while ours(pid) and time.monotonic() < deadline:
            time.sleep(0.1)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def unmount_below(*roots: Path) -> None:
    """Detach every mount below the given directories, the deepest first."""
    lines = _read(Path("/proc/self/mountinfo")).splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    below = [p for p in points if any(Path(p).is_relative_to(root) for root in roots)]
    for point in sorted(below, key=len, reverse=True):
        works(as_root(["umount", "-l", point]))


def missing_capabilities() -> list[str]:
    """Name the capabilities among those we know matter that this machine denies everyone."""
    for line in _read(Path("/proc/self/status")).splitlines():
        if line.startswith("CapBnd:"):
            bounding = int(line.split()[1], 16)
            return [] if bounding >> CAP_SYS_RESOURCE & 1 else ["CAP_SYS_RESOURCE"]
    return []


CAP_SYS_RESOURCE = 24


def on_cgroup_v1() -> bool:
    """Tell whether the kernel's cgroup controllers are mounted the old way."""
    root = Path("/sys/fs/cgroup")
    return root.is_dir() and not (root / "cgroup.controllers").exists()
