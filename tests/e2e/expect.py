"""What the contract promises of a request, asked of the outside world."""

import hashlib
import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from devstack import DevStack, Message, wait_for
from places import Places, Stored

BUCKET, CACHE = "spectra-videos", "spectra-cache"


def settled(stack: DevStack, name: str, phase: str) -> dict[str, Any]:
    """Wait until the resource has ended in this phase and everybody was told; the resource."""
    ended = stack.wait_phase(name, "Succeeded", "Failed", "Stopped")
    assert ended["status"]["phase"] == phase, ended["status"]
    reported = "PROCESSING" if phase == "Succeeded" else "FAILED"
    wanted = {"BackendReported"} if phase == "Succeeded" else {"BackendReported", "DeadLettered"}

    def probe() -> dict[str, Any] | None:
        found = stack.resource(name) or {}
        status = found.get("status", {})
        held = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
        return found if held >= wanted and status.get("reported") == reported else None

    try:
        return wait_for(f"{name} to have told {reported}", probe)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {stack.resource(name)}") from error


def complete(
    stack: DevStack,
    request: dict[str, Any],
    times: list[tuple[float, float]],
    *,
    where: tuple[str, str] = (f"s3://{BUCKET}", f"s3://{CACHE}"),
    disturbed: bool = False,
    told: tuple[str, ...] = ("QUEUED", "PROCESSING"),
) -> list[Message]:
    """Assert that a request is done to the letter; its messages, taken from the queue.

    Args:
        stack: where.
        request: as it was sent.
        times: (start, end) of each chunk, seconds.
        where: bucket or container of the chunks and of their cached copies.
        disturbed: messages may have come more than once, but each time the same.
        told: the statuses that the backend was told.
    """
    process_id = request["process_id"]
    resource = settled(stack, f"video-{process_id}", "Succeeded")
    places = Places(stack)
    numbers = range(1, len(times) + 1)
    kept = [f"{where[0]}/processed/{process_id}/chunk_{n:03d}.mp4" for n in numbers]
    cached = [f"{where[1]}/temp/{process_id}/chunk_{n:03d}.mp4" for n in numbers]
    assert places.list(f"{where[0]}/processed/{process_id}/") == kept
    assert places.list(f"{where[1]}/temp/{process_id}/") == cached

    messages = stack.messages("M0_RESULTS_QUEUE", lambda m: m.process_id == process_id, take=True)
    rows = stack.rows(process_id)
    expected = []
    for n, (start, end), url, cache in zip(numbers, times, kept, cached, strict=True):
        chunk = places.get(url)
        copy = places.get(cache)
        assert copy.data == chunk.data
        digest = hashlib.sha256(chunk.data).hexdigest()
        _says_what_it_is(chunk, copy, digest, resource["metadata"]["uid"])
        expected.append(
            {
                "process_id": process_id,
                "chunk_id": n,
                "chunk_hash": digest,
                "cloud_stream_path": url,
                "cache_path": cache,
                "start_time": start,
                "end_time": end,
                "duration": float(Fraction(str(end)) - Fraction(str(start))),
                "time_offset": start,
                "inference_config": request["inference_config"],
                "inference_modality": request["inference_modality"],
            }
        )
    heard = [message.json for message in messages]
    assert (_once(heard) if disturbed else heard) == expected
    assert all(message.delivery_mode == 2 for message in messages)
    assert rows == [
        (
            e["chunk_id"], e["start_time"], e["end_time"], e["duration"], e["time_offset"],
            e["chunk_hash"], e["cloud_stream_path"], e["cache_path"],
        )
        for e in expected
    ]  # fmt: skip
    assert tuple(status for status, _ in stack.statuses(process_id)) == told
    status = resource["status"]
    assert status["progress"]["chunks"] == len(times)
    assert status["progress"]["percent"] == "100%"
    certificate = status["integrity"]
    assert certificate["packets_in"] == certificate["packets_out"] > 0
    assert certificate["covered_s"] == times[-1][1]
    assert len(json.dumps(status)) < 8192
    return messages


def _once(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages in the order in which they first came; what came again must be the same."""
    first: dict[int, dict[str, Any]] = {}
    for message in heard:
        assert first.setdefault(message["chunk_id"], message) == message
    return list(first.values())


def _says_what_it_is(chunk: Stored, copy: Stored, digest: str, run: str) -> None:
    """Assert the metadata of a chunk and of its cached copy."""
    assert chunk.metadata["m0-sha256"] == copy.metadata["m0-sha256"] == digest
    assert chunk.metadata["m0-run"] == run
    assert chunk.metadata["m0-plan"]
    assert "m0-expires-at" not in chunk.metadata
    for name in ("m0-start", "m0-end"):
        assert chunk.metadata[name] == copy.metadata[name]
    expires = datetime.strptime(copy.metadata["m0-expires-at"], "%Y-%m-%dT%H:%M:%S%z")
    life_h = (expires - datetime.now(UTC)).total_seconds() / 3600
    assert 23 < life_h <= 24


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
