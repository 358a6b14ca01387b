"""The REST door's view of the dead letters."""

import json

import httpx
import pytest
from fakes.letters import FakeLetterQueue, Message
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
