"""Stream copy from a file: every method on the same film, in turns, medians."""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import methods, table
from bench.check import compare
from bench.films import Film
from bench.measure import Cost, FailedError, median
from bench.methods import Ffmpeg, Method
from bench.tools import HOME

FLOOR, OURS, START = "ffmpeg -c copy -f null", "M0", "M0's start-up"


@dataclass(frozen=True)
class Result:
    """One method on one film.

    Attributes:
        name: of the method.
        cost: its median.
        lost: packets that are in no chunk.
        doubled: packets that are in two.
    """

    name: str
    cost: Cost
    lost: int | None = None
    doubled: int | None = None


@dataclass(frozen=True)
class Group:
    """One film cut into one number of chunks.

    Attributes:
        film: the film.
        chunks: how many, nominally.
        results: by the methods' names.
    """

    film: Film
    chunks: int
    results: dict[str, Result]

    @property
    def floor_s(self) -> float:
        """CPU seconds of reading all packets once."""
        return self.results[FLOOR].cost.cpu_s

    def ratio(self, name: str) -> float:
        """A method's CPU to the demux floor's; ours without its start-up."""
        return self.marginal(name).cpu_s / self.floor_s

    def marginal(self, name: str) -> Cost:
        """A method's cost; ours without its start-up."""
        cost = self.results[name].cost
        return cost.beyond(self.results[START].cost) if name == OURS else cost


def build_methods(ffmpeg: Ffmpeg, tiny: Film) -> list[Method]:
    """All that are compared, the floors first."""
    return [
        Method("cp", methods.copy_file, makes_chunks=False),
        Method(FLOOR, ffmpeg.demux, makes_chunks=False),
        Method(START, lambda _film, _d, out: methods.chunker(tiny, 60, out), makes_chunks=False),
        Method(OURS, methods.chunker),
        Method("segment muxer", ffmpeg.segment),
        Method("segment muxer, right options", ffmpeg.segment_well),
        Method("PySceneDetect --copy", ffmpeg.pyscenedetect, slow=True),
        Method("the usual way", ffmpeg.one_by_one, slow=True),
    ]


def measure(film: Film, chunks: int, how: list[Method], rounds: int) -> Group:
    """Run every method `rounds` times (slow ones once), in turns; check what each one made."""
    costs: dict[str, list[Cost]] = {method.name: [] for method in how}
    found: dict[str, tuple[int, int]] = {}
    for turn in range(rounds):
        for method in how:
            if method.slow and turn:
                continue
            _say(f"{film.path.name}, {chunks} chunks, round {turn + 1}: {method.name}")
            with tempfile.TemporaryDirectory(dir=_find_room(film), prefix="out-") as directory:
                out = Path(directory) / "out"
                out.mkdir()
                try:
                    costs[method.name].append(method.cut(film, film.seconds / chunks, out))
                except FailedError as error:
                    print(f"FAILED {method.name}: {error}", file=sys.stderr)
                    continue
                if method.makes_chunks and not turn:
                    found[method.name] = compare(film.path, sorted(out.glob("*.mp4")))
            shutil.rmtree(out, ignore_errors=True)
    results = {
        name: Result(name, median(runs), *found.get(name, (None, None)))
        for name, runs in costs.items()
        if runs
    }
    return Group(film, chunks, results)


def _find_room(film: Film) -> Path:
    """Where the chunks go: into memory where there is room.

    On ext4 a new file is searched a place among all that were deleted in the last half minute, by
    the method before for instance: 600 files then cost ten times as much, whoever makes them.
    """
    memory = Path("/dev/shm")
    needed = 4 * film.path.stat().st_size
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > needed else HOME


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def to_table(group: Group) -> str:
    """One film, one number of chunks."""
    size = group.film.size_bytes
    rows = []
    for name, result in group.results.items():
        rows.append(_row(name, result.cost, result, group.floor_s, size))
        if name == OURS and START in group.results:
            label = "**M0 after start-up**"
            rows.append(_row(label, group.marginal(OURS), result, group.floor_s, size))
    heads = ["method", "CPU s", "CPU / demux", "read / size", "written / size"]
    return table.markdown([*heads, "RSS MiB", "packets lost", "doubled"], rows)


def _row(label: str, cost: Cost, result: Result, floor_s: float, size: int) -> list[str]:
    tiny = label == START
    return [
        label,
        table.seconds(cost.cpu_s),
        table.times(cost.cpu_s / floor_s),
        "" if tiny else f"{cost.read_bytes / size:.2f}",
        "" if tiny else f"{cost.written_bytes / size:.2f}",
        table.mib(cost.rss_bytes),
        "" if result.lost is None else str(result.lost),
        "" if result.doubled is None else str(result.doubled),
    ]
