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
from cutting import Cut, cut_film, resumption_after

FILM = {"seconds": 5.4, "fps": 15}
"""Closed GOPs of 2 s, two B-frames, AAC; cases say how they differ."""

FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)


def case(name: str, sentence: str, *, duration: float = 2, **features):
    return pytest.param(name, features, duration, id=sentence)


CONTAINERS = [
    case("last.mp4", "MP4, index last"),
    case("first.mp4", "MP4, index first", options=(("movflags", "faststart"),)),
    case("fragmented.mp4", "MP4, fragmented", options=FRAGMENTED),
    case("hybrid.mp4", "MP4, hybrid", options=(("movflags", "hybrid_fragmented"),)),
    case(
        "delayed.mp4",
        "MP4, fragmented, with an edit list",
        options=(("movflags", "frag_keyframe+delay_moov"),),
    ),
    case("apart.mp4", "MP4, all pictures, then all sound", interleave_s=float("inf")),
    case("coarse.mp4", "MP4, in runs of 1 s", interleave_s=1.0),
    case("coarser.mp4", "MP4, in runs of 5 s", interleave_s=5.0, seconds=12.0),
    case("film.mov", "MOV with timecode", timecode="01:00:00:00", audio_codec="pcm_s16le"),
    case("film.ts", "MPEG-TS"),
    case("later.ts", "MPEG-TS from 10 s on", options=(("output_ts_offset", "10"),)),
    case(
        "wrap.ts",
        "MPEG-TS whose clock wraps around",
        options=(("output_ts_offset", f"{2**33 / 90_000 - 3.5:.3f}"),),
    ),
    case("film.mkv", "MKV"),
    case("film.webm", "WebM", video_codec="libvpx-vp9", audio_codec="libopus"),
    case(
        "plain.avi", "AVI, no time stamps", video_codec="mpeg4", audio_codec="libmp3lame", bframes=0
    ),
    case("film.flv", "FLV"),
]

CODECS = [
    case("hevc.mp4", "HEVC as hvc1", video_codec="libx265", tag="hvc1"),
    case("hevc.mkv", "HEVC in MKV", video_codec="libx265"),
    case("hevc.ts", "HEVC in MPEG-TS", video_codec="libx265"),
    case("cra.mp4", "HEVC, open GOPs", video_codec="libx265", open_gop=True),
    case("av1.mp4", "AV1 in MP4", video_codec="libsvtav1"),
    case("av1.mkv", "AV1 in MKV, with Opus", video_codec="libsvtav1", audio_codec="libopus"),
    case("vp9.mp4", "VP9 in MP4", video_codec="libvpx-vp9"),
    case("mpeg4.mp4", "MPEG-4 in MP4", video_codec="mpeg4"),
    case("bframes.avi", "MPEG-4 with B-frames in AVI", video_codec="mpeg4", audio_codec="ac3"),
    case("mpeg2.ts", "MPEG-2 in MPEG-TS", video_codec="mpeg2video", fps=25, audio_codec="mp2"),
    case("flac.mkv", "FLAC in MKV", audio_codec="flac"),
    case("mp3.mp4", "MP3 in MP4", audio_codec="libmp3lame"),
    case("mp3.mkv", "MP3 in MKV", audio_codec="libmp3lame"),
    case("mp3.ts", "MP3 in MPEG-TS", audio_codec="libmp3lame"),
    case("opus.mp4", "Opus in MP4", audio_codec="libopus"),
    case("ac3.mp4", "AC-3 in MP4", audio_codec="ac3"),
    case("ac3.ts", "AC-3 in MPEG-TS", audio_codec="ac3"),
    case("pcm.mkv", "PCM in MKV", audio_codec="pcm_s16le"),
    case("pcm24.mov", "PCM of 24 bits in MOV", audio_codec="pcm_s24le"),
    case("pcmbe.mov", "PCM, big-endian, in MOV", audio_codec="pcm_s16be"),
    case("pcm.avi", "PCM in AVI", audio_codec="pcm_s16le", video_codec="mpeg4", bframes=0),
]

TIMES = [
    case("vfr.mp4", "a varying rate", vfr=True),
    case("vfr.mkv", "a varying rate in MKV", vfr=True),
    case("open.mp4", "open GOPs", open_gop=True),
    case("open.ts", "open GOPs in MPEG-TS", open_gop=True),
    case("nob.mp4", "no B-frames", bframes=0),
    case(
        "pyramid.mkv",
        "a pyramid of B-frames",
        bframes=5,
        encoder=(("x264-params", "b-pyramid=normal:b-adapt=0"),),
    ),
    case("irregular.mp4", "irregular GOPs", key_frames=(0, 20, 52, 55, 70)),
    case("long.mp4", "GOPs of 25 s", seconds=60.0, fps=5, gop_seconds=25, duration=10),
    case("one.mp4", "one key frame only", gop_seconds=100),
    case("one.ts", "one key frame only in MPEG-TS", gop_seconds=100),
    case("short.mp4", "shorter than a chunk", seconds=1.3),
    case("tiny.mp4", "a single picture", seconds=1 / 15),
    case("lateaudio.mp4", "sound from 2 s on", audio_delay_s=2.0),
    case("lateaudio.ts", "sound from 2 s on in MPEG-TS", audio_delay_s=2.0),
    case("lateaudio.mkv", "sound from 2 s on in MKV", audio_delay_s=2.0),
    case("latevideo.mp4", "pictures from 1.3 s on", video_delay_s=1.3),
    case("latevideo.mkv", "pictures from 1.3 s on in MKV", video_delay_s=1.3),
    case("muchlater.mp4", "pictures from 3 s on", video_delay_s=3.0),
    case("negative.mp4", "from -0.5 s on, hidden by an edit list", start_s=-0.5),
    case(
        "offsets.mp4",
        "negative composition offsets",
        options=(("movflags", "negative_cts_offsets"),),
    ),
    case(
        "positive.mkv",
        "from 10 s on in MKV",
        start_s=10.0,
        options=(("avoid_negative_ts", "disabled"),),
    ),
    case("positive.mp4", "from 10 s on in MP4", start_s=10.0),
    case("gap.mp4", "100 s without anything", gap=(2.0, 100.0)),
    case("gap.mkv", "100 s without anything in MKV", gap=(2.0, 100.0)),
    case("gap.ts", "100 s without anything in MPEG-TS", gap=(2.0, 100.0)),
    case("longsound.mp4", "sound 3 s longer than the pictures", audio_seconds=8.0),
    case("shortsound.mp4", "sound 3 s shorter than the pictures", audio_seconds=2.0),
    case(
        "ntsc.mp4",
        "29.97 pictures a second and sound of 44.1 kHz",
        fps=Fraction(30_000, 1001),
        audio_rate=44_100,
        options=(("video_track_timescale", "90000"),),
    ),
    case("ntsc.mkv", "29.97 pictures a second in MKV", fps=Fraction(30_000, 1001)),
    case(
        "hours.mp4",
        "ten hours",
        seconds=36_000.0,
        fps=Fraction(1, 100),
        gop_seconds=2000,
        audio_codec=None,
        duration=7200,
    ),
    case("hours.mkv", "ten hours in, in MKV", start_s=36_000.0),
]

TRACKS = [
    case("silent.mp4", "pictures only", audio_codec=None),
    case("silent.ts", "pictures only in MPEG-TS", audio_codec=None),
    case("sound.m4a", "sound only", video_codec=None),
    case("sound.mp3", "sound only, MP3", video_codec=None, audio_codec="libmp3lame"),
    case("sound.wav", "sound only, WAV", video_codec=None, audio_codec="pcm_s16le"),
    case("sound.ogg", "sound only, Ogg", video_codec=None, audio_codec="libopus"),
    case("sound.flac", "sound only, FLAC", video_codec=None, audio_codec="flac"),
    case("tongues.mp4", "two languages", audio_tracks=2, languages=("fin", "swe")),
    case("tongues.mkv", "three languages in MKV", audio_tracks=3, languages=("fin", "swe", "eng")),
    case("tongues.ts", "two languages in MPEG-TS", audio_tracks=2, languages=("fin", "swe")),
    case("cover.mp4", "a cover", cover=True),
    case("soundcover.mp4", "sound with a cover", video_codec=None, cover=True),
    case("subtitles.mp4", "subtitles", subtitles="mov_text"),
    case("subtitles.mkv", "subtitles in MKV", subtitles="subrip"),
    case("data.ts", "a track of data", data=True),
    case("two.mp4", "two tracks of pictures", second_video="libx264"),
    case(
        "shape.mp4",
        "pixels that are not square, and colours",
        pixel_shape=Fraction(4, 3),
        colours=(9, 16, 9),
    ),
    case("shape.mkv", "pixels that are not square in MKV", pixel_shape=Fraction(4, 3)),
]


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
    for overlap in (0.0, 0.3):
        whole = cut_film(
            film, tmp_path / "all", duration / 2, by_packets=by_packets, overlap=overlap
        )
        for done in range(1, len(whole.chunks)):
            rest = cut_film(
                film,
                tmp_path / "rest",
                duration / 2,
                by_packets=by_packets,
                overlap=overlap,
                resumption=resumption_after(whole, done),
            )
            assert rest.bodies == whole.bodies[done:]
            assert rest.integrity == whole.integrity


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
