"""The REST door before the real cluster and broker: follow, hold back, stop, replay, purge, logs.

And what it does when either is away, or it is told to end.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from devstack import wait_for
from door import Door, own_door
from own import OwnStack, own_stack
from programs import run_program

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    """A namespace of our own with one operator."""
    with own_stack(tmp_path_factory.mktemp("own")) as stack:
        stack.start_leader()
        yield stack


@pytest.fixture(scope="module")
def door(own: OwnStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway before it."""
    with own_door(own, tmp_path_factory.mktemp("door") / "log") as found:
        yield found


def queue(door: Door, request: dict[str, Any]) -> int:
    """Queue it and wait until it is there to be seen; its id."""
    answer = door.ask("POST", "/api/v1/process_video", request)
    assert (answer.status, answer.json["status"]) == (200, "QUEUED")
    number: int = request["process_id"]
    wait_for("the video", lambda: door.ask("GET", f"/api/v1/jobs/{number}").status == 200)
    return number


@pytest.fixture
def running(door: Door, new_id: NewId, request_for: Request, long_source: tuple[str, int]) -> int:
    """A video that is at work, and will be for a while."""
    pieces = {"cloud_stream_path": long_source[0], "video_preprocessing": {"chunk_duration": 1}}
    number = queue(door, request_for(new_id(), **pieces))
    path = f"/api/v1/jobs/{number}"
    wait_for("it to run", lambda: door.ask("GET", path).json["phase"] == "Running")
    return number


def final(door: Door, number: int, phase: str) -> dict[str, Any]:
    """Follow it to its end, which is this one; the last view."""
    events = list(door.follow(number))
    assert [event.kind for event in events[-2:]] == ["status", "end"], events[-2:]
    view = events[-2].data
    assert (view["phase"], view["final"]) == (phase, True), view
    return view


def replaced(door: Door, view: dict[str, Any]) -> bool:
    """Whether another one has its id."""
    answer = door.ask("GET", f"/api/v1/jobs/{view['process_id']}")
    return answer.status == 200 and answer.json["uid"] != view["uid"]


def test_a_video_is_queued_followed_to_its_end_and_shown(
    door: Door, new_id: NewId, request_for: Request
) -> None:
    number = queue(door, request_for(new_id()))
    events = list(door.follow(number))
    told = [event for event in events if event.kind == "status"]
    assert len(told) >= 3
    numbers = [int(event.number) for event in told]
    assert numbers == sorted(set(numbers))
    assert told[-1].data["phase"] == "Succeeded"
    assert events[-1].data == {"reason": "final"}

    # Whoever comes back in the middle hears the rest, and who has heard all is sent away.
    rest = list(door.follow(number, after=told[1].number))
    assert [event.number for event in rest][-2:] == [told[-1].number, ""]
    assert len(rest) <= len(events) - 2
    last = {"last-event-id": told[-1].number}
    assert door.ask("GET", f"/api/v1/jobs/{number}/events", **last).status == 204

    view = door.ask("GET", f"/api/v1/jobs/{number}").json
    assert view == told[-1].data
    assert view["certificate"]["packets_in"] == view["certificate"]["packets_out"] > 0
    assert view["progress"]["percent"] == "100%"
    answer = door.ask("GET", f"/api/v1/jobs?phase=Succeeded&process_id_prefix={number}")
    assert [item["process_id"] for item in answer.json["items"]] == [number]
    assert door.ask("DELETE", f"/api/v1/jobs/{number}").json["code"] == "ENDED"


def test_a_list_in_pages_is_the_whole_list(door: Door, new_id: NewId, request_for: Request) -> None:
    bad = {"cloud_stream_path": "s3://spectra-videos/e2e/nothing.mp4"}
    wanted = sorted(queue(door, request_for(new_id(), **bad)) for _ in range(3))
    for number in wanted:
        final(door, number, "Failed")
    query = "/api/v1/jobs?phase=Failed&code=SOURCE_NOT_FOUND&limit=1"
    found, token = [], ""
    while True:
        page = door.ask("GET", f"{query}&continue={token}").json
        assert len(page["items"]) <= 1
        found += [item["process_id"] for item in page["items"]]
        token = page["continue"]
        if token is None:
            break
    assert found == wanted


def test_stopped_it_stays_to_be_seen_and_its_letter_runs_it_again(door: Door, running: int) -> None:
    path = f"/api/v1/jobs/{running}"
    for _ in range(2):
        answer = door.ask("DELETE", path)
        assert (answer.status, answer.json["status"]) == (202, "STOPPING"), answer
    view = final(door, running, "Stopped")
    assert view["failure"]["code"] == "STOPPED"
    assert view["failure"]["remedy"]
    assert door.ask("DELETE", path).json["status"] == "STOPPED"

    (letter,) = door.ask("GET", f"/api/v1/dead-letters?process_id={running}").json["items"]
    assert letter["code"] == "STOPPED"
    answer = door.ask("POST", f"/api/v1/dead-letters/{letter['id']}/replay")
    assert (answer.status, answer.json["status"]) == (200, "QUEUED")
    wait_for("the replay", lambda: replaced(door, view))
    assert final(door, running, "Succeeded")["lineage"] == [letter["id"]]
    assert door.ask("GET", f"/api/v1/dead-letters/{letter['id']}").status == 404


def test_a_letter_with_a_mistake_is_replayed_without_it(
    door: Door, new_id: NewId, request_for: Request
) -> None:
    number = new_id()
    wrong = request_for(number, cloud_stream_path="s3://spectra-videos/e2e/nothing.mp4")
    queue(door, wrong)
    view = final(door, number, "Failed")
    (letter,) = door.ask("GET", f"/api/v1/dead-letters?process_id={number}").json["items"]
    shown = door.ask("GET", f"/api/v1/dead-letters/{letter['id']}").json
    assert str(number) in shown["body"]
    replay = f"/api/v1/dead-letters/{letter['id']}/replay"
    refused = door.ask("POST", replay, {**wrong, "destination_prefix": ""})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "destination_prefix")
    assert door.ask("POST", replay, request_for(number)).status == 200
    wait_for("the replay", lambda: replaced(door, view))
    final(door, number, "Succeeded")


def test_its_log_is_followed_from_before_its_pod_to_its_end(
    door: Door, new_id: NewId, request_for: Request
) -> None:
    number = queue(door, request_for(new_id()))
    head, *lines = door.text(f"/api/v1/jobs/{number}/logs?follow=true").splitlines()
    assert head.startswith(f"── video-{number}-")
    assert json.loads(lines[-1])["message"], "a log of ours is JSON"
    final(door, number, "Succeeded")
    assert door.text(f"/api/v1/jobs/{number}/logs").splitlines() == [head, *lines]
    assert door.text(f"/api/v1/jobs/{number}/logs?tail=1").splitlines() == [head, lines[-1]]


def test_held_back_its_pod_goes_and_it_goes_on_from_there(door: Door, running: int) -> None:
    path = f"/api/v1/jobs/{running}"
    assert door.ask("PATCH", path, {"suspend": True}).json["suspended"] is True
    wait_for("its pod to go", lambda: door.ask("GET", f"{path}/logs").status == 404)
    assert door.ask("PATCH", path, {"suspend": False}).json["suspended"] is False
    assert door.ask("PATCH", path, {"suspend": "no"}).json["errors"][0]["field"] == "suspend"
    view = final(door, running, "Succeeded")
    assert view["certificate"]["packets_in"] == view["certificate"]["packets_out"] > 0
    assert door.ask("PATCH", path, {"suspend": True}).json["code"] == "ENDED"


def test_letters_are_purged_as_they_are_listed(
    door: Door, new_id: NewId, request_for: Request
) -> None:
    bad = {"cloud_stream_path": "s3://spectra-videos/e2e/nothing.mp4"}
    first, second = (queue(door, request_for(new_id(), **bad)) for _ in range(2))
    for number in (first, second):
        final(door, number, "Failed")
    (letter,) = door.ask("GET", f"/api/v1/dead-letters?process_id={first}").json["items"]
    assert door.ask("DELETE", "/api/v1/dead-letters").status == 422
    purged = door.ask("DELETE", f"/api/v1/dead-letters?process_id={first}").json
    assert (purged["items"], purged["missing"], purged["complete"]) == ([letter], [], True)
    (letter,) = door.ask("GET", f"/api/v1/dead-letters?process_id={second}").json["items"]
    path = f"/api/v1/dead-letters/{letter['id']}"
    assert (door.ask("DELETE", path).json, door.ask("DELETE", path).status) == (letter, 404)


def test_without_a_token_nothing_is_told(door: Door) -> None:
    for path in ("/api/v1/jobs", "/health", "/openapi.json"):
        assert door.ask("GET", path, authorization="Bearer of nothing").status == 401
    assert door.ask("GET", "/livez", authorization="").status == 200


def test_a_cluster_that_is_away_keeps_nobody_from_queueing(
    own: OwnStack, tmp_path: Path, new_id: NewId, request_for: Request
) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(
        "{apiVersion: v1, kind: Config, current-context: c,"
        " contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}"
    )
    with own_door(own, tmp_path / "log", KUBECONFIG=str(nowhere)) as door:
        answer = door.ask("POST", "/api/v1/process_video", request_for(new_id()))
        assert (answer.status, answer.json["status"]) == (200, "QUEUED")
        answer = door.ask("GET", "/api/v1/jobs")
        assert (answer.status, answer.json["code"]) == (503, "KUBERNETES_UNREACHABLE")
        assert int(answer.headers["retry-after"]) > 0
        assert door.ask("GET", "/health").json["dependencies"]["kubernetes"] == "unavailable"


def test_told_to_end_it_serves_on_for_a_while_and_ends_its_streams(
    own: OwnStack, tmp_path: Path, new_id: NewId, request_for: Request
) -> None:
    with own_door(own, tmp_path / "log", M0_GATEWAY_DRAIN_S="3") as door:
        held = request_for(new_id())
        number = queue(door, held)
        answer = door.ask("PATCH", f"/api/v1/jobs/{number}", {"suspend": True})
        assert (answer.status, answer.json["suspended"]) == (200, True)
        events = door.follow(number)
        next(events)
        door.terminate()
        wait_for("it to drain", lambda: door.ask("GET", "/readyz").status == 503)
        answer = door.ask("POST", "/api/v1/process_video", held)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        begun = time.monotonic()
        assert "end" not in [event.kind for event in events], "it has not ended"
        door.process.wait(timeout=20)
        assert time.monotonic() - begun < 10
        door_log = door.log_file.read_text()
        assert "Traceback" not in door_log
        own.kubectl("patch", "vcj", f"video-{number}", "--type=merge", "-p",
                    '{"spec": {"stop": true}}')  # fmt: skip


def test_open_to_the_network_without_tokens_it_does_not_start() -> None:
    result = run_program(
        "m0_operator.gateway.serve",
        M0_AMQP_URL="amqp://user:hush@127.0.0.1:1/",
        M0_GATEWAY_HOST="0.0.0.0",
    )
    assert result.returncode == 1
    assert "M0_GATEWAY_AUTH=none" in result.stderr
    assert "hush" not in result.stderr
