"""A chunker that is ended in the middle of a film, in every way, and goes on."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import expect
import pytest
from blows import delete, delete_job, evict, kill, pods, running_pod, suspend
from devstack import DevStack, wait_for

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]
Blow = Callable[[DevStack, str], None]

CHUNK_S = 2
IN_WORK = 2
"""Chunks between storing and announcing, at most: the chart's `chunker.uploads`."""


def strike(stack: DevStack, process_id: int, blow: Blow, *, after_chunk: int) -> str:
    """End the pod at work once this chunk is out; the pod's name."""

    def target() -> str | None:
        enough = len(stack.rows(process_id)) >= after_chunk
        return running_pod(stack, process_id) if enough else None

    pod = wait_for(f"chunk {after_chunk} of {process_id}", target)
    blow(stack, pod)
    return pod


def watch(stack: DevStack, process_id: int) -> list[int]:
    """Wait for the end; chunks out, each time that the status said another number."""
    seen: list[int] = []

    def ended() -> bool:
        status = (stack.resource(f"video-{process_id}") or {}).get("status", {})
        chunks = status.get("progress", {}).get("chunks", 0)
        if seen[-1:] != [chunks]:
            seen.append(chunks)
        return status.get("phase") in {"Succeeded", "Failed", "Stopped"}

    wait_for(f"the end of {process_id}", ended)
    return seen


def resumed(stack: DevStack, process_id: int) -> list[int]:
    """For each pod that went on where another had stopped: after how many chunks."""
    found = []
    for pod in pods(stack, process_id):
        log = stack.kubectl("logs", pod["metadata"]["name"], check=False)
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        found += [line["chunks"] for line in lines if line.get("message") == "resumed"]
    return found


@pytest.fixture(scope="module")
def whole(
    stack: DevStack, new_id: NewId, long_source: tuple[str, int]
) -> tuple[list[tuple[float, float]], list[str]]:
    """(times, hashes) of the long film's chunks, when nothing disturbs."""
    request = long_request(new_id(), long_source[0])
    cuts = [(float(s), float(s + CHUNK_S)) for s in range(0, long_source[1], CHUNK_S)]
    stack.publish(request)
    messages = expect.complete(stack, request, cuts)
    return cuts, [message.json["chunk_hash"] for message in messages]


def long_request(process_id: int, source: str) -> dict[str, Any]:
    return {
        "process_id": process_id,
        "inference_modality": "batch",
        "cloud_stream_path": source,
        "destination_prefix": f"processed/{process_id}/",
        "cache_container_name": expect.CACHE,
        "video_preprocessing": {"chunk_duration": CHUNK_S},
        "inference_config": {"model": "vlm-1"},
    }


@pytest.mark.parametrize(
    "blows",
    [
        (delete,),
        (kill,),
        (evict,),
        (delete_job,),
        (suspend,),
        (delete, delete),
        (kill, evict, kill),
    ],
    ids=[
        "deleted",
        "killed",
        "evicted",
        "its Job deleted",
        "suspended",
        "deleted twice",
        "killed, evicted, killed",
    ],
)
def test_what_was_ended_in_the_middle_goes_on_and_nothing_is_lost_or_different(
    stack: DevStack,
    new_id: NewId,
    long_source: tuple[str, int],
    whole: tuple[list[tuple[float, float]], list[str]],
    blows: tuple[Blow, ...],
) -> None:
    cuts, hashes = whole
    process_id = new_id()
    request = long_request(process_id, long_source[0])
    body = stack.publish(request)
    after = 3
    for blow in blows:
        strike(stack, process_id, blow, after_chunk=after)
        after = len(stack.rows(process_id)) + random.randint(1, len(cuts) // 5)
        time.sleep(random.uniform(0, 0.3))
    seen = watch(stack, process_id)
    assert seen == sorted(seen), "progress never goes back"

    messages = expect.complete(stack, request, cuts, disturbed=True)
    heard: dict[int, str] = {m.json["chunk_id"]: m.json["chunk_hash"] for m in messages}
    assert list(heard.values()) == hashes, "byte for byte as when nothing disturbs"
    assert len(messages) - len(cuts) <= IN_WORK * len(blows)
    expect.no_second_dead_letter(stack, body)

    jobs = stack.items("jobs", f"m0.sightapi.io/videochunkjob=video-{process_id}")
    # One that was killed is followed by another, since it may have been for its memory.
    succeeded = [job["status"].get("succeeded", 0) for job in jobs]
    assert (sum(succeeded), len(succeeded) <= 1 + len(blows)) == (1, True)
    resource = stack.resource(f"video-{process_id}") or {}
    gone_on = resumed(stack, process_id)
    assert gone_on, "the next pod goes on"
    assert resource["status"]["receipt"]["resumed_at"] == gone_on[-1] >= 3
