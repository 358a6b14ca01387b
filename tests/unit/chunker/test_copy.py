"""Stream copy: the worked example to the letter, and what the program says of itself.

That every packet is in one chunk at its own time is for `test_corpus.py`.
"""

import hashlib
from pathlib import Path

import demuxed
import pytest


@pytest.mark.parametrize(
    ("name", "features"),
    [
        pytest.param("plain.mp4", {}, id="mp4"),
        pytest.param("pcm.mov", {"audio_codec": "pcm_s16le"}, id="PCM"),
        pytest.param("film.mkv", {"audio_tracks": 2}, id="two audio tracks"),
    ],
)
def test_the_certificate_counts_what_is_in_the_film(make_film, run_chunker, name, features):
    """The corpus has the chunks judged from outside; this is what the program says of itself."""
    film = make_film(name, **({"seconds": 7.0} | features))
    certificate = run_chunker(film, 2).outcome["integrity"]
    tracks = demuxed.read_film(film)
    assert certificate["packets_in"] == sum(len(track.packets) for track in tracks)
    assert certificate["packets_out"] == certificate["packets_in"]
    assert certificate["covered_s"] == pytest.approx(7.0, abs=0.03)
    assert [stream["kind"] for stream in certificate["streams"]] == [t.kind for t in tracks]


def test_worked_example_in_small(make_film, run_chunker):
    film = make_film("example.mp4", seconds=10.0)
    run = run_chunker(film, 2, fps=30, width=160, height=120)
    assert run.code == 0, run.stderr
    assert run.outcome["mode"] == "copy"
    assert [(m["start_time"], m["end_time"]) for m in run.messages] == [
        (0.0, 2.0),
        (2.0, 4.0),
        (4.0, 6.0),
        (6.0, 8.0),
        (8.0, 10.0),
    ]
    for message in run.messages:
        path = Path(message["cloud_stream_path"].removeprefix("file://"))
        cached = Path(message["cache_path"].removeprefix("file://"))
        assert path.read_bytes() == cached.read_bytes()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == message["chunk_hash"]
        assert message["duration"] == 2.0
        assert message["time_offset"] == message["start_time"]
        assert message["inference_config"] == {"model": "any"}
        assert path.read_bytes()[4:8] == b"ftyp"
        assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    assert run.scratch == []


def test_short_tail_joins_the_chunk_before(make_film, run_chunker):
    film = make_film("tail.mkv", seconds=4.9)
    run = run_chunker(film, 2)
    assert [m["end_time"] for m in run.messages] == pytest.approx([2.0, 4.9], abs=0.002)


def test_same_bytes_every_time(make_film, run_chunker):
    film = make_film("example.mp4", seconds=10.0)
    first = run_chunker(film, 3)
    hashes = [message["chunk_hash"] for message in first.messages]
    spooled = run_chunker(film, 3, env={"M0_SPOOL_BYTES": "1"})
    assert [message["chunk_hash"] for message in spooled.messages] == hashes
    assert spooled.scratch == []
