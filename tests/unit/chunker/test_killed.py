"""Killed at any moment and started again: the same chunks, the same messages, nothing else.

A film of 100 chunks is cut into `file://` places by attempts that are shot at random
moments (seeded), until one comes to its end; an undisturbed run says what must be there.
"""

import json
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from children import hear

CHUNKS = 100
IN_FLIGHT = 4
"""Chunks at most that an attempt may make once more: those between cutter and announcement."""
ATTEMPTS = 12
AHEAD = 30
"""Chunks that an attempt may be ahead of what was heard of it: its pipe's, and those in flight."""


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


@pytest.fixture(scope="module")
def undisturbed_run(start_chunker_in, film, tmp_path_factory):
    """(messages, files, directory) of a run that nobody disturbs."""
    directory = tmp_path_factory.mktemp("undisturbed")
    process = start_chunker_in(directory, film, 1)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    messages = read_messages(stdout)
    assert len(messages) == CHUNKS
    return messages, stored(directory), directory


def moved(messages: list[dict], old: Path, new: Path) -> list[dict]:
    """Messages as a run with its places elsewhere would have sent them."""
    return json.loads(json.dumps(messages).replace(str(old), str(new)))


@pytest.fixture
def undisturbed(undisturbed_run, tmp_path):
    """(messages, files) as that run would have left them in this test's own places."""
    messages, files, directory = undisturbed_run
    return moved(messages, directory, tmp_path), files


@pytest.fixture(scope="module", params=[1, 2], ids=["seed 1", "seed 2"])
def shot(request, start_chunker_in, film, tmp_path_factory) -> tuple[list[Attempt], Path]:
    """Attempts, each killed a random number of chunks and a moment later, the last one not."""
    directory = tmp_path_factory.mktemp("shot")
    chance, attempts = random.Random(request.param), []
    for number in range(ATTEMPTS):
        there = len(list((directory / "cache").rglob("chunk_*"))) if number else 0
        process, said = start_chunker_in(directory, film, 1), ""
        # Not at the very end: a film that is whole is told of anew, as a person wants it.
        if number < ATTEMPTS - 1 and there < CHUNKS - AHEAD:
            said = hear(process, min(chance.randrange(5, 45), CHUNKS - AHEAD - there))
            time.sleep(chance.random() * 0.01)
            process.kill()
        stdout, _ = process.communicate(timeout=60)
        attempts.append(
            Attempt(process.returncode, read_messages(said + stdout), stamps(directory))
        )
        if process.returncode == 0:
            break
    assert attempts[-1].code == 0
    assert len(attempts) > 1
    return attempts, directory


def test_shot_and_started_again_it_ends_as_if_undisturbed(undisturbed_run, shot):
    attempts, directory = shot
    messages, files, elsewhere = undisturbed_run
    after = stored(directory)
    assert {name: after.get(name) for name in files} == files
    by_id = {message["chunk_id"]: message for message in moved(messages, elsewhere, directory)}
    for attempt in attempts:
        for message in attempt.messages:
            assert message == by_id[message["chunk_id"]]
        assert attempt.chunk_ids == sorted(attempt.chunk_ids)
    announced = {number for attempt in attempts for number in attempt.chunk_ids}
    assert announced == set(by_id), "chunks that nobody was told of"
    outcome = json.loads((directory / "termination-log").read_text())
    sizes = [
        len((directory / "out" / f"chunk_{at + 1:03d}.mp4").read_bytes()) for at in range(CHUNKS)
    ]
    assert (outcome["chunks"], outcome["size_bytes"]) == (CHUNKS, sum(sizes))


def test_shot_and_started_again_it_leaves_nothing_else_behind(undisturbed_run, shot):
    _, directory = shot
    _, files, _ = undisturbed_run
    assert set(stored(directory)) == set(files)
    assert list((directory / "scratch").iterdir()) == []


def test_an_attempt_goes_on_where_the_one_before_was_shot(shot):
    attempts, _ = shot
    for before, after in pairwise(attempts):
        again = [name for name, stamp in before.files.items() if after.files.get(name) != stamp]
        assert len(again) <= 2 * IN_FLIGHT, f"{len(again)} stored files were written again"
        repeated = set(before.chunk_ids) & set(after.chunk_ids)
        assert len(repeated) <= IN_FLIGHT, f"{len(repeated)} chunks announced twice"


def test_a_chunk_lost_from_the_cache_meanwhile_is_no_hindrance(
    undisturbed, start_chunker, film, tmp_path
):
    """M2 deletes cached chunks at any time; that must not make the film start over wrongly."""
    messages, files = undisturbed
    process = start_chunker(film, 1)
    hear(process, 20)
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


def stop(start_chunker_in, film, directory: Path, chunks: int) -> tuple[dict, list[dict], str]:
    """SIGTERM when so many chunks are there → outcome, messages, stderr."""
    directory.mkdir()
    process, said = start_chunker_in(directory, film, 1), ""
    if chunks:
        said = hear(process, chunks)
    else:
        assert "source opened" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=15)
    assert process.returncode == 143, stderr
    outcome = json.loads((directory / "termination-log").read_text())
    return outcome, read_messages(said + stdout), stderr


@pytest.mark.parametrize("chunks", [0, 1, 40])
def test_sigterm_ends_as_disrupted_within_five_seconds(start_chunker_in, film, tmp_path, chunks):
    directory = tmp_path / "stopped"
    outcome, messages, stderr = stop(start_chunker_in, film, directory, chunks)
    assert outcome["failure"]["code"] == "DISRUPTED"
    assert outcome["chunks"] == len(messages) < CHUNKS
    assert "Traceback" not in stderr
    assert list((directory / "scratch").iterdir()) == []
    assert not [name for name in stored(directory) if Path(name).name.startswith(".")]
