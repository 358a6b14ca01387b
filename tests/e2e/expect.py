"""What the contract promises of a request, asked of the outside world."""

import hashlib
from typing import Any

from devstack import DevStack, Message, wait_for

BUCKET, CACHE = "spectra-videos", "spectra-cache"


def settled(stack: DevStack, name: str, phase: str) -> dict[str, Any]:
    """Wait until the resource has ended in this phase and everybody was told; the resource."""
    stack.wait_phase(name, "Succeeded", "Failed", "Stopped")
    reported = "PROCESSING" if phase == "Succeeded" else "FAILED"
    wanted = {"BackendReported"} if phase == "Succeeded" else {"BackendReported", "DeadLettered"}

    def probe() -> dict[str, Any] | None:
        found = stack.resource(name) or {}
        status = found.get("status", {})
        held = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
        return found if held >= wanted and status.get("reported") == reported else None

    try:
        found = wait_for(f"{name} to have told {reported}", probe)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {stack.resource(name)}") from error
    assert found["status"]["phase"] == phase, found["status"]
    return found


def complete(
    stack: DevStack, request: dict[str, Any], times: list[tuple[float, float]]
) -> list[Message]:
    """Assert that a request is done to the letter; its messages, taken from the queue."""
    process_id = request["process_id"]
    resource = settled(stack, f"video-{process_id}", "Succeeded")
    numbers = range(1, len(times) + 1)
    keys = [f"processed/{process_id}/chunk_{n:03d}.mp4" for n in numbers]
    cached = [f"temp/{process_id}/chunk_{n:03d}.mp4" for n in numbers]
    assert stack.keys(BUCKET, f"processed/{process_id}/") == keys
    assert stack.keys(CACHE, f"temp/{process_id}/") == cached

    messages = stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id == process_id, take=True)
    rows = stack.rows(process_id)
    expected = []
    for n, (start, end), key, cache in zip(numbers, times, keys, cached, strict=True):
        data = stack.get(BUCKET, key)
        assert stack.get(CACHE, cache) == data
        expected.append(
            {
                "process_id": process_id,
                "chunk_id": n,
                "chunk_hash": hashlib.sha256(data).hexdigest(),
                "cloud_stream_path": f"s3://{BUCKET}/{key}",
                "cache_path": f"s3://{CACHE}/{cache}",
                "start_time": start,
                "end_time": end,
                "duration": end - start,
                "time_offset": start,
                "inference_config": request["inference_config"],
                "inference_modality": request["inference_modality"],
            }
        )
    assert [message.json for message in messages] == expected
    assert all(message.delivery_mode == 2 for message in messages)
    assert rows == [
        (
            e["chunk_id"], e["start_time"], e["end_time"], e["duration"], e["time_offset"],
            e["chunk_hash"], e["cloud_stream_path"], e["cache_path"],
        )
        for e in expected
    ]  # fmt: skip
    assert stack.statuses(process_id) == [("QUEUED", None), ("PROCESSING", None)]
    assert resource["status"]["progress"]["chunks"] == len(times)
    assert resource["status"]["progress"]["percent"] == "100%"
    return messages


def dead_letter(stack: DevStack, body: bytes, *, code: str, stage: str) -> Message:
    """Wait for the dead letter of a body, take it, and check the contract's headers."""
    found = wait_for(
        f"a dead letter {code}",
        lambda: stack.messages("M0_DEADLETTER_QUEUE", lambda m: m.body == body, take=True),
    )
    assert len(found) == 1
    headers = found[0].headers
    assert headers["x-m0-error-code"] == code, headers
    assert headers["x-m0-stage"] == stage, headers
    assert headers["x-m0-error-message"]
    for stamp in ("x-m0-failed-at", "x-m0-first-seen-at"):
        assert str(headers[stamp])[10] == "T", headers
    assert int(headers["x-m0-attempts"]) >= 0
    assert found[0].delivery_mode == 2
    return found[0]


def no_second_dead_letter(stack: DevStack, body: bytes) -> None:
    """Assert that no other dead letter of this body lies in the queue."""
    assert stack.messages("M0_DEADLETTER_QUEUE", lambda m: m.body == body) == []
