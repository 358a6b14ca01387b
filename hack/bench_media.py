"""What cutting costs, against the floor and against other ways: all as ratios, in one run.

    make bench-media                  600 s film, medians of five: some 15 minutes
    make bench-media ARGS=--quick     60 s film, one round: to see that all works
    make bench-media ARGS=--big       also a film of 10 GB

Prints Markdown; a full run also writes it into docs/performance.md, with its plot. Films,
tools and the S3 server's data are kept in `.m0/bench`.
"""

import argparse
import datetime as dt
import os
import platform
import re
import sys
from collections.abc import Iterator

from bench import copying, encoding, large, plot, remote, table, tools
from bench.copying import FLOOR, OURS, START, Group
from bench.films import Film, FilmMaker
from bench.measure import FailedError
from bench.methods import Ffmpeg

PAGE = tools.ROOT / "docs" / "performance.md"
PICTURE = PAGE.with_name("performance.svg")
PARTS = ("copy", "transcode", "s3", "big")
BIG_BYTES = 10_000_000_000


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60 s films, one round")
    parser.add_argument("--big", action="store_true", help="also a film of 10 GB")
    parser.add_argument("--big-bytes", type=int, default=BIG_BYTES, help="size of that film")
    parser.add_argument("--only", choices=PARTS, action="append", help="only these parts")
    parser.add_argument("--rounds", type=int, help="runs of each fast method")
    parser.add_argument("--write", action="store_true", help="into docs/ even after a part")
    values = parser.parse_args()
    tools.install()
    report = Report(values)
    for text in report.sections():
        print(f"\n{text}", flush=True)
        report.texts.append(text)
    if values.write or not (values.quick or values.only):
        report.write()


class Report:
    """One run of the benchmark."""

    def __init__(self, values: argparse.Namespace) -> None:
        """`values` from the command line."""
        self._values = values
        self._program = tools.find_ffmpeg()
        self._ffmpeg = Ffmpeg(self._program)
        self._films = FilmMaker(self._program, 60 if values.quick else 600)
        self._rounds = values.rounds or (1 if values.quick else 5)
        self._groups: list[Group] = []
        self.texts: list[str] = []

    def sections(self) -> Iterator[str]:
        """Each part's Markdown as soon as it is known."""
        yield self._machine()
        parts = self._values.only or [p for p in PARTS if p != "big" or self._values.big]
        for part in parts:
            try:
                yield from getattr(self, f"_{part}")()
            except (FailedError, OSError, KeyError) as error:
                # One part's failure must not cost the others' numbers.
                yield f"## {part}\n\nFAILED: {type(error).__name__}: {error}"

    def _machine(self) -> str:
        load = os.getloadavg()[0]
        return (
            f"Run of {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC on {platform.machine()} with "
            f"{os.cpu_count()} CPUs, load {load:.1f}; ffmpeg "
            f"{tools.ffmpeg_version(self._program)} for the others, PyAV's libraries for M0; "
            f"medians of {self._rounds} (the usual way and PySceneDetect: once)."
        )

    def _copy(self) -> Iterator[str]:
        films, tiny = self._films, self._films.tiny()
        how = copying.build_methods(self._ffmpeg, tiny)
        plans = [(films.packets(), 30), (films.packets(), 300), (films.bytes(), 30)]
        plans += [(films.remuxed(kind), chunks) for kind in ("mkv", "ts") for chunks in (30, 300)]
        yield "## Stream copy, from a file"
        for film, chunks in plans:
            if film.seconds / chunks < 2 and chunks > 30:
                continue  # shorter than a GOP: nobody can cut so
            group = copying.measure(film, chunks, how, self._rounds)
            self._groups.append(group)
            title = f"### {film.path.name}: {film.note}, {film.seconds:.0f} s, {chunks} chunks"
            yield f"{title}\n\n{copying.to_table(group)}\n\n{_verdict(group)}"

    def _transcode(self) -> Iterator[str]:
        films = self._films
        short = FilmMaker(self._program, 60).packets()
        rounds = min(self._rounds, 3)
        group = encoding.run_group(self._ffmpeg, short, films.tiny(), rounds)
        how = f"{encoding.WIDTH}×{encoding.HEIGHT} at {encoding.RATE}/s, {encoding.PRESET}"
        title = f"## Transcode to {how}, {short.seconds:.0f} s, {encoding.CHUNKS} chunks"
        yield f"{title}\n\n{encoding.to_table(group)}"

    def _s3(self) -> Iterator[str]:
        films = [self._films.bytes(), self._films.separate()]
        rows = remote.run_all(self._ffmpeg, films, min(self._rounds, 3))
        title = f"## From S3 and back, over a slow wire, {remote.CHUNKS} chunks"
        limits = (
            "Limits are for each connection, delays for each request; CPU of the usual way is "
            "ffmpeg's alone."
        )
        yield f"{title}\n\n{limits}\n\n{remote.to_table(rows)}"

    def _big(self) -> Iterator[str]:
        size = self._values.big_bytes
        if not large.has_room(size):
            yield f"## A film of {size / 1e9:.0f} GB\n\nnot run: too little room on the disk"
            return
        film = self._films.big(size)
        start = next((g.results[START].cost for g in self._groups if START in g.results), None)
        text = large.to_table(film, large.run_big(film), start)
        yield f"## A film of {size / 1e9:.0f} GB, in chunks of {large.CHUNK_S:.0f} s\n\n{text}"

    def write(self) -> None:
        """Put the tables between the page's marks, and the plot beside it."""
        text = re.sub(r"^##", "###", "\n\n".join(self.texts), flags=re.MULTILINE)
        page = PAGE.read_text()
        marks = r"(<!-- bench: begin[^\n]*-->\n).*?(<!-- bench: end -->)"
        new, count = re.subn(
            marks, lambda m: f"{m[1]}\n{text}\n{m[2]}", page, count=1, flags=re.DOTALL
        )
        if not count:
            sys.exit(f"{PAGE} has no marks for the table")
        PAGE.write_text(new)
        if self._groups:
            PICTURE.write_text(draw_groups(self._groups))
        print(f"\nwritten: {PAGE}, {PICTURE}", file=sys.stderr)


def _verdict(group: Group) -> str:
    """The ratios that the project has promised itself, in a sentence."""
    start = group.results.get(START)
    said = f"M0 after start-up: {table.times(group.ratio(OURS))} the demux floor"
    if "the usual way" in group.results:
        gain = group.results["the usual way"].cost.cpu_s / group.results[OURS].cost.cpu_s
        said += f"; the usual way takes {table.times(gain)} the CPU of all of M0"
    return said + (f"; start-up {table.seconds(start.cost.cpu_s)} s." if start else ".")


def draw_groups(groups: list[Group]) -> str:
    """CPU and bytes read of the first film's groups."""
    first: Film = groups[0].film
    shown = [group for group in groups if group.film == first]
    names = [name for name in shown[0].results if name not in {START, FLOOR}]
    series = [f"{group.chunks} chunks" for group in shown]

    def rows(pick: str) -> list[tuple[str, list[float | None]]]:
        return [(name, [_value(group, name, pick) for group in shown]) for name in names]

    cpu = plot.Bars("CPU time", series, rows("cpu"), OURS, 1.0, "ffmpeg -c copy -f null")
    kept = [row for row in rows("read") if row[0] != "cp"]
    read = plot.Bars("Bytes read, to the film's size", series, kept, OURS, 1.0, "read once")
    subtitle = (
        f"{first.note}, {first.seconds:.0f} s, {first.size_bytes / 2**20:.0f} MiB, from a file; "
        "logarithmic; M0 without its start-up"
    )
    return plot.draw([cpu, read], "Cutting a film without re-encoding it", subtitle)


def _value(group: Group, name: str, pick: str) -> float | None:
    if name not in group.results:
        return None
    if pick == "cpu":
        return group.ratio(name)
    return group.marginal(name).read_bytes / group.film.size_bytes


if __name__ == "__main__":
    main()
