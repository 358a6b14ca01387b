"""`precision: exact`: cuts between key frames, all but the groups at a cut being the film's own."""

from fractions import Fraction
from pathlib import Path

import boxes
import films
import pytest
import splices
import transcodes

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


def check(run, film: Path, duration: float, overlap: float = 0) -> splices.Spliced:
    assert run.code == 0, run.stderr
    found = splices.check_exact(film, run.messages, duration, overlap)
    assert not found.violations, "\n".join(found.violations)
    assert run.scratch == []
    integrity = run.outcome["integrity"]
    assert run.outcome["mode"] == "copy"
    assert integrity.get("encoded", 0) == found.fresh
    assert integrity["packets_in"] == integrity["packets_out"]
    return found


@pytest.mark.parametrize(("name", "features", "duration"), CASES)
def test_chunks_start_at_the_picture_and_none_is_lost(
    make_film, run_chunker, name, features, duration
):
    film = make_film(name, **(FILM | features))
    check(run_chunker(film, duration, precision="exact"), film, duration)
