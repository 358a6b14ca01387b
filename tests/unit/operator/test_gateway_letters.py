"""The REST door's view of the dead letters."""

import json

import httpx
import pytest
from fakes.letters import FakeLetterQueue, Message
from m0_operator.services.dead_letters import DeadLetterBox
from m0_wire.errors import BrokerUnavailableError, UnroutableError

from .conftest import request_body
from .doors import Door

LETTERS = "/api/v1/dead-letters"


def letter(number: int, code: str, **more: object) -> Message:
    headers = {
        "x-m0-error-code": code,
        "x-m0-stage": "source",
        "x-m0-process-id": number,
        "x-m0-failed-at": f"2026-01-0{number}T00:00:00Z",
        **more,
    }
    return Message(request_body(number), headers, 3, f"id/{number}")


@pytest.fixture
def door() -> Door:
    raw = Message(b"\xff\x00", {"x-m0-error-code": "INVALID_JSON"}, 0, "raw")
    return Door(letters=FakeLetterQueue([letter(1, "KILLED"), letter(2, "DISK_FULL"), raw]))


@pytest.fixture
def client(door: Door) -> httpx.AsyncClient:
    return door.client()


async def test_the_newest_failure_first(client: httpx.AsyncClient, door: Door) -> None:
    answer = await client.get(LETTERS, params={"limit": 2})
    assert [item["process_id"] for item in answer.json()["items"]] == [2, 1]
    assert (answer.json()["matched"], answer.json()["complete"]) == (3, True)
    assert len(door.letters.letters) == 3


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"code": "KILLED"}, ["id/1"]),
        ({"process_id": "2"}, ["id/2"]),
        ({"since": "2026-01-02T00:00:00Z"}, ["id/2"]),
        ({"stage": "chunk"}, []),
    ],
)
async def test_only_those_that_are_meant(
    client: httpx.AsyncClient, query: dict[str, str], ids: list[str]
) -> None:
    answer = await client.get(LETTERS, params=query)
    assert [item["id"] for item in answer.json()["items"]] == ids


async def test_one_with_its_body_and_headers(client: httpx.AsyncClient) -> None:
    answer = (await client.get(f"{LETTERS}/id%2F1")).json()
    assert json.loads(answer["body"])["process_id"] == 1
    assert answer["headers"]["x-m0-stage"] == "source"
    answer = (await client.get(f"{LETTERS}/raw")).json()
    assert (answer["body"], answer["body_encoding"]) == ("/wA=", "base64")
    assert (await client.get(f"{LETTERS}/other")).status_code == 404


async def test_replayed_as_it_was(client: httpx.AsyncClient, door: Door) -> None:
    answer = await client.post(f"{LETTERS}/id%2F1/replay")
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["status"]) == ("id/1", "QUEUED")
    (sent,) = door.letters.requests
    assert (sent.body, sent.message_id, sent.priority) == (request_body(1), "id/1", 3)
    assert (await client.post(f"{LETTERS}/id%2F1/replay")).status_code == 404
    assert len(door.letters.requests) == 1


async def test_replayed_with_another_request(client: httpx.AsyncClient, door: Door) -> None:
    edited = request_body(1, cloud_stream_path="s3://films/right.mp4")
    assert (await client.post(f"{LETTERS}/id%2F1/replay", content=edited)).status_code == 200
    assert door.letters.requests[0].body == edited
    assert door.letters.requests[0].priority == 3
    edited = request_body(2, priority=9)
    assert (await client.post(f"{LETTERS}/id%2F2/replay", content=edited)).status_code == 200
    assert door.letters.requests[1].priority == 9


async def test_an_edit_that_would_fail_is_not_sent(client: httpx.AsyncClient, door: Door) -> None:
    edited = request_body(1, destination_prefix=...)
    answer = await client.post(f"{LETTERS}/id%2F1/replay", content=edited)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "destination_prefix"
    answer = await client.post(f"{LETTERS}/id%2F1/replay", content=b" " * 300_000)
    assert answer.status_code == 413
    assert door.letters.requests == []
    assert len(door.letters.letters) == 3


async def test_one_is_purged_and_shown_for_the_last_time(
    client: httpx.AsyncClient, door: Door
) -> None:
    answer = await client.delete(f"{LETTERS}/id%2F1")
    assert (answer.status_code, answer.json()["id"], answer.json()["code"]) == (
        200,
        "id/1",
        "KILLED",
    )
    assert [item.message_id for item in door.letters.letters] == ["id/2", "raw"]
    assert door.letters.requests == []
    answer = await client.delete(f"{LETTERS}/id%2F1")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "gone", "missing"),
    [
        ({"id": ["id/1", "raw", "other"]}, ["id/1", "raw"], ["other"]),
        ({"code": "KILLED"}, ["id/1"], []),
        ({"code": "KILLED", "process_id": "2"}, [], []),
        ({"since": "2026-01-02T00:00:00"}, ["id/2"], []),
        ({"process_id": ""}, [], []),
        ({"stage": "chunk"}, [], []),
        ({"all": "true"}, ["id/1", "id/2", "raw"], []),
    ],
)
async def test_those_that_are_meant_are_purged(
    client: httpx.AsyncClient,
    door: Door,
    query: dict[str, str],
    gone: list[str],
    missing: list[str],
) -> None:
    answer = await client.delete(LETTERS, params=query)
    assert answer.status_code == 200
    found = answer.json()
    assert [item["id"] for item in found["items"]] == gone
    assert (found["missing"], found["complete"]) == (missing, True)
    left = [item.message_id for item in door.letters.letters]
    assert left == [name for name in ("id/1", "id/2", "raw") if name not in gone]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"all": "false"},
        {"code": "KILLED", "all": "true"},
        {"id": "raw", "code": "KILLED"},
        {"id": "raw", "all": "true"},
        {"code": "NONSENSE"},
        {"code": ""},
        {"code": "KILLED", "sinze": "2026-01-01T00:00:00Z"},
        {"all": "true", "limit": "1"},
        {"id": "x" * 2000},
    ],
)
async def test_nothing_is_purged_by_mistake(
    client: httpx.AsyncClient, door: Door, query: dict[str, str]
) -> None:
    answer = await client.delete(LETTERS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["message"]
    assert len(door.letters.letters) == 3


async def test_who_may_only_look_purges_nothing() -> None:
    letters = FakeLetterQueue([letter(1, "KILLED")])
    settings = {"gateway_read_tokens": "0123456789abcdef"}
    client = Door(letters=letters, settings=settings).client(
        headers={"authorization": "Bearer 0123456789abcdef"}
    )
    for path in (LETTERS + "?all=true", f"{LETTERS}/id%2F1"):
        assert (await client.delete(path)).status_code == 403
    assert (await client.patch("/api/v1/jobs/101", json={"suspend": True})).status_code == 403
    assert len(letters.letters) == 1


async def test_one_that_was_not_seen_may_be_there(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeadLetterBox.__init__, "__kwdefaults__", {"at_most": 1})
    answer = await door.client().delete(f"{LETTERS}/id%2F2")
    assert (answer.status_code, answer.json()["code"]) == (503, "LETTERS_UNSEEN")
    answer = await door.client().delete(LETTERS, params={"all": "true"})
    assert (len(answer.json()["items"]), answer.json()["complete"]) == (1, False)


@pytest.mark.parametrize(
    "error", [BrokerUnavailableError("amqp://u:secret@h"), UnroutableError("x")]
)
async def test_a_broker_that_does_not_confirm(
    client: httpx.AsyncClient, door: Door, error: Exception
) -> None:
    door.letters.errors["resubmit"] = error
    answer = await client.post(f"{LETTERS}/id%2F1/replay")
    assert (answer.status_code, answer.json()["code"]) == (503, "BROKER_UNREACHABLE")
    assert "secret" not in answer.text
    assert len(door.letters.letters) == 3
    door.letters.errors["take"] = error
    assert (await client.get(LETTERS)).status_code == 503
    assert (await client.delete(f"{LETTERS}/id%2F1")).status_code == 503
    assert (await client.delete(LETTERS, params={"all": "true"})).status_code == 503
