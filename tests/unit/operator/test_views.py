"""What people see of a resource."""

from typing import Any

import pytest
from fakes.videos import build_video, final
from m0_operator.domain.views import (
    build_summary,
    build_view,
    changed,
    hide_credentials,
    is_final,
    stop_state,
)


def numbered(video: dict[str, Any], version: str = "7") -> dict[str, Any]:
    return {**video, "metadata": {**video["metadata"], "resourceVersion": version}}


def test_one_that_nobody_has_looked_at_is_queued() -> None:
    view = build_view(numbered(build_video()))
    assert (view.process_id, view.phase, view.final, view.attempts) == (101, "Queued", False, 0)
    assert view.progress.chunks == 0
    assert (view.priority, view.lineage) == (5, ["letter-1"])


def test_everything_that_is_recorded_is_shown_in_the_contracts_words() -> None:
    video = build_video(
        "a/1",
        **final("SOURCE_NOT_FOUND"),
        progress={"chunks": 2, "doneSeconds": 8.5, "totalSeconds": 20, "percent": "42%"},
        integrity={"packets_in": 3},
        receipt={"wall_s": 1.5},
        jobRef={"name": "video-a-1"},
        attempts=2,
    )
    video["spec"]["videoPreprocessing"] = {"chunkDuration": 60, "fps": 30}
    view = build_view(numbered(video))
    assert view.failure is not None
    assert (view.failure.code, view.failure.remedy) == ("SOURCE_NOT_FOUND", "do this")
    assert view.progress.model_dump(include={"chunks", "done_seconds", "percent"}) == {
        "chunks": 2,
        "done_seconds": 8.5,
        "percent": "42%",
    }
    assert view.video_preprocessing == {"chunk_duration": 60, "fps": 30}
    assert (view.certificate, view.receipt) == ({"packets_in": 3}, {"wall_s": 1.5})
    assert (view.job, view.attempts, view.final) == ("video-a-1", 2, True)
    assert build_summary(numbered(video)).failure_code == "SOURCE_NOT_FOUND"


def test_words_of_a_later_version_are_shown_as_they_are() -> None:
    video = build_video(
        phase="Pondering",
        failure={"code": "NEW_CODE"},
        conditions=[{"type": "New", "status": "Unknown"}],
    )
    view = build_view(numbered(video))
    assert (view.phase, view.failure_code) == ("Pondering", "NEW_CODE")
    assert view.conditions[0].type == "New"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, False),
        ({"phase": "Running"}, False),
        ({"phase": "Succeeded", "reported": "QUEUED"}, False),
        ({"phase": "Succeeded", "reported": "PROCESSING"}, True),
        ({"phase": "Succeeded", "reported": "COMPLETED"}, True),
        ({**final("KILLED"), "reported": "QUEUED"}, False),
        ({**final("KILLED"), "conditions": []}, False),
        (final("KILLED"), True),
        (final("STOPPED"), True),
    ],
)
def test_final_means_that_everybody_was_told(status: dict[str, Any], wanted: bool) -> None:
    assert is_final(build_video(**status)) is wanted


def test_a_new_version_alone_is_nothing_to_tell() -> None:
    before = build_view(numbered(build_video(phase="Running"), "7"))
    assert not changed(before, build_view(numbered(build_video(phase="Running"), "8")))
    assert changed(before, build_view(numbered(build_video(phase="Succeeded"), "8")))
    assert changed(None, before)


@pytest.mark.parametrize(
    ("status", "spec", "wanted"),
    [
        ({}, {}, "running"),
        ({"phase": "Running"}, {"stop": True}, "stopping"),
        (final("STOPPED"), {"stop": True}, "stopped"),
        (final("KILLED"), {}, "ended"),
        (final("KILLED"), {"stop": True}, "ended"),
        (final(), {}, "ended"),
    ],
)
def test_what_a_wish_to_stop_it_meets(
    status: dict[str, Any], spec: dict[str, Any], wanted: str
) -> None:
    video = build_video(**status)
    video["spec"] |= spec
    assert stop_state(video) == wanted


def test_one_that_is_being_deleted_is_stopping() -> None:
    video = build_video(phase="Running")
    video["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert stop_state(video) == "stopping"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://films/a?b@c#d.mp4", "s3://films/a?b@c#d.mp4"),
        ("rtsp://user:secret@cam:554/live", "rtsp://cam:554/live"),
        ("https://h/x.m3u8?sig=secret", "https://h/x.m3u8?…"),
        ("https://u:secret@h/x.m3u8", "https://h/x.m3u8"),
    ],
)
def test_a_live_source_is_shown_without_its_credentials(url: str, wanted: str) -> None:
    assert hide_credentials(url) == wanted
    video = build_video()
    video["spec"]["cloudStreamPath"] = url
    assert "secret" not in build_view(numbered(video)).model_dump_json()
