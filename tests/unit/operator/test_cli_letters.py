"""`m0 dlq`, beside the cluster and through the gateway."""

import io
import json
from pathlib import Path

import pytest
import yaml
from fakes.letters import FakeLetterQueue, Message
from m0_wire.errors import BrokerUnavailableError, UnroutableError

from .conftest import request_body
from .rooms import Home

Capture = pytest.CaptureFixture[str]


def letter(number: int, code: str) -> Message:
    headers = {
        "x-m0-error-code": code,
        "x-m0-error-message": "the object is gone",
        "x-m0-stage": "source",
        "x-m0-process-id": number,
        "x-m0-failed-at": f"2026-01-0{number}T00:00:00Z",
        "trace": "abc",
    }
    return Message(request_body(number), headers, 3, f"id/{number}")


def full() -> FakeLetterQueue:
    raw = Message(b"\xff\x00", {"x-m0-error-code": "INVALID_JSON"}, 0, "raw")
    return FakeLetterQueue([letter(1, "KILLED"), letter(2, "DISK_FULL"), raw])


@pytest.fixture(params=[False, True], ids=["cluster", "gateway"])
def home(request: pytest.FixtureRequest) -> Home:
    return Home(through_gateway=request.param, letters=full())


def test_the_list_in_each_form(home: Home, capsys: Capture) -> None:
    assert home.run("dlq", "list") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["ID", "id/2", "id/1", "raw"]
    assert lines[1][:5] == ["id/2", "2", "DISK_FULL", "source", "3"]
    assert home.run("dlq", "list", "-o", "wide") == 0
    assert "the object is gone" in capsys.readouterr().out
    assert home.run("dlq", "list", "--code", "killed", "-o", "name") == 0
    assert capsys.readouterr().out == "id/1\n"
    assert home.run("dlq", "list", "--process-id", 2, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["id"] == "id/2"
    assert home.run("dlq", "list", "--limit", 1, "-o", "yaml") == 0
    said = capsys.readouterr()
    assert yaml.safe_load(said.out)["matched"] == 3
    assert "2 more" in said.err


def test_an_empty_queue(capsys: Capture) -> None:
    assert Home().run("dlq", "list") == 0
    assert capsys.readouterr().err == "no dead letters\n"


def test_one_letter_says_why_and_what_to_do(home: Home, capsys: Capture) -> None:
    assert home.run("dlq", "show", "id/2") == 0
    out = capsys.readouterr().out
    for words in ("DISK_FULL: the object is gone", "scratch size", "trace", '"process_id": 2'):
        assert words in out, words
    assert home.run("dlq", "show", "id/9") == 3
    assert "may have been replayed" in capsys.readouterr().err


def test_only_the_body(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    del monkeypatch
    assert home.run("dlq", "show", "raw", "--body") == 0
    assert capsysbinary.readouterr().out == b"\xff\x00"


def test_a_replay_by_id_and_one_that_is_gone(home: Home, capsys: Capture) -> None:
    assert home.run("dlq", "replay", "id/1", "id/9") == 3
    said = capsys.readouterr()
    assert said.out == "id/1 replayed (video 1)\n"
    assert "there is no dead letter id/9" in said.err
    assert [item.message_id for item in home.letters.requests] == ["id/1"]


def test_a_replay_by_filter_and_of_all(home: Home, capsys: Capture) -> None:
    assert home.run("dlq", "replay") == 2
    assert "which ones?" in capsys.readouterr().err
    assert home.run("dlq", "replay", "--code", "DISK_FULL", "-o", "name") == 0
    assert capsys.readouterr().out == "id/2\n"
    assert home.run("dlq", "replay", "--code", "NONSENSE") == 2
    assert home.run("dlq", "replay", "id/1", "--all") == 2
    assert home.run("dlq", "replay", "--all", "-o", "json") == 0
    assert len(home.letters.requests) == 3
    assert home.letters.letters == []


def test_a_replay_with_another_request_and_priority(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "fixed.json"
    file.write_bytes(request_body(1, cloud_stream_path="s3://films/b.mp4"))
    assert home.run("dlq", "replay", "id/1", "-f", file, "--priority", 8) == 0
    (sent,) = home.letters.requests
    assert json.loads(sent.body)["cloud_stream_path"] == "s3://films/b.mp4"
    assert sent.priority == 8
    assert home.run("dlq", "replay", "--all", "-f", file) == 2
    file.write_text("{}")
    assert home.run("dlq", "replay", "id/2", "-f", file) == 2


def test_a_purge_wants_to_be_sure(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert home.run("dlq", "purge", "id/1") == 2
    assert "--yes" in capsys.readouterr().err
    assert home.run("dlq", "purge", "id/1", "--yes") == 0
    assert [item.message_id for item in home.letters.letters] == ["id/2", "raw"]
    assert home.letters.requests == []
    assert home.run("dlq", "purge", "--yes") == 2
    assert home.run("dlq", "purge", "id/9", "id/2", "--yes") == 3
    assert "there is no dead letter id/9" in capsys.readouterr().err
    assert home.run("dlq", "purge", "--code", "INVALID_JSON", "--process-id", 7, "--yes") == 0
    assert [item.message_id for item in home.letters.letters] == ["raw"]
    assert home.run("dlq", "purge", "--all", "--yes", "-o", "yaml") == 0
    assert home.letters.letters == []


def test_hundreds_are_purged_by_their_ids(home: Home) -> None:
    names = [f"m0-failed-{number:036}" for number in range(600)]
    home.letters.letters = [Message(b"{}", {}, 0, name) for name in (*names, "other")]
    assert home.run("dlq", "purge", *names, "--yes") == 0
    assert [item.message_id for item in home.letters.letters] == ["other"]


def test_a_person_is_asked_and_may_say_no(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert home.run("dlq", "purge", "--all") == 130
    assert len(home.letters.letters) == 3
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert home.run("dlq", "purge", "id/1") == 0
    assert len(home.letters.letters) == 2


def test_a_broker_that_is_away_or_has_no_queue(
    home: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M0_AMQP_URL", "amqp://me:secret@broker/")
    home.letters.errors = {"take": BrokerUnavailableError("ACCESS_REFUSED - Login was refused")}
    assert home.run("dlq", "list") == 4
    err = capsys.readouterr().err
    assert "secret" not in err
    if not home.through_gateway:
        assert "user or password is wrong" in err
    home.letters.errors = {"resubmit": UnroutableError("no queue")}
    assert home.run("dlq", "replay", "id/1") in {4, 5}
    assert "Traceback" not in capsys.readouterr().err
