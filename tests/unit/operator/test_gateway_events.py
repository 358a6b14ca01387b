"""Server-sent events of the REST door, heard as a server would send them."""

import asyncio
import json
from typing import Any

import pytest
from fakes.videos import FakeVideoStore, build_video, final
from m0_operator.errors import ClusterUnavailableError
from m0_operator.gateway.streams import Streams

from .doors import Door


class Call:
    """One request of a listener that stays."""

    def __init__(
        self,
        door: Door,
        path: str = "/api/v1/jobs/101/events",
        after: str = "",
        query: bytes = b"",
    ) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.heard = b""
        self.ended = False
        self.news = asyncio.Event()
        self._left = asyncio.Event()
        headers = [(b"last-event-id", after.encode())] if after else []
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
            "query_string": query, "headers": headers,
        }  # fmt: skip
        self.task = asyncio.create_task(door.build()(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.heard += message["body"]
            self.ended = not message.get("more_body", False)
        self.news.set()

    def leave(self) -> None:
        self._left.set()

    async def until(self, text: bytes, count: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.heard.count(text) < count:
                await self.news.wait()
                self.news.clear()

    async def end(self) -> None:
        await asyncio.wait_for(self.task, 5)

    @property
    def events(self) -> list[dict[str, str]]:
        """As the standard has them read."""
        blocks = self.heard.decode().split("\n\n")
        parsed = [
            dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            for block in blocks
        ]
        return [event for event in parsed if "event" in event]


@pytest.fixture
def door() -> Door:
    return Door(store=FakeVideoStore(build_video(101)))


async def test_each_change_is_an_event_and_the_end_is_told(door: Door) -> None:
    call = Call(door)
    await call.until(b"event: status")
    running = door.store.set_status("video-101", phase="Running")
    await call.until(b"event: status", 2)
    ended = door.store.set_status("video-101", **final())
    await call.end()
    assert (call.status, call.ended) == (200, True)
    assert call.headers[b"content-type"].startswith(b"text/event-stream")
    assert call.headers[b"cache-control"] == b"no-store"
    assert call.heard.startswith(b"retry: 3000\n\n")
    assert [event["event"] for event in call.events] == ["status", "status", "status", "end"]
    assert [event.get("id") for event in call.events[1:]] == [running, ended, None]
    assert json.loads(call.events[1]["data"])["phase"] == "Running"
    assert json.loads(call.events[3]["data"]) == {"reason": "final"}
    assert door.streams.open == 0


async def test_a_listener_goes_on_where_it_was(door: Door) -> None:
    seen = door.store.set_status("video-101", phase="Running")
    door.store.set_status("video-101", **final("KILLED"))
    call = Call(door, after=seen)
    await call.end()
    assert [event["event"] for event in call.events] == ["status", "end"]
    assert json.loads(call.events[0]["data"])["failure"]["code"] == "KILLED"


async def test_a_listener_that_has_heard_the_end_is_told_to_stay_away(door: Door) -> None:
    """A browser comes back to a stream that has ended, unless it is told 204."""
    last = door.store.set_status("video-101", **final())
    call = Call(door, after=last)
    await call.end()
    assert (call.status, call.heard) == (204, b"")


async def test_a_deleted_one(door: Door) -> None:
    call = Call(door)
    await call.until(b"event: status")
    door.store.drop("video-101")
    await call.end()
    assert [event["event"] for event in call.events] == ["status", "deleted", "end"]


async def test_silence_is_filled_with_comments() -> None:
    store = FakeVideoStore(build_video(101))
    call = Call(Door(store=store, streams=Streams(heartbeat_s=0.01)))
    await call.until(b": nothing new\n\n", 3)
    assert [event["event"] for event in call.events] == ["status"]
    call.leave()
    await call.end()


async def test_a_listener_that_leaves_frees_its_place() -> None:
    door = Door(store=FakeVideoStore(build_video(101)), streams=Streams(1))
    first = Call(door)
    await first.until(b"event: status")
    second = Call(door)
    await second.end()
    assert second.status == 503
    assert json.loads(second.heard)["code"] == "TOO_MANY_STREAMS"
    assert int(second.headers[b"retry-after"]) > 0
    first.leave()
    await first.end()
    third = Call(door)
    await third.until(b"event: status")
    third.leave()
    await third.end()
    assert door.streams.open == 0


class SlowStore(FakeVideoStore):
    """Answers no look before it is let."""

    def __init__(self, *videos: dict[str, Any]) -> None:
        super().__init__(*videos)
        self.answer = asyncio.Event()

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        await self.answer.wait()
        return await super().fetch_resource(name)


async def test_two_that_come_at_once_dont_both_take_the_last_place() -> None:
    store = SlowStore(build_video(101))
    door = Door(store=store, streams=Streams(1))
    calls = [Call(door), Call(door)]
    for _ in range(100):
        await asyncio.sleep(0)
    store.answer.set()
    for _ in range(300):
        await asyncio.sleep(0)
    assert sorted(call.status for call in calls) == [200, 503]
    assert door.streams.open == 1
    for call in calls:
        call.leave()
        await call.end()


async def test_an_unknown_video_has_no_events(door: Door) -> None:
    call = Call(door, "/api/v1/jobs/7/events")
    await call.end()
    assert call.status == 404


async def test_an_api_that_goes_away_ends_the_stream_so_that_the_listener_returns(
    door: Door,
) -> None:
    call = Call(door)
    await call.until(b"event: status")
    door.store.error = ClusterUnavailableError("away")
    door.store.bookmark()
    await call.end()
    assert call.ended
    assert [event["event"] for event in call.events] == ["status"]
    assert door.streams.open == 0


async def test_when_the_gateway_ends_its_streams_do(door: Door) -> None:
    call = Call(door)
    await call.until(b"event: status")
    door.streams.closing.set()
    await call.end()
    assert call.ended
    late = Call(door)
    await late.end()
    assert late.status == 503


async def test_a_listener_that_takes_nothing_is_given_up(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m0_operator.gateway.streams.SEND_S", 0.01)

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/jobs/101/events",
        "query_string": b"", "headers": [],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    await asyncio.wait_for(door.build()(scope, receive, stuck), 5)
    assert door.streams.open == 0


async def test_while_draining_it_serves_but_is_not_ready_and_asks_callers_to_leave(
    door: Door,
) -> None:
    client = door.client()
    assert "connection" not in (await client.get("/api/v1/jobs")).headers
    door.streams.draining = True
    answer = await client.get("/api/v1/jobs")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["gateway"]) == (503, "ending")
    assert (await client.get("/livez")).status_code == 200
