"""The REST door's way to a video's log."""

import json

import httpx
import pytest
from fakes.videos import FakeVideoStore, build_video
from m0_operator.errors import ClusterForbiddenError, ClusterUnavailableError
from m0_operator.gateway import log_routes
from m0_operator.gateway.streams import Streams

from .doors import Door
from .test_gateway_events import Call

LOGS = "/api/v1/jobs/101/logs"


@pytest.fixture
def door() -> Door:
    return Door(store=FakeVideoStore(build_video(101, phase="Running", jobRef={"name": "job-1"})))


@pytest.fixture
def client(door: Door) -> httpx.AsyncClient:
    return door.client()


def follow(door: Door) -> Call:
    return Call(door, LOGS, query=b"follow=true")


async def test_each_pods_lines_below_its_name(client: httpx.AsyncClient, door: Door) -> None:
    door.store.write("pod-a", "1", "2", "3", phase="Failed")
    door.store.write("pod-b", "── mine", "ü")
    answer = await client.get(LOGS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "content-length" not in answer.headers
    assert answer.text == "── pod-a\n1\n2\n3\n── pod-b\n ── mine\nü\n"
    assert (await client.get(LOGS, params={"tail": 1})).text == "── pod-a\n3\n── pod-b\nü\n"
    assert (await client.get(LOGS, params={"tail": 0})).text == ""
    for bad in ("-1", "some", "1000001"):
        answer = await client.get(LOGS, params={"tail": bad})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "tail")


async def test_it_is_sent_as_it_is_written_and_ends_with_the_video(door: Door) -> None:
    call = follow(door)
    door.store.write("pod-a", "one")
    await call.until(b"one\n")
    door.store.write("pod-a", "two")
    await call.until(b"two\n")
    assert not call.ended
    door.store.write("pod-a", phase="Succeeded")
    door.store.set_status("video-101", phase="Succeeded")
    await call.end()
    assert (call.status, call.ended) == (200, True)
    assert call.heard.decode() == "── pod-a\none\ntwo\n"
    assert door.streams.open == 0


@pytest.mark.parametrize("query", [{}, {"follow": "true"}])
async def test_what_there_is_none_of(
    client: httpx.AsyncClient, door: Door, query: dict[str, str]
) -> None:
    assert (await client.get("/api/v1/jobs/7/logs", params=query)).json()["code"] == "NOT_FOUND"
    door.store.put(build_video("a/b", phase="Running"))
    answer = await client.get("/api/v1/jobs/a%2Fb/logs")
    assert answer.json()["code"] == "NO_POD", "the video is there"
    door.store.set_status("video-101", phase="Failed")
    answer = await client.get(LOGS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_POD")
    assert "has no pod any more" in answer.json()["detail"]


@pytest.mark.parametrize("query", [{}, {"follow": "true"}])
async def test_one_that_may_not_read_it_says_which_value_to_set(
    client: httpx.AsyncClient, door: Door, query: dict[str, str]
) -> None:
    door.logs = False
    answer = await door.client().get(LOGS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (501, "LOGS_OFF")
    assert "gateway.logs.enabled" in answer.json()["detail"]
    door.store.log_error = ClusterForbiddenError('User "system:serviceaccount:m0:m0-gateway"')
    answer = await client.get(LOGS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (501, "LOGS_OFF")
    assert "pods/log" in answer.json()["detail"]
    assert "serviceaccount" not in answer.text


async def test_an_api_that_is_away_is_a_problem_and_later_a_last_line(
    client: httpx.AsyncClient, door: Door
) -> None:
    door.store.log_error = ClusterUnavailableError("https://10.0.0.1 is away")
    answer = await client.get(LOGS)
    assert (answer.status_code, answer.json()["code"]) == (503, "KUBERNETES_UNREACHABLE")
    door.store.log_error = None
    call = follow(door)
    door.store.write("pod-a", "one")
    await call.until(b"one\n")
    door.store.log_error = ClusterUnavailableError("https://10.0.0.1 is away")
    door.store.write("pod-a", phase="Failed")
    await call.end()
    assert call.heard.decode().splitlines()[-1] == "── broke off here: ask again"
    assert b"10.0.0.1" not in call.heard


async def test_a_silent_one_is_begun_and_ends_when_its_listener_leaves(door: Door) -> None:
    door.streams = Streams(1, heartbeat_s=0.01)
    call = follow(door)
    await call.until(b"", 1)
    while not call.status:
        await call.news.wait()
        call.news.clear()
    assert (call.status, call.heard) == (200, b"")
    late = follow(door)
    await late.end()
    assert (late.status, json.loads(late.heard)["code"]) == (503, "TOO_MANY_STREAMS")
    call.leave()
    await call.end()
    assert door.streams.open == 0


async def test_a_silent_one_whose_video_ends_without_a_pod_says_so(door: Door) -> None:
    door.streams = Streams(heartbeat_s=0.01)
    call = follow(door)
    while not call.status:
        await call.news.wait()
        call.news.clear()
    door.store.set_status("video-101", phase="Stopped")
    await call.end()
    assert call.heard.decode() == "── ended here: video-101 has no pod any more\n"


async def test_when_the_gateway_ends_it_says_so(door: Door) -> None:
    call = follow(door)
    door.store.write("pod-a", "one")
    await call.until(b"one\n")
    door.streams.closing.set()
    await call.end()
    assert call.heard.decode().splitlines()[-1].startswith("── ended here")


async def test_no_log_is_without_end(
    client: httpx.AsyncClient, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_routes.LogStream, "_left", 100)
    door.store.write("pod-a", *("x" * 20 for _ in range(50)))
    lines = (await client.get(LOGS)).text.splitlines()
    assert len(lines) < 10
    assert lines[-1].endswith("ask for the tail")
