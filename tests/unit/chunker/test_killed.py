"""Killed at any moment and started again: the same chunks, the same messages, nothing else.

A film of 100 chunks is cut into `file://` places by attempts that are shot at random
moments (seeded), until one comes to its end; an undisturbed run says what must be there.
"""

import json
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

CHUNKS = 100
IN_FLIGHT = 4
"""Chunks at most that an attempt may make once more: those between cutter and announcement."""
ATTEMPTS = 12


@pytest.fixture(scope="module")
def film(make_film) -> Path:
    return make_film(
        "hundred.mp4", seconds=float(CHUNKS), fps=5, gop_seconds=1.0, width=64, height=48
    )


@dataclass
class Attempt:
    """What one attempt said, and what lay there when it was over."""

    code: int
    messages: list[dict]
    files: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> inode, mtime

    @property
    def chunk_ids(self) -> list[int]:
        return [message["chunk_id"] for message in self.messages]


def read_messages(stdout: str) -> list[dict]:
    """Whole lines; a kill may cut the last one."""
    return [json.loads(line) for line in stdout.splitlines(keepends=True) if line.endswith("\n")]


def stored(directory: Path) -> dict[str, bytes]:
    """Name -> content of all there is in both places, dot files too."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for place in ("out", "cache")
        for path in sorted((directory / place).rglob("*"))
        if path.is_file()
    }


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    files = [path for place in ("out", "cache") for path in (directory / place).rglob("chunk_*")]
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
    }


def wait_for_chunks(process: subprocess.Popen, directory: Path, count: int) -> None:
    """Until that many chunks are cached, or the process has ended."""
    while process.poll() is None:
        if len(list((directory / "cache").rglob("chunk_*"))) >= count:
            return
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed_run(run_chunker_in, film, tmp_path_factory):
    """(messages, files, directory) of a run that nobody disturbs."""
    directory = tmp_path_factory.mktemp("undisturbed")
    run = run_chunker_in(directory, film, 1)
    assert run.code == 0, run.stderr
    assert len(run.messages) == CHUNKS
    return run.messages, stored(directory), directory


@pytest.fixture
def undisturbed(undisturbed_run, tmp_path):
    """(messages, files) as that run would have left them in this test's own places."""
    messages, files, directory = undisturbed_run
    text = json.dumps(messages).replace(str(directory), str(tmp_path))
    return json.loads(text), files


def shoot_until_done(start_chunker, film: Path, directory: Path, seed: int) -> list[Attempt]:
    """Attempts, each but the last killed a random number of chunks (and a moment) later."""
    chance, attempts = random.Random(seed), []
    for number in range(ATTEMPTS):
        process = start_chunker(film, 1)
        if number < ATTEMPTS - 1:
            there = len(list((directory / "cache").rglob("chunk_*")))
            target = min(there + chance.randrange(1, 30), CHUNKS)
            wait_for_chunks(process, directory, target if number else chance.randrange(1, 30))
            time.sleep(chance.random() * 0.01)
            process.kill()
        stdout, _ = process.communicate(timeout=60)
        attempts.append(Attempt(process.returncode, read_messages(stdout), stamps(directory)))
        if process.returncode == 0:
            return attempts
    return attempts


@pytest.mark.parametrize("seed", [1, 2])
def test_shot_and_started_again_it_ends_as_if_undisturbed(
    undisturbed, start_chunker, film, tmp_path, seed
):
    messages, files = undisturbed
    attempts = shoot_until_done(start_chunker, film, tmp_path, seed)
    assert attempts[-1].code == 0
    assert len(attempts) > 1
    after = stored(tmp_path)
    assert set(after) == set(files), "files left over, or missing"
    assert after == files
    by_id = {message["chunk_id"]: message for message in messages}
    announced = set()
    for attempt in attempts:
        for message in attempt.messages:
            assert message == by_id[message["chunk_id"]]
            announced.add(message["chunk_id"])
    assert announced == set(by_id), "chunks that nobody was told of"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_attempt_goes_on_where_the_one_before_was_shot(start_chunker, film, tmp_path):
    attempts = shoot_until_done(start_chunker, film, tmp_path, seed=3)
    assert attempts[-1].code == 0
    for before, after in pairwise(attempts):
        again = [name for name, stamp in before.files.items() if after.files[name] != stamp]
        if after.code == 0:
            assert len(again) <= 2 * IN_FLIGHT, f"{len(again)} stored files were written again"
            repeated = set(before.chunk_ids) & set(after.chunk_ids)
            assert len(repeated) <= IN_FLIGHT, f"{len(repeated)} chunks announced twice"


def test_a_chunk_lost_from_the_cache_meanwhile_is_no_hindrance(
    undisturbed, start_chunker, film, tmp_path
):
    """M2 deletes cached chunks at any time; that must not make the film start over wrongly."""
    messages, files = undisturbed
    process = start_chunker(film, 1)
    wait_for_chunks(process, tmp_path, 20)
    process.kill()
    process.communicate(timeout=60)
    (tmp_path / "cache/temp/101/chunk_001.mp4").unlink()
    process = start_chunker(film, 1)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    by_id = {message["chunk_id"]: message for message in messages}
    assert all(message == by_id[message["chunk_id"]] for message in read_messages(stdout))
    persistent = {name: body for name, body in files.items() if name.startswith("out")}
    after = stored(tmp_path)
    assert {name: body for name, body in after.items() if name.startswith("out")} == persistent
    assert not [name for name in after if Path(name).name.startswith(".")]


def test_another_films_chunks_in_the_way_are_replaced(
    undisturbed, run_chunker, make_film, film, tmp_path
):
    """What lies there from another film or another length must not be taken for one's own."""
    messages, files = undisturbed
    other = make_film("other.mp4", seconds=9.0, fps=5, gop_seconds=1.0, width=80, height=64)
    assert run_chunker(other, 1).code == 0
    assert run_chunker(film, 1).messages == messages
    assert stored(tmp_path) == files


@pytest.mark.parametrize("chunks", [0, 1, 40])
def test_sigterm_ends_as_disrupted_within_five_seconds(start_chunker, film, tmp_path, chunks):
    process = start_chunker(film, 1)
    if chunks:
        wait_for_chunks(process, tmp_path, chunks)
    else:
        assert "source opened" in process.stderr.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 143, stderr
    outcome = json.loads((tmp_path / "termination-log").read_text())
    assert outcome["failure"]["code"] == "DISRUPTED"
    assert outcome["chunks"] == len(read_messages(stdout)) < CHUNKS
    assert "Traceback" not in stderr
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not [name for name in stored(tmp_path) if Path(name).name.startswith(".")]
