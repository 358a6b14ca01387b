"""Transcode: ours against one plain ffmpeg with the same settings, and the usual way."""

from pathlib import Path

from bench import methods, table
from bench.copying import START, Group, measure
from bench.films import Film
from bench.measure import Cost, run, run_all
from bench.methods import Ffmpeg, Method, spans

WIDTH, HEIGHT, RATE = 640, 360, 10
PRESET, CRF = "veryfast", "23"
PLAIN = "one plain ffmpeg"
CHUNKS = 6
OURS = "M0"


def _settings(filters: str) -> list[str]:
    x264 = ["-preset", PRESET, "-crf", CRF, "-threads", "1", "-x264-params", "mbtree=0"]
    video = ["-c:v", "libx264", *x264]
    return ["-map", "0:v:0", "-map", "0:a:0?", "-vf", filters, *video, "-c:a", "aac"]


GOOD_ORDER = f"fps={RATE},scale={WIDTH}:{HEIGHT}"
USUAL_ORDER = f"scale={WIDTH}:{HEIGHT},fps={RATE}"


def _quiet(ffmpeg: Ffmpeg) -> list[str]:
    return [ffmpeg.program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]


def _plain(ffmpeg: Ffmpeg, film: Film, out: Path) -> Cost:
    source = ["-threads", "1", "-i", str(film.path)]
    return run([*_quiet(ffmpeg), *source, *_settings(GOOD_ORDER), str(out / "all.mp4")])


def _usual(ffmpeg: Ffmpeg, film: Film, duration_s: float, out: Path) -> Cost:
    return run_all(
        [
            *(*_quiet(ffmpeg), "-threads", "1", "-i", str(film.path)),
            *("-ss", f"{start}", "-t", f"{duration_s}", *_settings(USUAL_ORDER)),
            str(out / f"chunk_{number:03d}.mp4"),
        ]
        for number, start in spans(film, duration_s)
    )


def build_methods(ffmpeg: Ffmpeg, tiny: Film) -> list[Method]:
    """Start-up here is a one-second transcode without its second of work: a copy."""

    def ours(film: Film, duration_s: float, out: Path) -> Cost:
        return methods.chunker(film, duration_s, out, width=WIDTH, height=HEIGHT, fps=RATE)

    return [
        Method(PLAIN, lambda film, _d, out: _plain(ffmpeg, film, out), makes_chunks=False),
        Method(START, lambda _film, _d, out: methods.chunker(tiny, 60, out), makes_chunks=False),
        Method(OURS, ours, makes_chunks=False),
        Method(
            "the usual way",
            lambda film, d, out: _usual(ffmpeg, film, d, out),
            makes_chunks=False,
            slow=True,
        ),
    ]


def run_group(ffmpeg: Ffmpeg, film: Film, tiny: Film, rounds: int) -> Group:
    """`CHUNKS` chunks of one film."""
    return measure(film, CHUNKS, build_methods(ffmpeg, tiny), rounds)


def to_table(group: Group) -> str:
    """CPU against the plain run."""
    plain_s = group.results[PLAIN].cost.cpu_s
    rows = []
    for name, result in group.results.items():
        costs = [(name, result.cost)]
        if name == OURS and START in group.results:
            costs.append(("**M0 after start-up**", group.marginal(OURS)))
        rows += [
            [
                label,
                table.seconds(cost.cpu_s),
                table.times(cost.cpu_s / plain_s),
                table.mib(cost.rss_bytes),
            ]
            for label, cost in costs
        ]
    return table.markdown(["method", "CPU s", "CPU / plain", "RSS MiB"], rows)
