"""The REST door over a fake queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from m0_contract.request import MAX_BODY_BYTES
from m0_operator.gateway.app import build_app
from m0_wire.errors import BrokerUnavailableError, UnroutableError

from .conftest import request_body
from .doors import FakeQueue


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def client(queue: FakeQueue) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=build_app(queue))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def post(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post("/api/v1/process_video", content=body)


async def test_a_request_is_published_as_it_came_and_answered(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    answer = await post(client, request_body())
    assert answer.status_code == 200
    assert answer.json().keys() == {"process_id", "status", "message"}
    assert (answer.json()["process_id"], answer.json()["status"]) == (101, "QUEUED")
    assert queue.published == [(request_body(), 0)]


async def test_a_trace_goes_with_the_message_and_nothing_else_does(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for value in (trace, "nonsense"):
        headers = {"traceparent": value, "x-other": "1", "Authorization": "Bearer x"}
        await client.post("/api/v1/process_video", content=request_body(), headers=headers)
    assert queue.headers == [{"traceparent": trace}, {}]


async def test_the_priority_goes_to_the_queue_and_not_into_the_body(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    answer = await post(client, request_body(process_id="a-1", priority=7))
    assert answer.json()["process_id"] == "a-1"
    ((body, priority),) = queue.published
    assert priority == 7
    assert json.loads(body) == json.loads(request_body(process_id="a-1"))


@pytest.mark.parametrize("priority", [-1, 10, True, "5", 1.5, None])
async def test_a_bad_priority_is_named(
    client: httpx.AsyncClient, queue: FakeQueue, priority: object
) -> None:
    answer = await post(client, request_body(priority=priority))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "priority"]
    assert queue.published == []


async def test_every_bad_field_is_named(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    body = request_body(destination_prefix=..., video_preprocessing={"fps": -1}, priority=99)
    answer = await post(client, body)
    assert answer.status_code == 422
    assert [item["loc"] for item in answer.json()["detail"]] == [
        ["body", "destination_prefix"],
        ["body", "video_preprocessing", "chunk_duration"],
        ["body", "video_preprocessing", "fps"],
        ["body", "priority"],
    ]
    assert answer.json()["detail"][0]["type"] == "missing"
    assert queue.published == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"\xff", b"[]", b'{"a": NaN}', b"[" * 50_000],
    ids=["cut off", "empty", "not UTF-8", "an array", "NaN", "nested without end"],
)
async def test_what_is_no_json_object_is_refused(
    client: httpx.AsyncClient, queue: FakeQueue, body: bytes
) -> None:
    answer = await post(client, body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]
    assert queue.published == []


async def test_a_local_file_is_no_source(client: httpx.AsyncClient) -> None:
    answer = await post(client, request_body(cloud_stream_path="file:///etc/passwd"))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "cloud_stream_path"]


async def test_too_large_is_refused(client: httpx.AsyncClient) -> None:
    answer = await post(client, b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


async def test_a_caller_who_hangs_up_is_no_bug(queue: FakeQueue) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        return

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/process_video",
        "query_string": b"",
        "headers": [],
    }
    await build_app(queue)(scope, receive, send)
    assert queue.published == []


@pytest.mark.parametrize(
    "error", [BrokerUnavailableError("amqp://u:secret@h"), UnroutableError("no queue")]
)
async def test_never_queued_without_the_brokers_word(
    client: httpx.AsyncClient, queue: FakeQueue, error: Exception
) -> None:
    queue.error = error
    answer = await post(client, request_body())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


async def test_health_says_what_is_away_and_readiness_follows(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    queue.error = BrokerUnavailableError("away")
    health = await client.get("/health")
    assert health.status_code == 200
    assert health.json()["dependencies"]["rabbitmq"] == "unavailable"
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_who_asks_for_problem_json_gets_it_to_the_letter(client: httpx.AsyncClient) -> None:
    body = request_body(destination_prefix=..., priority=99)
    wanted = {"accept": "application/problem+json"}
    strict = await client.post("/api/v1/process_video", content=body, headers=wanted)
    usual = await post(client, body)
    assert strict.headers["content-type"] == usual.headers["content-type"] == wanted["accept"]
    assert strict.json() == {
        "type": "urn:m0:problem:invalid-request",
        "title": "Invalid request",
        "status": 422,
        "detail": "destination_prefix: is missing; priority: must be an integer from 0 to 9",
        "instance": "/api/v1/process_video",
        "code": "INVALID_REQUEST",
        "errors": [
            {"field": "destination_prefix", "message": "is missing"},
            {"field": "priority", "message": "must be an integer from 0 to 9"},
        ],
    }
    same = strict.json().keys() - {"detail"}
    assert {key: usual.json()[key] for key in same} == {key: strict.json()[key] for key in same}


async def test_the_same_request_again_is_queued_again(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    first, second = [await post(client, request_body()) for _ in range(2)]
    assert first.json() == second.json()
    assert len(queue.published) == 2


async def test_a_body_that_says_it_is_too_large_is_not_read(queue: FakeQueue) -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is to be read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/process_video",
        "query_string": b"",
        "headers": [(b"content-length", str(MAX_BODY_BYTES + 1).encode())],
    }
    await build_app(queue)(scope, receive, send)
    assert sent[0]["status"] == 413


async def test_a_body_that_does_not_come_is_not_waited_for(
    queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m0_operator.gateway.bodies.BODY_S", 0.01)

    async def dawdling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    transport = httpx.ASGITransport(app=build_app(queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post("/api/v1/process_video", content=dawdling())
    assert (answer.status_code, answer.json()["code"]) == (408, "REQUEST_TIMEOUT")
