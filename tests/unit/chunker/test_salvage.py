"""Films cut off at their end, where the deployment wants what there is of them.

Every packet that lies whole in the file is in the chunks, none that doesn't, and the
certificate says what is missing.
"""

from collections import Counter
from pathlib import Path

import av
import hostile
import pytest

SALVAGE = {"M0_SALVAGE": "true"}
FILM = {"seconds": 9.0, "fps": 15, "gop_seconds": 1.0}
FRONT = {"options": (("movflags", "faststart"),)}
FRAGMENTS = {"options": (("movflags", "frag_keyframe+empty_moov"),)}
APART = FRONT | {"interleave_s": 1000.0}
"""All pictures in front of all sound."""

CASES = {
    "MP4, index in front": ("salvage_front.mp4", FRONT, 0.6),
    "MP4, cut off in its sound, which lies last": ("salvage_apart.mp4", APART, 0.8),
    "MOV with raw sound": ("salvage_raw.mov", FRONT | {"audio_codec": "pcm_s16le"}, 0.6),
    "fragmented MP4": ("salvage_fragments.mp4", FRAGMENTS, 0.6),
    "MKV": ("salvage.mkv", {}, 0.6),
}


def payloads(path: Path) -> dict[str, Counter[bytes]]:
    """Kind of stream → its packets' bytes."""
    found: dict[str, Counter[bytes]] = {"video": Counter(), "audio": Counter()}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                found[packet.stream.type][bytes(packet)] += 1
    return found


def total(chunks: list[Path]) -> dict[str, Counter[bytes]]:
    found = [payloads(chunk) for chunk in chunks]
    return {kind: sum((each[kind] for each in found), Counter()) for kind in ("video", "audio")}


@pytest.fixture
def salvage(run_chunker, make_film, tmp_path):
    """`salvage(name, features, part)` → (film, what is left of it, the run)."""

    def run(name: str, features: dict, part: float, **preprocessing):
        film = make_film(name, **(FILM | features))
        left = hostile.cut(film, tmp_path / f"cut{film.suffix}", part)
        return film, left, run_chunker(left, 2, env=SALVAGE, **preprocessing)

    return run


@pytest.mark.parametrize(("name", "features", "part"), CASES.values(), ids=CASES)
def test_what_is_whole_is_kept_and_the_rest_is_named(salvage, name, features, part):
    film, left, run = salvage(name, features, part)
    assert run.code == 0, run.stderr
    data = left.read_bytes()
    whole, given = payloads(film), total(run.chunks)
    for kind in ("video", "audio"):
        there = Counter({packet: n for packet, n in whole[kind].items() if packet in data})
        if "raw" not in name:  # raw sound is packed anew
            assert given[kind] == there, kind
    integrity = run.outcome["integrity"]
    assert integrity["missing_s"] > 0
    if "apart" in name:
        assert sum(given["video"].values()) > 130
        assert integrity["missing_s"] > 2  # of sound; the pictures go on
    assert any("cut off" in note or "not there" in note for note in integrity["notes"])


def test_a_transport_stream_ends_where_it_ends(salvage):
    _, _, run = salvage("salvage.ts", {}, 0.6)
    assert run.code == 0, run.stderr
    assert len(run.chunks) >= 2


def test_a_transcode_goes_as_far_as_well(salvage):
    _, _, run = salvage("salvage_front.mp4", FRONT, 0.6, fps=10)
    assert run.code == 0, run.stderr
    assert run.outcome["integrity"]["missing_s"] > 2
    assert run.outcome["integrity"]["covered_s"] > 4


def test_an_exact_cut_goes_as_far_as_well(salvage):
    _, _, run = salvage("salvage_front.mp4", FRONT, 0.6, precision="exact")
    assert run.code == 0, run.stderr
    assert run.outcome["integrity"]["missing_s"] > 2


def test_a_whole_film_comes_out_as_ever(run_chunker, make_film):
    film = make_film("salvage_front.mp4", **(FILM | FRONT))
    run = run_chunker(film, 2, env=SALVAGE)
    salvaged = [chunk.read_bytes() for chunk in run.chunks]
    assert run.outcome["integrity"]["missing_s"] < 0.1
    assert "notes" not in run.outcome["integrity"]
    assert '"by": "index"' in run.stderr
    run = run_chunker(film, 2)
    assert [chunk.read_bytes() for chunk in run.chunks] == salvaged


def test_pictures_that_are_all_missing_are_no_film_of_sound(salvage):
    _, _, run = salvage("salvage_late_pictures.mp4", APART | {"video_delay_s": 0.5}, 0.02)
    assert run.code == 65
    assert run.messages == []
