"""Where it is cut, when a request asks for more than key frames."""

from collections.abc import Callable
from typing import Any

import expect
import pytest
from devstack import DevStack
from test_requests import CUTS

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


def test_exact_cuts_fall_between_key_frames_and_most_packets_stay(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    # A key frame each second, a picture each 15th of one: 4.2 s is a picture and no key frame.
    wanted = {"chunk_duration": 4.2, "precision": "exact"}
    request = request_for(new_id(), video_preprocessing=wanted)
    stack.publish(request)
    cuts = [(0.0, 4.2), (4.2, 8.4), (8.4, 12.6), (12.6, 16.8), (16.8, 20.0)]
    expect.complete(stack, request, cuts)
    resource = stack.resource(f"video-{request['process_id']}") or {}
    assert resource["spec"]["videoPreprocessing"] == {"chunkDuration": 4.2, "precision": "exact"}
    status = resource["status"]
    assert status["mode"] == "copy"
    certificate = status["integrity"]
    assert 0 < certificate["encoded"] <= 0.1 * certificate["packets_out"]
    assert certificate["largest_shift_s"] <= 1 / 15


def test_chunks_overlap_by_what_is_asked_for(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    wanted = {"chunk_duration": 4, "overlap": 1}
    request = request_for(new_id(), video_preprocessing=wanted)
    stack.publish(request)
    # The last one ends where the film does.
    cuts = [(start, min(end + 1, CUTS[-1][1])) for start, end in CUTS]
    expect.complete(stack, request, cuts)
    resource = stack.resource(f"video-{request['process_id']}") or {}
    assert resource["status"]["integrity"]["repeated"] > 4 * 15


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"chunk_duration": 4, "overlap": 4}, "video_preprocessing.overlap"),
        ({"chunk_duration": 4, "precision": "frame"}, "video_preprocessing.precision"),
    ],
    ids=["an overlap as long as a chunk", "a precision that is none"],
)
def test_what_makes_no_sense_is_said_by_name(
    stack: DevStack, new_id: NewId, request_for: Request, wanted: dict[str, Any], field: str
) -> None:
    process_id = new_id()
    body = stack.publish(request_for(process_id, video_preprocessing=wanted))
    expect.settled(stack, f"video-{process_id}", "Failed")
    letter = expect.dead_letter(stack, body, code="INVALID_REQUEST", stage="intake")
    assert letter.headers["x-m0-error-field"] == field
