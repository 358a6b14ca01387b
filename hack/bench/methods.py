"""The ways of cutting a film that are compared, each as the commands it runs."""

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.films import Film
from bench.measure import Cost, run, run_all
from bench.tools import ROOT

Commands = Iterator[list[str]]

PACKAGES = ("contract", "wire", "chunker-job")


@dataclass(frozen=True)
class Method:
    """One way of cutting.

    Attributes:
        name: for the table.
        cut: (film, chunk duration in seconds, empty directory) → what it cost.
        makes_chunks: whether there are files to check afterwards.
        slow: measured once, not in every round.
    """

    name: str
    cut: Callable[[Film, float, Path], Cost]
    makes_chunks: bool = True
    slow: bool = False


def spans(film: Film, duration_s: float) -> Iterator[tuple[int, float]]:
    """(number from 1, start in seconds) of each chunk."""
    for index in range(math.ceil(film.seconds / duration_s)):
        yield index + 1, index * duration_s


@dataclass(frozen=True)
class Ffmpeg:
    """ffmpeg's ways."""

    program: str

    def _quiet(self) -> list[str]:
        return [self.program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]

    def demux(self, film: Film, _duration_s: float, _out: Path) -> Cost:
        """The floor: every packet is read, none is written."""
        return run([*self._quiet(), "-i", str(film.path), "-c", "copy", "-f", "null", "-"])

    def one_by_one(self, film: Film, duration_s: float, out: Path) -> Cost:
        """The usual way: one process a chunk, seeking in the output."""
        return run_all(
            [
                *(*self._quiet(), "-i", str(film.path), "-ss", f"{start}", "-t", f"{duration_s}"),
                *("-c", "copy", str(out / f"chunk_{number:03d}.mp4")),
            ]
            for number, start in spans(film, duration_s)
        )

    def pyscenedetect(self, film: Film, duration_s: float, out: Path) -> Cost:
        """`scenedetect … split-video --copy`.

        Its arguments, from PySceneDetect 0.7.2: `scenedetect/output/video.py`
        (`split_video_ffmpeg`) and `scenedetect/_cli/__init__.py` (`--copy`).
        """
        copy = ["-map", "0:v:0", "-map", "0:a?", "-map", "0:s?", "-c:v", "copy", "-c:a", "copy"]
        return run_all(
            [
                *(self.program, "-v", "quiet", "-nostdin", "-y", "-ss", f"{start}"),
                *("-i", str(film.path), "-t", f"{duration_s}", *copy, "-sn"),
                str(out / f"film-Scene-{number:03d}.mp4"),
            ]
            for number, start in spans(film, duration_s)
        )

    def segment(self, film: Film, duration_s: float, out: Path) -> Cost:
        """The segment muxer as its manual has it."""
        options = ["-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "segment"]
        times = ["-segment_time", f"{duration_s}", "-reset_timestamps", "1"]
        target = str(out / "%05d.mp4")
        return run([*self._quiet(), "-i", str(film.path), *options, *times, target])

    def segment_well(self, film: Film, duration_s: float, out: Path) -> Cost:
        """The segment muxer with the options that keep times and sound right."""
        options = ["-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "segment"]
        times = ["-segment_time", f"{duration_s}", "-reset_timestamps", "1"]
        more = ["-avoid_negative_ts", "disabled"]
        more += ["-segment_list_type", "csv", "-segment_list", "pipe:1"]
        chunk = ["-segment_format_options", "movflags=+faststart:use_editlist=0"]
        command = [*self._quiet(), "-fflags", "+genpts", "-i", str(film.path), *options]
        return run([*command, *times, *more, *chunk, str(out / "%05d.mp4")])


def copy_file(film: Film, _duration_s: float, out: Path) -> Cost:
    """`cp`: what touching the bytes costs."""
    return run(["cp", "--reflink=never", str(film.path), str(out / "copy")])


def chunker_env(scratch: Path, **more: str) -> dict[str, str]:
    """The chunker's environment: this tree's code, nothing of the caller's deployment."""
    foreign = ("M0_", "AWS_", "AZURE_", "PYTHON")
    keep = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = os.pathsep.join(str(ROOT / name) for name in PACKAGES)
    return keep | {"PYTHONPATH": path, "M0_SCRATCH_DIR": str(scratch), "M0_THREADS": "1"} | more


def chunker_command(
    directory: Path, source: str, destination: str, cache: str, **how: float
) -> list[str]:
    """`m0-chunker --request` with a request that is written into `directory`.

    Args:
        directory: for the request.
        source: URL of the film.
        destination: prefix or URL of the chunks.
        cache: container or URL of the cached ones.
        how: the request's `video_preprocessing`.
    """
    document = {
        "process_id": 1,
        "inference_modality": "batch",
        "cloud_stream_path": source,
        "destination_prefix": destination,
        "cache_container_name": cache,
        "video_preprocessing": how,
    }
    request = directory / "request.json"
    request.write_text(json.dumps(document))
    return [sys.executable, "-m", "m0_chunker.start", "--request", str(request)]


def chunker(film: Film, duration_s: float, out: Path, **how: float) -> Cost:
    """Ours, from a file into files; it always stores two copies, persistent and cache."""
    scratch = out.with_name(f"{out.name}-scratch")
    scratch.mkdir(exist_ok=True)
    cache = out.with_name(f"{out.name}-cache")
    how = {"chunk_duration": duration_s, **how}
    command = chunker_command(scratch, film.path.as_uri(), out.as_uri(), cache.as_uri(), **how)
    try:
        return run(command, env=chunker_env(scratch), scratch=scratch)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)
