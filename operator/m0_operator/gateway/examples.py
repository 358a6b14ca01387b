"""Examples of answers, for the OpenAPI document."""

from typing import Any

_SUMMARY: dict[str, Any] = {
    "process_id": 101,
    "name": "video-101",
    "inference_modality": "batch",
    "phase": "Running",
    "message": "2 chunks are out.",
    "progress": {
        "chunks": 2,
        "done_seconds": 120.0,
        "total_seconds": 300.0,
        "percent": "40%",
        "eta_seconds": 9,
        "size_bytes": 31457280,
    },
    "failure_code": None,
    "priority": 5,
    "attempts": 1,
    "suspended": False,
    "stopping": False,
    "final": False,
    "cloud_stream_path": "s3://spectra-videos/uploads/security_cam_feed.mp4",
    "created_at": "2026-01-01T12:00:00Z",
    "started_at": "2026-01-01T12:00:02Z",
    "finished_at": None,
    "resource_version": "48211",
}
VIDEOS: dict[str, Any] = {"items": [_SUMMARY], "continue": None}
VIDEO: dict[str, Any] = {
    **_SUMMARY,
    "failure": None,
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "RequestValid",
            "message": "The request is valid.",
            "last_transition_time": "2026-01-01T12:00:01Z",
        }
    ],
    "destination_prefix": "processed/101/",
    "cache_container_name": "spectra-cache",
    "video_preprocessing": {"chunk_duration": 60},
    "mode": "copy",
    "certificate": None,
    "receipt": None,
    "lineage": [],
    "reported": "QUEUED",
    "job": "video-101-1",
    "node": "node-1",
    "accepted_at": "2026-01-01T12:00:01Z",
    "uid": "0b8f7a44-6f0e-4f0a-9a53-5f3c2c1c8a55",
}
QUEUED: dict[str, Any] = {
    "process_id": 101,
    "status": "QUEUED",
    "message": "The video is queued with priority 5.",
}
STOPPING: dict[str, Any] = {
    "process_id": 101,
    "status": "STOPPING",
    "message": "It is being stopped. It is not deleted: it stays to be seen, and so do its chunks.",
}
CHANGE: dict[str, Any] = {"suspend": True}
SUSPENDED: dict[str, Any] = {**VIDEO, "suspended": True}
EVENTS = """\
retry: 3000

id: 48211
event: status
data: {"process_id": 101, "phase": "Running", "progress": {"chunks": 2, "percent": "40%"}}

: nothing new

id: 48240
event: status
data: {"process_id": 101, "phase": "Succeeded", "final": true}

event: end
data: {"reason": "final"}

"""
LOG = """\
── video-101-1-x7k2p
{"time": "2026-01-01T12:00:03.120Z", "level": "info", "message": "Chunk stored", "chunk_id": 1}
{"time": "2026-01-01T12:00:04.480Z", "level": "info", "message": "Chunk stored", "chunk_id": 2}
"""
_LETTER: dict[str, Any] = {
    "id": "0b8f7a44-6f0e-4f0a-9a53-5f3c2c1c8a55",
    "code": "SOURCE_NOT_FOUND",
    "stage": "source",
    "message": "s3://spectra-videos/uploads/film.mp4 is not there",
    "field": "",
    "chunk_id": None,
    "process_id": 102,
    "attempts": 1,
    "failed_at": "2026-01-01T12:00:09Z",
    "first_seen_at": "2026-01-01T12:00:01Z",
    "priority": 5,
    "size_bytes": 311,
    "body_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "lineage": [],
}
PURGED_LETTER = _LETTER
PURGED: dict[str, Any] = {"items": [_LETTER], "missing": [], "complete": True}
LETTERS: dict[str, Any] = {"items": [_LETTER], "matched": 1, "complete": True}
LETTER: dict[str, Any] = {
    **_LETTER,
    "body": '{"process_id": 102, "inference_modality": "batch"}',
    "body_encoding": "utf-8",
    "headers": {"x-m0-error-code": "SOURCE_NOT_FOUND"},
}
REPLAYED: dict[str, Any] = {
    "id": "0b8f7a44-6f0e-4f0a-9a53-5f3c2c1c8a55",
    "process_id": 102,
    "status": "QUEUED",
    "message": "The request is queued again.",
}


def answer(description: str, example: dict[str, Any]) -> dict[str, Any]:
    """A good answer, for a route's `responses`; its model is the route's."""
    return {"description": description, "content": {"application/json": {"example": example}}}
