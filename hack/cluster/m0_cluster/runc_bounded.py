"""An OCI runtime: runc, for a machine where even root lacks some capabilities.

`docker run --privileged` asks for every capability, and runc fails where the bounding set
lacks one. This takes the missing ones out of what runc is asked for, then becomes runc.
`engine` copies it, executable, to where only our own dockerd finds it.
"""

import json
import os
import sys
from pathlib import Path

NAMES = (  # noqa: SIM905
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def allowed() -> set[str]:
    """Name the capabilities in this process's bounding set."""
    status = Path("/proc/self/status").read_text()
    bits = int(status.split("CapBnd:")[1].split()[0], 16)
    return {f"CAP_{name}" for bit, name in enumerate(NAMES) if bits >> bit & 1}


def bound(path: Path, *, bundle: bool) -> None:
    """Rewrite the capability sets of a bundle's config, or of one exec's process."""
    spec = json.loads(path.read_text())
    process = spec.get("process", {}) if bundle else spec
    keep = allowed()
    for name, wanted in process.get("capabilities", {}).items():
        process["capabilities"][name] = [cap for cap in wanted if cap in keep]
    path.write_text(json.dumps(spec))


if __name__ == "__main__":
    for flag, value in zip(sys.argv, sys.argv[1:], strict=False):
        if flag in ("--bundle", "-b"):
            bound(Path(value) / "config.json", bundle=True)
        elif flag in ("--process", "-p"):
            bound(Path(value), bundle=False)
    os.execvp("runc", ["runc", *sys.argv[1:]])
