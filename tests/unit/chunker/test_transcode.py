"""Transcode: exact boundaries, constant frames, sound without gaps."""

from itertools import pairwise

import av
import pytest


def test_boundaries_are_exact_and_frames_constant(make_film, run_chunker):
    film = make_film("transcode.mp4", seconds=7.0, gop_seconds=1.7)
    run = run_chunker(film, 2, fps=10, width=80, height=60)
    assert run.code == 0, run.stderr
    assert run.outcome["mode"] == "transcode"
    assert [(m["start_time"], m["end_time"]) for m in run.messages] == [
        (0.0, 2.0),
        (2.0, 4.0),
        (4.0, 7.0),
    ] or [m["end_time"] for m in run.messages] == [2.0, 4.0, 6.0, 7.0]
    for message in run.messages:
        with av.open(str(run.chunk(message["chunk_id"]))) as container:
            video = container.streams.video[0]
            assert (video.codec_context.width, video.codec_context.height) == (80, 60)
            assert video.average_rate == 10
            frames = [frame.time for frame in container.decode(video=0)]
        assert len(frames) == round(message["duration"] * 10)
        assert frames == pytest.approx([n / 10 for n in range(len(frames))])


def test_sound_is_continuous_across_chunks(make_film, run_chunker):
    film = make_film("transcode.mp4", seconds=7.0, gop_seconds=1.7)
    run = run_chunker(film, 2, fps=10)
    times = []
    for message in run.messages:
        with av.open(str(run.chunk(message["chunk_id"]))) as container:
            times += [
                float(packet.pts * packet.time_base) + message["time_offset"]
                for packet in container.demux(audio=0)
                if packet.size
            ]
    steps = [b - a for a, b in pairwise(times)]
    assert max(abs(step - 1024 / 48_000) for step in steps) < 0.001


def test_same_bytes_every_time(make_film, run_chunker):
    film = make_film("transcode.mp4", seconds=7.0, gop_seconds=1.7)
    hashes = [
        [message["chunk_hash"] for message in run_chunker(film, 2, width=80).messages]
        for _ in range(2)
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("wanted", "mode"),
    [
        pytest.param({}, "copy", id="nothing asked"),
        pytest.param({"fps": 30, "width": 160}, "copy", id="what is there"),
        pytest.param({"fps": 29.97}, "transcode", id="almost the same rate"),
        pytest.param({"height": 60}, "transcode", id="smaller"),
    ],
)
def test_mode(make_film, run_chunker, wanted, mode):
    film = make_film("short.mp4", seconds=1.0)
    assert run_chunker(film, 2, **wanted).outcome["mode"] == mode
