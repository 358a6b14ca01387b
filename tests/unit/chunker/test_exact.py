"""`precision: exact`: cuts between key frames, all but the groups at a cut being the film's own."""

from fractions import Fraction
from pathlib import Path

import boxes
import pytest
import splices
from cutting import Cut, cut_film, resumption_after
from demuxed import read_film, reference_of
from m0_chunker.media import exact

FILM = {"seconds": 8.4, "fps": 15, "gop_seconds": 2.2}
PYRAMID = (("x264-params", "b-pyramid=normal:b-adapt=0"),)


def case(name: str, sentence: str, duration: float = 2, **features):
    return pytest.param(name, features, duration, id=sentence)


CASES = [
    case("exact.mp4", "MP4 with B-frames"),
    case("exact.mkv", "MKV"),
    case("exact.ts", "MPEG-TS"),
    case("exact.mov", "MOV with PCM", audio_codec="pcm_s16le"),
    case("fragments.mp4", "MP4, fragmented", options=(("movflags", "frag_keyframe+empty_moov"),)),
    case("deep.mp4", "a pyramid of B-frames", bframes=5, encoder=PYRAMID),
    case("deep.mkv", "a pyramid of B-frames in MKV", bframes=5, encoder=PYRAMID),
    case("deep.ts", "a pyramid of B-frames in MPEG-TS", bframes=5, encoder=PYRAMID),
    case("refs.mp4", "many references", bframes=3, encoder=(("preset", "slow"), ("refs", "5"))),
    case("vfr.mp4", "a varying rate", vfr=True),
    case("vfr.mkv", "a varying rate in MKV", vfr=True),
    case("several.mp4", "several cuts in a group", duration=0.7, gop_seconds=4),
    case("several.ts", "several cuts in a group in MPEG-TS", duration=0.7, gop_seconds=4),
    case("one.mp4", "one key frame only", gop_seconds=100),
    case("onkeys.mp4", "cuts on key frames", gop_seconds=1),
    case("late.mp4", "sound from 1.5 s on", audio_delay_s=1.5),
    case("late.mkv", "sound from 1.5 s on in MKV", audio_delay_s=1.5),
    case("positive.mp4", "from 10 s on", start_s=10.0),
    case("later.ts", "MPEG-TS from 10 s on", options=(("output_ts_offset", "10"),)),
    case("ntsc.mp4", "29.97 pictures a second", fps=Fraction(30_000, 1001), seconds=5.0),
    case("ntsc.mkv", "29.97 pictures a second in MKV", fps=Fraction(30_000, 1001), seconds=5.0),
    case("silent.mp4", "pictures only", audio_codec=None),
    case("baseline.mp4", "baseline profile", bframes=0, encoder=(("profile", "baseline"),)),
]


def check(cut: Cut, film: Path, duration: float, overlap: float = 0) -> splices.Spliced:
    found = splices.check_exact(film, cut.messages, duration, overlap)
    assert not found.violations, "\n".join(found.violations)
    assert (cut.mode, cut.method) == ("copy", "spliced")
    assert cut.facts.get("encoded", 0) == found.fresh
    assert cut.facts.get("repeated", 0) == found.repeated
    assert cut.facts["packets_in"] == cut.facts["packets_out"]
    return found


@pytest.mark.parametrize(("name", "features", "duration"), CASES)
def test_chunks_start_at_the_picture_and_none_is_lost(
    make_film, tmp_path, name, features, duration
):
    film = make_film(f"exact-{name}", **(FILM | features))
    cut = cut_film(film, tmp_path / "out", duration, precision="exact")
    found = check(cut, film, duration)
    assert (found.fresh == 0) == (name == "onkeys.mp4")
    whole, rest = divmod(Fraction(str((FILM | features)["seconds"])), Fraction(str(duration)))
    assert len(cut.chunks) == whole + (rest >= Fraction(str(duration)) / 2)
    assert not cut.notes


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_nine_packets_of_ten_are_the_films_own(make_film, run_chunker, suffix):
    """Chunks of 10 s and groups of 2 s, none of which begins where a chunk does."""
    film = make_film(f"usual.{suffix}", seconds=30.0, fps=30, gop_seconds=1.9, width=96, height=64)
    run = run_chunker(film, 10, precision="exact")
    assert run.code == 0, run.stderr
    found = splices.check_exact(film, run.messages, 10)
    assert not found.violations, "\n".join(found.violations)
    assert [m["start_time"] for m in run.messages] == pytest.approx([0, 10, 20], abs=0.034)
    assert run.outcome["integrity"]["encoded"] == found.fresh > 0
    assert found.own_part >= 0.9
    assert run.outcome["mode"] == "copy"


def test_a_turned_film_stays_turned(make_film, tmp_path):
    film = boxes.rewrite(make_film("exact-exact.mp4", **FILM), tmp_path / "turned.mp4", boxes.turn)
    check(cut := cut_film(film, tmp_path / "out", 2, precision="exact"), film, 2)
    turns = [reference_of(read_film(path)).tags["rotation"] for path in paths(cut)]
    assert set(turns) == {reference_of(read_film(film)).tags["rotation"]} != {"0"}


def paths(cut: Cut) -> list[Path]:
    return [Path(message["cloud_stream_path"].removeprefix("file://")) for message in cut.messages]


@pytest.mark.parametrize(
    ("name", "features", "reason"),
    [
        pytest.param("hevc.mp4", {"video_codec": "libx265"}, "hevc can't be spliced", id="HEVC"),
        pytest.param("open.mp4", {"open_gop": True}, "groups of pictures are open", id="open GOPs"),
    ],
)
def test_what_cannot_be_spliced_is_transcoded_and_says_so(
    make_film, run_chunker, name, features, reason
):
    film = make_film(f"exact-{name}", **(FILM | features))
    run = run_chunker(film, 2, precision="exact")
    assert run.code == 0, run.stderr
    assert run.outcome["mode"] == "transcode"
    assert reason in run.outcome["integrity"]["notes"][0]
    starts = [message["start_time"] for message in run.messages]
    assert starts == pytest.approx([0, 2, 4, 6], abs=1 / 15)
    counts = [len(splices.show(run.chunk(number + 1)).times) for number in range(4)]
    assert sum(counts) == len(splices.show(film).times)


def test_groups_too_big_to_keep_are_cut_at_key_frames_and_say_so(make_film, tmp_path, monkeypatch):
    """A film in MPEG-TS with open groups has one IDR picture: all of it would be one group."""
    monkeypatch.setattr(exact, "SECTION_BYTES", 20_000)
    film = make_film("exact-open.ts", open_gop=True, **FILM)
    cut = cut_film(film, tmp_path / "out", 2, precision="exact")
    assert "more than 0 MiB: not cut exactly at 2.000 s" in cut.notes[0]
    assert len(cut.notes) <= exact.MAX_NOTES + 1
    assert "encoded" not in cut.facts
    assert cut.facts["packets_in"] == sum(len(track.packets) for track in read_film(film))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("duration", "overlap"), [(2, 0.5), (0.7, 0.3), (3, 1)], ids=["some", "many", "long tail"]
)
def test_chunks_overlap_exactly_too(make_film, tmp_path, suffix, duration, overlap):
    film = make_film(f"exact-exact.{suffix}", **FILM)
    cut = cut_film(film, tmp_path / "out", duration, precision="exact", overlap=overlap)
    check(cut, film, duration, overlap)
    for message, after in zip(cut.messages[:-1], cut.messages[1:], strict=True):
        late = message["end_time"] - after["start_time"] - overlap
        assert -0.002 < late < 1 / 15 + 0.002


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("wanted", [{}, {"overlap": 0.3}], ids=["", "overlap"])
def test_resumed_it_gives_the_same_bytes(make_film, tmp_path, suffix, wanted):
    film = make_film(f"exact-several.{suffix}", **FILM | {"gop_seconds": 4})
    whole = cut_film(film, tmp_path / "out", 0.7, precision="exact", **wanted)
    assert whole.facts["encoded"]
    for done in (1, 2, len(whole.chunks) - 1):
        after = resumption_after(whole, done)
        rest = cut_film(film, tmp_path / "rest", 0.7, precision="exact", resumption=after, **wanted)
        assert rest.bodies == whole.bodies[done:]
        assert rest.messages[-1]["end_time"] == whole.messages[-1]["end_time"]
        assert rest.integrity == whole.integrity
