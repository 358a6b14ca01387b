"""The runs against the S3 server, as a table."""

import sys
from dataclasses import dataclass

from bench import store, table
from bench.films import Film
from bench.measure import FailedError
from bench.methods import Ffmpeg
from bench.proxy import Wire
from bench.store import Remote

FAST = Wire("400 Mbit/s, 20 ms", 400e6, 0.02)
SLOW = Wire("20 Mbit/s, 20 ms", 20e6, 0.02)
CHUNKS = 30


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        method: its name.
        film: what was cut.
        wire: how slow.
        read_s: what one plain GET of the film takes over the same wire, seconds.
        result: of the run.
    """

    method: str
    film: Film
    wire: Wire
    read_s: float
    result: Remote

    @property
    def first_share(self) -> float:
        """The first message's time as a share of the plain read's."""
        return self.result.first_s / self.read_s


def run_all(ffmpeg: Ffmpeg, films: list[Film], rounds: int) -> list[Row]:
    """All films over both wires; the usual way once, over the fast one."""
    rows: list[Row] = []
    with store.s3_server() as port:
        for film in films:
            store.upload(port, film)
            for wire in (FAST, SLOW):
                read_s = store.plain_read_s(port, film, wire)
                rows += _ours(port, film, wire, read_s, rounds if wire is FAST else 1)
                if wire is FAST:
                    _say(film, wire, "the usual way")
                    result = store.usual(port, film, film.seconds / CHUNKS, wire, ffmpeg)
                    rows.append(Row("the usual way", film, wire, read_s, result))
    return rows


def _ours(port: int, film: Film, wire: Wire, read_s: float, rounds: int) -> list[Row]:
    """The run with the median time to the first message; none if it failed."""
    results = []
    for _ in range(rounds):
        _say(film, wire, "M0")
        try:
            results.append(store.ours(port, film, film.seconds / CHUNKS, wire))
        except FailedError as error:
            print(f"FAILED M0 on {film.path.name}: {error}", file=sys.stderr)
    results.sort(key=lambda result: result.first_s)
    return [Row("M0", film, wire, read_s, results[len(results) // 2])] if results else []


def _say(film: Film, wire: Wire, method: str) -> None:
    text = f"S3, {film.path.name}, {wire.name}: {method}"
    print(f"\r\x1b[K{text}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


HEADS = [
    "method", "film", "wire", "plain read s", "first message s", "share", "all s",
    "fetched / size", "sent / size", "GETs", "scratch MiB", "RSS MiB", "CPU s",
]  # fmt: skip


def to_table(rows: list[Row]) -> str:
    """One line a run."""
    return table.markdown(HEADS, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    result, size = row.result, row.film.size_bytes
    return [
        row.method,
        row.film.path.stem,
        row.wire.name,
        table.seconds(row.read_s),
        table.seconds(result.first_s),
        f"{row.first_share:.0%}",
        table.seconds(result.wall_s),
        f"{result.traffic.fetched_bytes / size:.3f}",
        f"{result.traffic.sent_bytes / size:.3f}",
        str(result.traffic.requests["GET"]),
        table.mib(result.scratch_bytes),
        table.mib(result.cost.rss_bytes),
        table.seconds(result.cost.cpu_s),
    ]
