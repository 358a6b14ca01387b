"""Films of every kind, cut by copy as a person does it, and judged by the outside checker.

A case that is red says in words what its chunks do wrong; none is excused here.
"""

import hashlib
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import boxes
import checker
import films
import pytest
from corpus import CODECS, CONTAINERS, FILM, TIMES, TRACKS, case
from cutting import Cut, check_resumed, cut_film


def check(run, film: Path, duration: float) -> None:
    assert run.code == 0, run.stderr
    report = checker.check_copy(film, run.messages, chunk_duration=duration)
    assert not report.violations, str(report)
    assert run.scratch == []


@pytest.mark.parametrize(("name", "features", "duration"), [*CONTAINERS, *CODECS, *TIMES, *TRACKS])
def test_every_packet_once_in_its_place(make_film, run_chunker, name, features, duration):
    film = make_film(name, **(FILM | features))
    check(run_chunker(film, duration), film, duration)


def _two_descriptions(first: Path, path: Path) -> Path:
    silent = films.Film(seconds=4.0, fps=15, audio_codec=None)
    other = films.Film(seconds=4.0, fps=15, audio_codec=None, width=128, height=96)
    films.make_film(first.with_name("one-size.mp4"), silent)
    films.make_film(first.with_name("other-size.mp4"), other)
    return boxes.join(first.with_name("one-size.mp4"), first.with_name("other-size.mp4"), path)


SURGERY: list = [
    pytest.param(lambda a, b: boxes.rewrite(a, b, boxes.turn), id="turned by 90 degrees"),
    pytest.param(lambda a, b: boxes.rewrite(a, b, boxes.trim(2)), id="trimmed at a key frame"),
    pytest.param(lambda a, b: boxes.rewrite(a, b, boxes.trim(0.9)), id="trimmed inside a GOP"),
    pytest.param(lambda a, b: boxes.rewrite(a, b, boxes.without_edits), id="no edit list"),
    pytest.param(_two_descriptions, id="two sample descriptions"),
]


@pytest.mark.parametrize("operate", SURGERY)
def test_films_as_cameras_and_editors_write_them(
    make_film, run_chunker, tmp_path, operate: Callable[[Path, Path], Path]
):
    film = operate(make_film("plain.mp4", **(FILM | {"seconds": 7.0})), tmp_path / "film.mp4")
    check(run_chunker(film, 2), film, 2)


PROGRESSIVE = [
    param
    for param in [*CONTAINERS, *CODECS, *TIMES, *TRACKS]
    if param.values[0].endswith((".mp4", ".mov", ".m4a"))
]
GENERAL = {
    "fragmented.mp4": "has no single index",
    "delayed.mp4": "has no single index",
    "negative.mp4": "hides pictures",
    "two.mp4": "two tracks of pictures",
    "mp3.mp4": "all its sound packets have one size",
    "ac3.mp4": "all its sound packets have one size",
    "film.mov": "all its sound packets have one size",
    "pcm24.mov": "all its sound packets have one size",
    "pcmbe.mov": "all its sound packets have one size",
    "tiny.mp4": "its single picture has one size",
}
"""Those that the index alone does not do for, and why."""


def packets_of(cut: Cut) -> list[list[tuple[str, list[tuple]]]]:
    """Of each chunk, of each stream: (time, decoding time, size, payload's hash, key frame)."""
    found = []
    for message in cut.messages:
        with av.open(message["cloud_stream_path"].removeprefix("file://")) as container:
            streams = [(stream.type, []) for stream in container.streams]
            for packet in container.demux():
                if packet.size:
                    base = packet.time_base
                    times = (packet.pts * base, packet.dts * base, packet.is_keyframe)
                    streams[packet.stream_index][1].append((*times, hash(bytes(packet))))
        found.append(streams)
    return found


def key_tables(body: bytes) -> list[tuple[int, ...]]:
    """The numbers in each `stss`; libav believes pictures themselves rather than that table."""
    found, at, end = [], 0, body.index(b"mdat")
    while (at := body.find(b"stss", at + 4, end)) >= 0:
        (count,) = struct.unpack_from(">I", body, at + 8)
        found.append(struct.unpack_from(f">{count}I", body, at + 12))
    return found


def key_tables_of(film: Path) -> list[tuple[int, ...]]:
    """Likewise, of a film whose index may come last."""
    content = film.read_bytes()
    return key_tables(content[content.rindex(b"moov") :] + b"mdat")


def check_same(one: Cut, other: Cut) -> None:
    """Two ways to the same chunks."""
    times = ("start_time", "end_time")
    for a, b in zip(one.messages, other.messages, strict=True):
        assert [a[name] for name in times] == pytest.approx([b[name] for name in times], abs=1e-6)
    for number, (a, b) in enumerate(zip(packets_of(one), packets_of(other), strict=True), 1):
        assert [kind for kind, _ in a] == [kind for kind, _ in b]
        for (_, theirs), (_, ours) in zip(a, b, strict=True):
            assert [each[2:] for each in theirs] == [each[2:] for each in ours], f"chunk {number}"
            for place in (0, 1):
                moved = [abs(x[place] - y[place]) for x, y in zip(theirs, ours, strict=True)]
                assert max(moved) <= 1e-4, f"chunk {number}"
    facts, others = dict(one.facts), dict(other.facts)
    for name in ("largest_gap_s", "largest_shift_s", "covered_s"):
        assert facts.pop(name) == pytest.approx(others.pop(name), abs=1e-4), name
    assert facts == others
    assert list(map(key_tables, one.bodies)) == list(map(key_tables, other.bodies))
    for cut in (one, other):  # the chain can be made again from the chunks' hashes
        chain = b""
        for body in cut.bodies:
            chain = hashlib.sha256(chain + hashlib.sha256(body).digest()).digest()
        assert cut.integrity.payload_sha256 == chain.hex()


@pytest.mark.parametrize(("name", "features", "duration"), PROGRESSIVE)
def test_by_index_as_by_packets(make_film, tmp_path, name, features, duration):
    film = make_film(name, **(FILM | features))
    by_index = cut_film(film, tmp_path / "index", duration)
    assert by_index.method == ("packets" if name in GENERAL else "index")
    if by_index.method == "index":
        by_packets = cut_film(film, tmp_path / "packets", duration, by_packets=True)
        assert by_packets.method == "packets"
        check_same(by_index, by_packets)
        tables = [key_tables(body) for body in by_index.bodies]
        assert all(numbers[0] == 1 for table in tables for numbers in table)
        (theirs,) = key_tables_of(film) or [()]
        if theirs:
            assert sum(len(numbers) for (numbers,) in tables) == len(theirs)


@pytest.mark.parametrize("by_packets", [False, True], ids=["by index", "by packets"])
@pytest.mark.parametrize(
    ("name", "features", "duration"),
    [
        case("last.mp4", "MP4"),
        case("open.mp4", "open GOPs", open_gop=True),
        case("film.ts", "MPEG-TS"),
        case("vfr.mkv", "a varying rate", vfr=True),
        case(
            "tongues.mkv", "three tracks of sound", audio_tracks=3, languages=("fin", "swe", "eng")
        ),
    ],
)
def test_resumed_by_copy_it_gives_the_same_bytes(
    make_film,
    tmp_path,
    name,
    features,
    duration,
    by_packets,
):
    film = make_film(name, **(FILM | features))
    ways = {"first": by_packets, "then": by_packets}
    for overlap in (0.0, 0.3):
        check_resumed(film, tmp_path, duration / 2, **ways, overlap=overlap)


def test_films_are_what_their_names_say(make_film):
    """A feature that a muxer quietly drops would make its case prove nothing."""
    films_by_name = {
        name: make_film(name, **(FILM | features))
        for name, features, _ in (param.values for param in [*CONTAINERS, *TIMES, *TRACKS])
    }
    with av.open(str(films_by_name["apart.mp4"])) as container:
        video, audio = container.streams
        assert video.index_entries[70].pos < audio.index_entries[0].pos
    with av.open(str(films_by_name["film.mov"])) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "data"]
    with av.open(str(films_by_name["wrap.ts"])) as container:
        assert container.start_time < 0, "libav unrolls the clock downwards"
    with av.open(str(films_by_name["cover.mp4"])) as container:
        assert container.streams[2].disposition & av.stream.Disposition.attached_pic
    with av.open(str(films_by_name["subtitles.mkv"])) as container:
        assert container.streams[2].type == "subtitle"
    with av.open(str(films_by_name["plain.avi"])) as container:
        assert container.streams[1].time_base == Fraction(3, 125), "a tick is an audio frame"
    with av.open(str(films_by_name["gap.ts"])) as container:
        assert container.duration > 100 * av.time_base
    for name in ("open.mp4", "open.ts"):
        with av.open(str(films_by_name[name])) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
        assert packets[keys[1] + 1].pts < packets[keys[1]].pts, "a leading picture"
