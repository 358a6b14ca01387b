"""Films to cut, made once a session, and a way to cut them as a person at a terminal does."""

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import films
import pytest
from children import hold_back

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def make_film(tmp_path_factory: pytest.TempPathFactory):
    """`make_film("name.mp4", seconds=…)` → path; a film is made only once."""
    directory = tmp_path_factory.mktemp("films")

    def make(name: str, **features: Any) -> Path:
        film = films.Film(**features)
        path = directory / f"{zlib.crc32(repr(film).encode()):08x}" / name
        path.parent.mkdir(exist_ok=True)
        return path if path.exists() else films.make_film(path, film)

    return make


@dataclass
class Run:
    """How a run of `m0-chunker` ended."""

    code: int
    messages: list[dict]
    outcome: dict
    stderr: str
    directory: Path
    scratch: list[str] = field(default_factory=list)

    def chunk(self, number: int) -> Path:
        return self.directory / "out" / f"chunk_{number:03d}.mp4"

    @property
    def chunks(self) -> list[Path]:
        return sorted((self.directory / "out").glob("*.mp4"))


def environment(directory: Path, **more: str) -> dict[str, str]:
    """What the chunker needs, and nothing of the tester's own deployment."""
    keep = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("M0_", "AWS_", "AZURE_"))
    }
    path = os.pathsep.join(str(ROOT / name) for name in ("contract", "wire", "chunker-job"))
    scratch = directory / "scratch"
    scratch.mkdir(exist_ok=True)
    return keep | {
        "PYTHONPATH": path,
        "M0_SCRATCH_DIR": str(scratch),
        "M0_TERMINATION_LOG": str(directory / "termination-log"),
        **more,
    }


def build_request(film: Path | str, directory: Path, duration: float, **preprocessing) -> dict:
    """A request from `film` into `directory`/out and `directory`/cache."""
    return {
        "process_id": 101,
        "inference_modality": "batch",
        "cloud_stream_path": film if isinstance(film, str) else film.as_uri(),
        "destination_prefix": (directory / "out").as_uri(),
        "cache_container_name": (directory / "cache").as_uri(),
        "video_preprocessing": {"chunk_duration": duration, **preprocessing},
        "inference_config": {"model": "any"},
    }


CHUNKER = ("-m", "m0_chunker.cli")


def start(
    film: Path | str,
    directory: Path,
    duration: float,
    env: dict | None,
    preprocessing: dict,
    program: Sequence[str] = CHUNKER,
) -> subprocess.Popen:
    """`m0-chunker --request`, its output piped."""
    request = directory / "request.json"
    request.write_text(json.dumps(build_request(film, directory, duration, **preprocessing)))
    process = subprocess.Popen(
        [sys.executable, *program, "--request", str(request)],
        env=environment(directory, **(env or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    hold_back(process)
    return process


def finish(process: subprocess.Popen, directory: Path) -> Run:
    """Wait for its end."""
    stdout, stderr = process.communicate(timeout=60)
    log = directory / "termination-log"
    return Run(
        process.returncode,
        [json.loads(line) for line in stdout.splitlines()],
        json.loads(log.read_text()) if log.exists() else {},
        stderr,
        directory,
        [entry.name for entry in (directory / "scratch").iterdir()],
    )


@pytest.fixture
def start_chunker(tmp_path: Path):
    """`start_chunker(film, duration, env={…}, fps=…)` → a process, its output piped."""

    def run(film: Path | str, duration: float, env: dict | None = None, **preprocessing):
        return start(film, tmp_path, duration, env, preprocessing)

    return run


@pytest.fixture
def run_chunker(tmp_path: Path):
    """As `start_chunker`, to its end → `Run`."""

    def run(film: Path | str, duration: float, env: dict | None = None, **preprocessing) -> Run:
        return finish(start(film, tmp_path, duration, env, preprocessing), tmp_path)

    return run


@pytest.fixture
def run_instead(tmp_path: Path):
    """As `run_chunker`, of a program of Python that calls `cli.main` in the end."""

    def run(program: str, film: Path | str, duration: float, env: dict | None = None) -> Run:
        return finish(start(film, tmp_path, duration, env, {}, ("-c", program)), tmp_path)

    return run


@pytest.fixture(scope="session")
def start_chunker_in():
    """As `start_chunker`, in a directory of the test's choice, for runs that tests share."""

    def run(
        directory: Path, film: Path, duration: float, env: dict | None = None, **preprocessing
    ) -> subprocess.Popen:
        return start(film, directory, duration, env, preprocessing)

    return run


@dataclass
class Measured(Run):
    """A run and what it took.

    Attributes:
        seconds: from start to end; the limit itself when it had to be killed.
        rss_bytes: the most memory it had at once.
        stdout: chunk messages, as text.
    """

    seconds: float = 0.0
    rss_bytes: int = 0
    stdout: str = ""


def _peak_rss(pid: int) -> int:
    """The most memory so far, bytes; wait4's figure would count the tester's own, before exec."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


@pytest.fixture
def measure_chunker(tmp_path: Path):
    """`measure_chunker(film, duration, limit_s)` → `Measured`; killed at the limit."""

    def measure(film: Path | str, duration: float, limit_s: float) -> Measured:
        request = tmp_path / "request.json"
        request.write_text(json.dumps(build_request(film, tmp_path, duration)))
        texts = [tmp_path / "stdout", tmp_path / "stderr"]
        started = time.monotonic()
        with texts[0].open("wb") as stdout, texts[1].open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "m0_chunker.cli", "--request", str(request)],
                env=environment(tmp_path),
                stdout=stdout,
                stderr=stderr,
            )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak_rss(process.pid))
            if time.monotonic() - started > limit_s:
                process.kill()
                process.wait()
            time.sleep(0.005)
        said = [text.read_text(errors="replace") for text in texts]
        log = tmp_path / "termination-log"
        return Measured(
            process.returncode,
            [json.loads(line) for line in said[0].splitlines()],
            json.loads(log.read_text()) if log.exists() else {},
            said[1],
            tmp_path,
            [entry.name for entry in (tmp_path / "scratch").iterdir()],
            time.monotonic() - started,
            peak,
            said[0],
        )

    return measure
