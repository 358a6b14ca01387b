"""The watch's bytes become changes, and the cluster's silence a word of `/health`."""

import asyncio
import json
from typing import Any

import pytest
from m0_operator.adapters.videos import _lines, _read_change
from m0_operator.errors import ClusterExpiredError, ClusterUnavailableError
from m0_operator.gateway.serve import ClusterProbe


class Content:
    """An answer's body in parts; at its end silence, or the end."""

    def __init__(self, *parts: bytes, ends: bool = True) -> None:
        self._parts = list(parts)
        self._ends = ends

    async def readany(self) -> bytes:
        if self._parts:
            return self._parts.pop(0)
        if not self._ends:
            await asyncio.Event().wait()
        return b""


async def read(content: Content) -> list[bytes]:
    return [line async for line in _lines(content)]


async def test_lines_of_any_length_however_they_are_cut() -> None:
    long = b"x" * 1_000_000
    assert await read(Content(b"on", b"e\ntwo\n\n", long[:7], long[7:] + b"\nhalf")) == [
        b"one",
        b"two",
        long,
    ]


async def test_a_watch_that_has_fallen_silent_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m0_operator.adapters.videos.SILENCE_S", 0.01)
    assert await asyncio.wait_for(read(Content(b"one\n", ends=False)), 5) == [b"one"]


def event(kind: str, **raw: Any) -> dict[str, Any]:
    return json.loads(json.dumps({"type": kind, "object": raw}))  # type: ignore[no-any-return]


def test_what_a_watch_tells() -> None:
    meta = {"name": "video-1", "resourceVersion": "7"}
    assert _read_change(event("BOOKMARK", metadata=meta)).raw is None
    assert _read_change(event("MODIFIED", metadata=meta)).version == "7"
    assert _read_change(event("DELETED", metadata=meta)).deleted
    with pytest.raises(ClusterExpiredError):
        _read_change(event("ERROR", code=410, message="too old resource version"))
    with pytest.raises(ClusterUnavailableError):
        _read_change(event("ERROR", code=500))


async def test_the_cluster_is_asked_now_and_then_and_its_silence_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked, error = [0.0], [0], [False]

    async def ask() -> None:
        asked[0] += 1
        if error[0]:
            await asyncio.Event().wait()

    monkeypatch.setattr("m0_operator.gateway.serve.CHECK_S", 0.01)
    probe = ClusterProbe(ask, clock=lambda: now[0])
    for _ in range(3):
        assert await probe.check() == {"kubernetes": "ok"}
    assert asked == [1]
    now[0] += 6
    error[0] = True
    assert await asyncio.wait_for(probe.check(), 5) == {"kubernetes": "unavailable"}
