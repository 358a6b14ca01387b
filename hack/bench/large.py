"""A film of many gigabytes: memory and scratch must not grow with it."""

import json
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench import table
from bench.films import Film
from bench.measure import Cost, run
from bench.methods import chunker_command, chunker_env
from bench.tools import HOME

CHUNK_S = 20.0


def run_big(film: Film) -> Cost:
    """Cut it; a chunk is deleted when its message comes, so that the disk holds only the film."""
    with tempfile.TemporaryDirectory(dir=HOME, prefix="big-") as directory:
        home = Path(directory)
        scratch = home / "scratch"
        scratch.mkdir()
        urls = (film.path.as_uri(), (home / "out").as_uri(), (home / "cache").as_uri())
        command = chunker_command(scratch, *urls, chunk_duration=CHUNK_S)
        return run(command, env=chunker_env(scratch), scratch=scratch, on_line=_delete)


def _delete(line: str) -> None:
    message = json.loads(line)
    for name in ("cloud_stream_path", "cache_path"):
        Path(unquote(urlsplit(message[name]).path)).unlink(missing_ok=True)


def to_table(film: Film, cost: Cost, start: Cost | None) -> str:
    """One line."""
    chunk = film.size_bytes / film.seconds * CHUNK_S
    after = cost.beyond(start) if start else cost
    heads = ["film", "chunk MiB", "RSS MiB", "scratch MiB", "scratch / chunk"]
    cells = [
        film.note,
        table.mib(chunk),
        table.mib(cost.rss_bytes),
        table.mib(cost.scratch_bytes),
        f"{cost.scratch_bytes / chunk:.1f}",
        f"{after.read_bytes / film.size_bytes:.3f}",
        f"{after.cpu_s / (film.size_bytes / 1e9):.2f}",
    ]
    return table.markdown([*heads, "read, scratch too / size", "CPU s / GB"], [cells])


def has_room(size_bytes: int) -> bool:
    """Whether the disk takes the film and some chunks."""
    HOME.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(HOME).free > size_bytes + 8 * 2**30
