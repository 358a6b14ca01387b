"""The sweeper's CronJob, started by hand: what is over goes, all else stays."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import expect
import pytest
from devstack import DevStack, wait_for
from places import Places
from test_requests import CUTS

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


def said(hours: float) -> dict[str, str]:
    """The metadata of a cached chunk that may go in so many hours."""
    moment = datetime.now(UTC) + timedelta(hours=hours)
    return {"m0-sha256": "0" * 64, "m0-expires-at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


@pytest.mark.parametrize("kind", ["s3", "az"], ids=["in S3", "in Azure"])
def test_what_is_over_goes_and_all_else_stays(
    stack: DevStack, new_id: NewId, request_for: Request, kind: str
) -> None:
    process_id = new_id()
    places, cache = Places(stack), f"{kind}://{expect.CACHE}"
    over = [f"{cache}/temp/{process_id}/chunk_{n:03d}.mp4" for n in (1, 2, 1000)]
    others = {
        f"{cache}/temp/{process_id}/chunk_003.mp4": said(1),
        f"{cache}/temp/{process_id}/chunk_004.mp4": {},
        f"{cache}/temp/{process_id}/notes.txt": said(-1),
        f"{cache}/other/{process_id}/chunk_001.mp4": said(-1),
        f"{kind}://{expect.BUCKET}/temp/{process_id}/chunk_001.mp4": said(-1),
    }
    for url in over:
        places.put(url, b"over", said(-1))
    for url, metadata in others.items():
        places.put(url, b"stays", metadata)
    fresh = request_for(new_id())
    stack.publish(fresh)
    expect.complete(stack, fresh, CUTS)

    job = f"sweep-{process_id}"
    stack.kubectl("create", "job", "--from=cronjob/m0-sweeper", job)

    def ended() -> dict[str, Any] | None:
        status = json.loads(stack.kubectl("get", "job", job, "-o", "json"))["status"]
        return status if status.get("succeeded") or status.get("failed") else None

    status = wait_for("the sweeper's end", ended)
    log = stack.kubectl("logs", f"job/{job}")
    assert status.get("succeeded") == 1, log
    lines = [json.loads(line) for line in log.splitlines() if '"container"' in line]
    counted = {line["container"]: line for line in lines}
    assert counted[cache]["deleted"] == counted[cache]["expired"] >= len(over)
    assert counted[cache]["failed"] == 0
    left = [url for url in [*over, *others] if places.list(url)]
    assert left == list(others)
    assert len(places.list(f"s3://{expect.CACHE}/temp/{fresh['process_id']}/")) == len(CUTS)
    stack.kubectl("delete", "job", job, "--wait=false")
    for url in others:
        places.delete(url)
