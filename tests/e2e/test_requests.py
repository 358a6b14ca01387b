"""A request's way through the whole line, on the real cluster, by outside clients."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import expect
import pytest
from devstack import DevStack

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]

CUTS = [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0), (12.0, 16.0), (16.0, 20.0)]


def post(stack: DevStack, body: bytes) -> tuple[int, dict[str, Any]]:
    """POST to the gateway; status and decoded answer."""
    request = urllib.request.Request(
        f"{stack.gateway_url}/api/v1/process_video",
        data=body,
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_request_from_the_queue_is_done_to_the_letter(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    request = request_for(new_id())
    stack.publish(request, priority=7)
    expect.complete(stack, request, CUTS)
    resource = stack.resource(f"video-{request['process_id']}")
    assert resource is not None
    assert resource["spec"]["origin"]["priority"] == 7
    assert resource["status"]["mode"] == "copy"


def test_another_size_and_rate_is_a_transcode_with_exact_cuts(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    wanted = {"chunk_duration": 6.5, "fps": 10, "width": 160, "height": 120}
    request = request_for(new_id(), video_preprocessing=wanted)
    stack.publish(request)
    expect.complete(stack, request, [(0.0, 6.5), (6.5, 13.0), (13.0, 20.0)])
    resource = stack.resource(f"video-{request['process_id']}")
    assert resource is not None
    assert resource["status"]["mode"] == "transcode"


def test_the_gateway_queues_a_request(stack: DevStack, new_id: NewId, request_for: Request) -> None:
    request = request_for(new_id())
    status, answer = post(stack, json.dumps({**request, "priority": 9}).encode())
    assert (status, answer["process_id"], answer["status"]) == (
        200,
        request["process_id"],
        "QUEUED",
    )
    assert answer["message"]
    expect.complete(stack, request, CUTS)
    resource = stack.resource(f"video-{request['process_id']}")
    assert resource is not None
    assert resource["spec"]["origin"]["priority"] == 9


@pytest.mark.parametrize(
    "missing", ["cloud_stream_path", "destination_prefix", "cache_container_name"]
)
def test_the_gateway_names_the_bad_field(
    stack: DevStack, new_id: NewId, request_for: Request, missing: str
) -> None:
    status, answer = post(stack, json.dumps(request_for(new_id(), **{missing: ...})).encode())
    assert status == 422
    assert missing in json.dumps(answer)


def test_the_gateway_says_what_it_depends_on(stack: DevStack) -> None:
    with urllib.request.urlopen(f"{stack.gateway_url}/health", timeout=30) as response:
        assert response.status == 200
        assert "rabbitmq" in json.dumps(json.load(response)).lower()


def test_a_resource_applied_by_hand_runs_without_a_message(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    request = request_for(new_id())
    name = f"video-{request['process_id']}"
    manifest = {
        "apiVersion": "m0.sightapi.io/v1",
        "kind": "VideoChunkJob",
        "metadata": {"name": name},
        "spec": {
            "processId": request["process_id"],
            "inferenceModality": "batch",
            "cloudStreamPath": request["cloud_stream_path"],
            "destinationPrefix": request["destination_prefix"],
            "cacheContainerName": request["cache_container_name"],
            "videoPreprocessing": {"chunkDuration": 4},
            "inferenceConfig": request["inference_config"],
        },
    }
    stack.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    expect.complete(stack, request, CUTS)


def test_the_same_request_again_changes_nothing(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    request = request_for(new_id())
    stack.publish(request)
    expect.complete(stack, request, CUTS)
    before = stack.resource(f"video-{request['process_id']}")
    follower = request_for(new_id())
    stack.publish(request)
    stack.publish(follower)  # one after the other: when this one is done, the other was seen
    expect.complete(stack, follower, CUTS)
    after = stack.resource(f"video-{request['process_id']}")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert stack.statuses(request["process_id"]) == [("QUEUED", None), ("PROCESSING", None)]
    assert stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id == request["process_id"]) == []


def test_another_request_under_a_used_id_is_a_conflict(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    request = request_for(new_id())
    stack.publish(request)
    expect.complete(stack, request, CUTS)
    body = stack.publish({**request, "destination_prefix": "elsewhere/"})
    letter = expect.dead_letter(stack, body, code="CONFLICT", stage="intake")
    assert letter.headers["x-m0-process-id"] in {request["process_id"], str(request["process_id"])}
    assert stack.statuses(request["process_id"])[-1] == ("PROCESSING", None)
