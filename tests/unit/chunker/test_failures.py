"""What can't be cut: a code, a sentence, the right exit code, nothing left behind.

Files that want to do harm are in `test_hostile.py`.
"""

import json
import signal
import subprocess
import sys

import pytest


def check(run, code, exit_code, *words):
    failure = run.outcome["failure"]
    assert (failure["code"], run.code) == (code, exit_code), run.stderr
    assert all(word in failure["message"] for word in words), failure["message"]
    assert "Traceback" not in run.stderr
    assert run.scratch == []


def test_missing_file(run_chunker, tmp_path):
    run = run_chunker(tmp_path / "none.mp4", 2)
    check(run, "SOURCE_NOT_FOUND", 65, "none.mp4")
    assert run.outcome["failure"]["stage"] == "source"


def test_directory(run_chunker, tmp_path):
    check(run_chunker(tmp_path, 2), "NOT_MEDIA", 65)


BODIES = {
    "text": b"It was a dark and stormy night.\n" * 500,
    "raw pictures": b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + bytes(384)) * 50,
    "half an mp4 header": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
}


@pytest.mark.parametrize("kind", BODIES)
def test_no_film(run_chunker, tmp_path, kind):
    path = tmp_path / "film.mp4"
    path.write_bytes(BODIES[kind])
    run = run_chunker(path, 2)
    check(run, "NOT_MEDIA", 65, "film.mp4")
    assert run.messages == []
    assert run.outcome["failure"]["stage"] == "probe"


ODD_SOUND = {
    "with pictures": (
        "odd_sound.avi",
        {"video_codec": "mpeg4", "bframes": 0},
        "leave the pictures",
    ),
    "alone": ("odd_sound.wav", {"video_codec": None}, "convert the sound to AAC."),
}


@pytest.mark.parametrize(("name", "features", "remedy"), ODD_SOUND.values(), ids=ODD_SOUND)
def test_sound_that_mp4_has_no_place_for(run_chunker, make_film, name, features, remedy):
    film = make_film(name, seconds=3.0, audio_codec="pcm_u8", **features)
    run = run_chunker(film, 2)
    check(run, "UNSUPPORTED_MEDIA", 65, "audio codec pcm_u8", remedy)
    assert run.messages == []


def test_cut_off_before_anything_is_announced(run_chunker, make_film, tmp_path):
    film = make_film("front.mp4", seconds=7.0, options=(("movflags", "faststart"),))
    path = tmp_path / "cut.mp4"
    path.write_bytes(film.read_bytes()[: int(film.stat().st_size * 0.9)])
    run = run_chunker(path, 2)
    check(run, "SOURCE_CORRUPT", 65, "cut off")
    assert run.messages == []


def test_index_missing(run_chunker, make_film, tmp_path):
    film = make_film("plain.mp4", seconds=7.0)
    path = tmp_path / "cut.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    check(run_chunker(path, 2), "NOT_MEDIA", 65, "index is missing")


def test_destination_is_a_file(run_chunker, make_film, tmp_path):
    (tmp_path / "out").write_text("in the way")
    run = run_chunker(make_film("short.mp4", seconds=1.0), 2)
    check(run, "DESTINATION_NOT_FOUND", 65, "chunk_001.mp4")
    assert run.outcome["failure"]["chunk_id"] == 1
    assert run.messages == []


def test_files_are_refused_under_the_operator(run_chunker, make_film):
    run = run_chunker(make_film("short.mp4", seconds=1.0), 2, env={"M0_RESOURCE": "video-1"})
    check(run, "INVALID_REQUEST", 65, "cloud_stream_path")
    assert run.outcome["failure"]["field"] == "cloud_stream_path, destination_prefix" or (
        "cloud_stream_path" in run.outcome["failure"]["field"]
    )


def test_bad_setting_names_the_variable_and_keeps_its_value(run_chunker):
    run = run_chunker("file:///x", 2, env={"M0_CACHE_TTL_HOURS": "hunter2"})
    assert run.code == 64
    assert "cache_ttl_hours" in run.stderr.lower()
    assert "hunter2" not in run.stderr


def test_usage():
    done = subprocess.run(
        [sys.executable, "-c", "from m0_chunker.cli import main; main([])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 64
    assert "--request" in done.stderr


def test_sigterm_ends_as_disrupted_at_once(make_film, start_chunker, tmp_path):
    film = make_film("example.mp4", seconds=10.0)
    process = start_chunker(
        film, 1, env={"M0_X264_PRESET": "veryslow"}, fps=60, width=1920, height=1080
    )
    assert "source opened" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    # To its end the film would take minutes.
    process.communicate(timeout=10)
    assert process.returncode == 143
    outcome = json.loads((tmp_path / "termination-log").read_text())
    assert outcome["failure"]["code"] == "DISRUPTED"
    assert list((tmp_path / "scratch").iterdir()) == []
