"""Requests that fail: one dead letter with the exact body, FAILED, and a reason in words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import expect
import pytest
from blows import pods
from devstack import DevStack, wait_for

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


def failed(stack: DevStack, body: bytes, process_id: int, code: str, stage: str) -> dict[str, Any]:
    """Assert the whole of a failure; the resource."""
    resource = expect.settled(stack, f"video-{process_id}", "Failed")
    failure = resource["status"]["failure"]
    assert (failure["code"], failure["stage"]) == (code, stage), failure
    assert failure["message"]
    assert failure["remedy"]
    letter = expect.dead_letter(stack, body, code=code, stage=stage)
    assert str(letter.headers["x-m0-process-id"]) == str(process_id)
    statuses = stack.statuses(process_id)
    assert statuses[-1][0] == "FAILED", statuses
    assert code in (statuses[-1][1] or ""), statuses
    assert [status for status, _ in statuses].count("FAILED") == 1
    expect.no_second_dead_letter(stack, body)
    return resource


@pytest.mark.parametrize(
    "body", [b"{not json \xff\x00", b"", b"[1, 2]"], ids=["garbage", "empty", "array"]
)
def test_a_body_that_is_no_json_object(stack: DevStack, body: bytes) -> None:
    stack.publish(body, priority=3, headers={"trace": "abc"})
    letter = expect.dead_letter(stack, body, code="INVALID_JSON", stage="intake")
    assert letter.headers["trace"] == "abc"
    assert letter.priority == 3
    assert "x-m0-process-id" not in letter.headers
    expect.no_second_dead_letter(stack, body)


def test_a_missing_field_with_a_known_id(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    process_id = new_id()
    # Not the spacing that a JSON library would give: the dead letter must keep it.
    body = json.dumps(request_for(process_id, destination_prefix=...), indent=3).encode()
    stack.publish(body)
    resource = failed(stack, body, process_id, "INVALID_REQUEST", "intake")
    assert "destination_prefix" in resource["status"]["failure"]["message"]
    assert pods(stack, process_id) == []


def test_a_missing_field_without_an_id(
    stack: DevStack, request_for: Request, new_id: NewId
) -> None:
    body = json.dumps(request_for(0, process_id=..., marker=new_id())).encode()
    stack.publish(body)
    letter = expect.dead_letter(stack, body, code="INVALID_REQUEST", stage="intake")
    assert letter.headers["x-m0-error-field"] == "process_id"


def test_a_source_that_does_not_exist(stack: DevStack, new_id: NewId, request_for: Request) -> None:
    process_id = new_id()
    request = request_for(process_id, cloud_stream_path="s3://spectra-videos/uploads/none.mp4")
    body = stack.publish(request)
    failed(stack, body, process_id, "SOURCE_NOT_FOUND", "source")
    assert len(pods(stack, process_id)) == 1, "retrying can't help"


def test_a_bucket_that_is_forbidden(stack: DevStack, new_id: NewId, request_for: Request) -> None:
    process_id = new_id()
    request = request_for(process_id, cloud_stream_path="s3://spectra-forbidden/film.mp4")
    body = stack.publish(request)
    failed(stack, body, process_id, "SOURCE_FORBIDDEN", "source")
    assert len(pods(stack, process_id)) == 1, "retrying can't help"


@pytest.mark.parametrize(
    "content",
    [
        b"this is no film" * 100,
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
    ids=["text", "empty", "playlist", "list of files"],
)
def test_a_file_that_is_no_film(
    stack: DevStack, new_id: NewId, request_for: Request, content: bytes
) -> None:
    process_id = new_id()
    key = f"e2e/{process_id}.mp4"
    stack.s3.put_object(Bucket=expect.BUCKET, Key=key, Body=content)
    body = stack.publish(request_for(process_id, cloud_stream_path=f"s3://{expect.BUCKET}/{key}"))
    failed(stack, body, process_id, "NOT_MEDIA", "probe")
    assert len(pods(stack, process_id)) == 1, "retrying can't help"
    assert stack.keys(expect.BUCKET, f"processed/{process_id}/") == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_film_that_is_cut_off(
    stack: DevStack,
    new_id: NewId,
    request_for: Request,
    make_film: Callable[..., Path],
    suffix: str,
) -> None:
    process_id = new_id()
    index_first = ["--faststart"] if suffix == "mp4" else []
    whole = make_film(f"whole.{suffix}", "--seconds", 20, *index_first).read_bytes()
    key = f"e2e/{process_id}.{suffix}"
    stack.s3.put_object(Bucket=expect.BUCKET, Key=key, Body=whole[: len(whole) * 6 // 10])
    body = stack.publish(request_for(process_id, cloud_stream_path=f"s3://{expect.BUCKET}/{key}"))
    failed(stack, body, process_id, "SOURCE_CORRUPT", "probe")
    assert len(pods(stack, process_id)) == 1, "retrying can't help"
    # Its beginning says how long it should be, so nothing was begun.
    assert stack.rows(process_id) == []
    assert stack.keys(expect.BUCKET, f"processed/{process_id}/") == []


def test_a_cache_bucket_that_does_not_exist(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    process_id = new_id()
    body = stack.publish(request_for(process_id, cache_container_name=f"no-such-{process_id}"))
    failed(stack, body, process_id, "DESTINATION_NOT_FOUND", "upload")
    assert stack.rows(process_id) == []


def test_a_replayed_dead_letter_runs_again(
    stack: DevStack, new_id: NewId, request_for: Request, film: Any
) -> None:
    process_id = new_id()
    key = f"e2e/{process_id}-late.mp4"
    request = request_for(process_id, cloud_stream_path=f"s3://{expect.BUCKET}/{key}")
    body = stack.publish(request)
    failed(stack, body, process_id, "SOURCE_NOT_FOUND", "source")

    stack.s3.upload_file(str(film), expect.BUCKET, key)
    stack.publish(body)
    wait_for(
        "the replay to succeed",
        lambda: (
            (stack.resource(f"video-{process_id}") or {}).get("status", {}).get("phase")
            == "Succeeded"
        ),
    )
    expect.settled(stack, f"video-{process_id}", "Succeeded")
    assert [status for status, _ in stack.statuses(process_id)] == [
        "QUEUED", "FAILED", "QUEUED", "PROCESSING",
    ]  # fmt: skip
    assert len(stack.rows(process_id)) == 5


def test_a_deleted_resource_ends_in_a_dead_letter_and_leaves_no_job(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    process_id = new_id()
    name = f"video-{process_id}"
    body = stack.publish(request_for(process_id))
    wait_for("the resource", lambda: stack.resource(name))
    stack.kubectl("delete", "vcj", name, "--wait=true", "--timeout=60s")
    expect.dead_letter(stack, body, code="STOPPED", stage="job")
    assert stack.statuses(process_id)[-1][0] == "FAILED"
    wait_for("the pods to go", lambda: not pods(stack, process_id))
