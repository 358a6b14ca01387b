"""Killed and started again, in every way of cutting; and what must not be gone on from.

`test_killed.py` shoots at a film that is cut by its index; here is the rest.
"""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from children import hear

WINDOW = 2
ENV = {"M0_UPLOADS": str(WINDOW), "M0_RUN": "run-1", "M0_THREADS": "1"}
MODES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "overlap by packets": ("ts", {}, {"overlap": 0.4}),
    "overlap by index": ("mp4", {}, {"overlap": 0.4}),
    "exact with overlap": ("mkv", {"gop_seconds": 2.2}, {"precision": "exact", "overlap": 0.4}),
    "transcode with overlap": ("mkv", {"gop_seconds": 2.2}, {"fps": 5, "overlap": 0.4}),
}


@dataclass
class Ended:
    """A run that is over."""

    code: int
    messages: list[dict[str, Any]]
    outcome: dict[str, Any]
    stderr: str

    @property
    def chunk_ids(self) -> list[int]:
        return [message["chunk_id"] for message in self.messages]

    @property
    def resumed_at(self) -> int | None:
        return self.outcome["receipt"].get("resumed_at")


def end(process: subprocess.Popen, directory: Path, said: str = "") -> Ended:
    stdout, stderr = process.communicate(timeout=60)
    lines = (said + stdout).splitlines(keepends=True)
    log = directory / "termination-log"
    outcome = json.loads(log.read_text()) if log.exists() else {}
    log.unlink(missing_ok=True)
    messages = [json.loads(line) for line in lines if line.endswith("\n")]
    return Ended(process.returncode, messages, outcome, stderr)


def objects(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for place in ("out", "cache")
        for path in (directory / place).rglob("*.mp4")
    }


def told(messages: list[dict[str, Any]], directory: Path, *fields: str) -> list[dict[str, Any]]:
    """Messages as if all were in the same place, or some of their fields."""
    moved = json.loads(json.dumps(messages).replace(str(directory), "there"))
    return [{name: each[name] for name in fields} for each in moved] if fields else moved


@pytest.fixture
def in_two_attempts(start_chunker_in, make_film, tmp_path_factory):
    """(undisturbed, its directory, killed, second attempt, their directory) for a mode."""

    def run(mode: str) -> tuple[Ended, Path, Ended, Ended, Path]:
        suffix, features, wanted = MODES[mode]
        look = {"seconds": 36.0, "fps": 10, "gop_seconds": 1.0, "width": 64, "height": 48}
        film = make_film(f"killed-{mode}.{suffix}", **(look | features))
        whole = tmp_path_factory.mktemp("whole")
        undisturbed = end(start_chunker_in(whole, film, 1, ENV, **wanted), whole)
        assert undisturbed.code == 0, undisturbed.stderr
        directory = tmp_path_factory.mktemp("killed")
        process = start_chunker_in(directory, film, 1, ENV, **wanted)
        said = hear(process, 4)
        process.kill()
        killed = end(process, directory, said)
        second = end(start_chunker_in(directory, film, 1, ENV, **wanted), directory)
        return undisturbed, whole, killed, second, directory

    return run


@pytest.mark.parametrize("mode", MODES)
def test_it_ends_as_if_undisturbed(in_two_attempts, mode):
    undisturbed, whole, killed, second, directory = in_two_attempts(mode)
    assert killed.code == -9
    assert second.code == 0, second.stderr
    assert second.resumed_at, "begun anew"
    assert second.chunk_ids == sorted(second.chunk_ids)
    assert set(killed.chunk_ids) | set(second.chunk_ids) == set(undisturbed.chunk_ids)
    assert len(set(killed.chunk_ids) & set(second.chunk_ids)) <= WINDOW
    by_id = {message["chunk_id"]: message for message in second.messages}
    for message in killed.messages:
        assert by_id.get(message["chunk_id"], message) == message, "rows differ between attempts"
    messages = sorted(
        (by_id | {m["chunk_id"]: m for m in killed.messages}).values(), key=lambda m: m["chunk_id"]
    )
    for message in messages:
        for name in ("cloud_stream_path", "cache_path"):
            body = Path(message[name].removeprefix("file://")).read_bytes()
            assert hashlib.sha256(body).hexdigest() == message["chunk_hash"]
    if "transcode" in mode:
        fields = ("chunk_id", "start_time", "end_time", "cloud_stream_path")
        assert told(messages, directory, *fields) == told(undisturbed.messages, whole, *fields)
        kept = ("packets_in", "packets_out", "covered_s", "repeated")
    else:
        assert told(messages, directory) == told(undisturbed.messages, whole)
        assert objects(directory) == objects(whole)
        kept = tuple(undisturbed.outcome["integrity"])
    integrity, expected = second.outcome["integrity"], undisturbed.outcome["integrity"]
    if "transcode" in mode:  # sound begins anew at a boundary: a packet more or less
        assert integrity["streams"][0] == expected["streams"][0]
        assert integrity["covered_s"] == expected["covered_s"]
    else:
        assert {k: integrity.get(k) for k in kept} == {k: expected[k] for k in kept}
    assert second.outcome["chunks"] == undisturbed.outcome["chunks"]


@pytest.fixture(scope="module")
def film(make_film) -> Path:
    return make_film("six.mkv", seconds=6.0, fps=10, gop_seconds=1.0, width=64, height=48)


@pytest.fixture
def attempt(start_chunker_in, film, tmp_path):
    """`attempt(M0_…=…, overlap=…)` → how another attempt at the same film ended."""

    def run(**wanted: Any) -> Ended:
        env = {name: wanted.pop(name) for name in list(wanted) if name.startswith("M0_")}
        ended = end(start_chunker_in(tmp_path, film, 1, ENV | env, **wanted), tmp_path)
        assert ended.code == 0, ended.stderr
        return ended

    return run


def test_the_same_run_announces_the_last_ones_another_run_all(attempt, tmp_path):
    first = attempt()
    body = objects(tmp_path)
    again = attempt()
    assert first.chunk_ids == [1, 2, 3, 4, 5, 6]
    assert again.resumed_at >= 5
    assert len(again.messages) <= WINDOW + 1
    assert again.messages == first.messages[-len(again.messages) :]
    other = attempt(M0_RUN="run-2")
    assert other.messages == first.messages
    assert other.resumed_at >= 5
    assert objects(tmp_path) == body
    unknown = {"missing_s": 0}  # the film was not opened
    assert other.outcome["integrity"] | unknown == first.outcome["integrity"] | unknown


def test_what_was_cut_otherwise_is_not_gone_on_from(attempt):
    attempt()
    settings: list[dict[str, Any]] = [
        {"overlap": 0.5},
        {"M0_TAIL_FRACTION": "0.4"},
    ]
    for changed in settings:
        after = attempt(**changed)
        assert after.resumed_at is None, changed
        assert after.chunk_ids == [1, 2, 3, 4, 5, 6]


def test_a_source_that_changed_is_cut_anew(start_chunker_in, film, tmp_path):
    copy = tmp_path / "film.mkv"
    copy.write_bytes(film.read_bytes())
    first = end(start_chunker_in(tmp_path, copy, 1, ENV), tmp_path)
    later = copy.stat().st_mtime + 10
    os.utime(copy, (later, later))
    second = end(start_chunker_in(tmp_path, copy, 1, ENV), tmp_path)
    assert second.resumed_at is None
    assert second.messages == first.messages


def test_chunks_without_their_metadata_are_made_anew(attempt, tmp_path):
    first = attempt()
    for path in (tmp_path / "out").iterdir():
        os.removexattr(path, "user.m0")
    second = attempt()
    assert second.resumed_at is None
    assert second.messages == first.messages


def test_a_foreign_object_in_the_way_is_replaced(attempt, tmp_path):
    first = attempt()
    bodies = objects(tmp_path)
    path = tmp_path / "out/chunk_003.mp4"
    path.unlink()
    path.write_bytes(b"somebody else's")
    second = attempt(M0_RUN="run-2")
    assert (second.resumed_at or 0) < 3
    assert second.messages == first.messages
    assert objects(tmp_path) == bodies


def test_a_directory_in_the_way_is_said_to_be_one(start_chunker_in, film, tmp_path):
    (tmp_path / "out/chunk_003.mp4").mkdir(parents=True)
    ended = end(start_chunker_in(tmp_path, film, 1, ENV), tmp_path)
    assert ended.code != 0
    assert ended.outcome["failure"]["chunk_id"] == 3
    assert "chunk_003.mp4" in ended.outcome["failure"]["message"]
    assert "Traceback" not in ended.stderr
    assert ended.chunk_ids == [1, 2]
