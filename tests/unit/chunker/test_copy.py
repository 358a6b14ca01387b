"""Stream copy: every packet of the source in exactly one chunk, at its own time."""

import hashlib
from pathlib import Path

import av
import pytest


def packets(path: Path, offset: float = 0.0) -> dict[int, list[tuple[str, float]]]:
    """Stream index -> (payload's hash, time in the film) of each packet, in file order."""
    found: dict[int, list[tuple[str, float]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                time = float(packet.pts * packet.time_base) + offset
                found.setdefault(packet.stream_index, []).append(
                    (hashlib.sha256(bytes(packet)).hexdigest(), time)
                )
    return found


CASES = [
    pytest.param("plain.mp4", {}, id="mp4, index last"),
    pytest.param("front.mp4", {"options": (("movflags", "faststart"),)}, id="mp4, index first"),
    pytest.param(
        "fragments.mp4", {"options": (("movflags", "frag_keyframe+empty_moov"),)}, id="fragmented"
    ),
    pytest.param("nob.mp4", {"bframes": 0, "gop_seconds": 0.7}, id="no B-frames"),
    pytest.param("film.mkv", {"audio_tracks": 2}, id="mkv, two audio tracks"),
    pytest.param("silent.mp4", {"audio_codec": None}, id="silent"),
    pytest.param("irregular.mp4", {"key_frames": (0, 20, 110, 140)}, id="irregular GOPs"),
    pytest.param("pcm.mov", {"audio_codec": "pcm_s16le"}, id="PCM in MOV"),
]


@pytest.mark.parametrize(("name", "features"), CASES)
def test_every_packet_is_in_one_chunk_at_its_time(make_film, run_chunker, name, features):
    film = make_film(name, **({"seconds": 7.0} | features))
    run = run_chunker(film, 2)
    assert run.code == 0, run.stderr
    source = packets(film)
    joined: dict[int, list[tuple[str, float]]] = {}
    for message in run.messages:
        chunk = packets(run.chunk(message["chunk_id"]), message["time_offset"])
        for stream, entries in chunk.items():
            joined.setdefault(stream, []).extend(entries)
    assert source.keys() == joined.keys()
    for stream, entries in source.items():
        if "pcm" in name and stream == 1:
            continue  # the container slices PCM as it likes; the certificate compares its bytes
        assert [digest for digest, _ in joined[stream]] == [digest for digest, _ in entries]
        error = max(abs(a - b) for (_, a), (_, b) in zip(joined[stream], entries, strict=True))
        assert error < 0.0011, "A/V offset"
    assert run.outcome["integrity"]["bytes_in"] == run.outcome["integrity"]["bytes_out"]


def test_transport_stream_is_cut_from_its_own_start(make_film, run_chunker):
    film = make_film("film.ts", seconds=7.0, options=(("output_ts_offset", "5"),))
    with av.open(str(film)) as container:
        assert container.start_time > 4_500_000
    run = run_chunker(film, 2)
    assert run.code == 0, run.stderr
    source = packets(film)
    starts = [message["start_time"] for message in run.messages]
    assert starts[0] == 0.0
    assert all(2 * n <= start < 2 * n + 0.2 for n, start in enumerate(starts))
    certificate = run.outcome["integrity"]
    assert certificate["packets_out"] == sum(len(entries) for entries in source.values())


@pytest.mark.parametrize(("name", "features"), CASES[:6])
def test_each_chunk_plays_alone_from_its_first_moment(make_film, run_chunker, name, features):
    film = make_film(name, **({"seconds": 7.0} | features))
    run = run_chunker(film, 2)
    frames = 0
    for message in run.messages:
        with av.open(str(run.chunk(message["chunk_id"]))) as container:
            first, *_ = times = [frame.time for frame in container.decode(video=0)]
            # Where the film's own pictures start later than its sound, the first chunk's do.
            late = 0.067 if name == "fragments.mp4" and message["chunk_id"] == 1 else 0
            assert first == pytest.approx(late, abs=0.0011)
            assert len(times) == len(set(times))
            frames += len(times)
        if features.get("audio_codec", "aac") and message["chunk_id"] > 1:
            with av.open(str(run.chunk(message["chunk_id"]))) as container:
                heard = sum(frame.samples for frame in container.decode(audio=0))
            assert heard / 48_000 == pytest.approx(message["duration"], abs=0.025), "muted at a cut"
    assert frames == 7 * 30


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


def test_audio_only(make_film, run_chunker):
    film = make_film("sound.m4a", seconds=7.0, video_codec=None)
    run = run_chunker(film, 2)
    assert run.code == 0, run.stderr
    assert len(run.messages) == 3 or len(run.messages) == 4
    assert run.messages[-1]["end_time"] == pytest.approx(7.0, abs=0.03)
