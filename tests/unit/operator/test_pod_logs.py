"""What a video's pods have written, and when that is all."""

import asyncio

import pytest
from fakes.videos import FakeVideoStore, build_video, final
from m0_operator.adapters.videos import LINE_BYTES, _log_lines
from m0_operator.domain.views import build_view
from m0_operator.errors import ClusterForbiddenError, ClusterUnavailableError
from m0_operator.services.pod_logs import NoPodError, PodLogs

from .test_videos import Content


def build_store(phase: str = "Running") -> FakeVideoStore:
    return FakeVideoStore(build_video(101, phase=phase, jobRef={"name": "job-1"}))


async def read(
    store: FakeVideoStore, *, follow: bool = False, tail: int | None = None
) -> list[tuple[str, str]]:
    """(pod, line) of all that there is."""
    view = build_view(store.resources["video-101"])
    parts = await PodLogs(store, sleep=store.pause).open(view, follow=follow, tail=tail)
    return [(part.pod, line) async for part in parts for line in part.lines]


async def test_one_pod_after_the_other_and_of_each_the_tail() -> None:
    store = build_store()
    store.write("a", "1", "2", "3", phase="Failed")
    store.write("b", "4", "5")
    everything = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("b", "5")]
    assert await read(store) == everything
    assert await read(store, tail=1) == [("a", "3"), ("b", "5")]
    assert await read(store, tail=0) == []


@pytest.mark.parametrize(("phase", "words"), [("Running", "yet"), ("Failed", "any more")])
async def test_without_a_pod_it_is_said_at_once(phase: str, words: str) -> None:
    store = build_store(phase)
    store.pods = [{"metadata": {"name": "late"}, "status": {"phase": "Pending"}}]
    with pytest.raises(NoPodError, match=f"video-101 has no pod {words}"):
        await read(store)


async def test_followed_until_the_video_has_ended_also_in_its_next_pod() -> None:
    store = build_store()
    reading = asyncio.create_task(read(store, follow=True))
    await asyncio.sleep(0.01)
    assert not reading.done(), "there is no pod yet"
    store.write("a", "1")
    await asyncio.sleep(0.01)
    store.write("a", "2", phase="Failed")
    await asyncio.sleep(0.01)
    store.write("b", "3")
    store.write("b", phase="Succeeded")
    store.set_status("video-101", phase="Succeeded")
    lines = await asyncio.wait_for(reading, 5)
    assert lines == [("a", "1"), ("a", "2"), ("b", "3")]


async def test_followed_and_ended_without_a_pod() -> None:
    store = build_store()
    reading = asyncio.create_task(read(store, follow=True))
    await asyncio.sleep(0.01)
    store.set_status("video-101", **final("STOPPED"))
    with pytest.raises(NoPodError, match="any more"):
        await asyncio.wait_for(reading, 5)


async def test_a_pod_that_is_gone_by_now_has_no_log() -> None:
    store = build_store()
    store.write("a", "1")
    store.write("b", "2")
    del store.log["a"]
    assert await read(store) == [("b", "2")]


@pytest.mark.parametrize("error", [ClusterForbiddenError("no"), ClusterUnavailableError("away")])
async def test_a_log_that_cant_be_read_is_not_an_empty_one(error: Exception) -> None:
    store = build_store()
    store.log_error = error
    with pytest.raises(type(error)):
        await read(store)


async def test_lines_however_they_are_cut_and_none_without_end() -> None:
    long = b"x" * (LINE_BYTES + 1)
    content = Content(b"on", b"e\n\ntwo\nthr\xff", b"ee\n", long, b"y\nhalf")
    found = [lines async for lines in _log_lines(content, 5)]
    assert found == [
        ("one", "", "two"),
        ("thr\N{REPLACEMENT CHARACTER}ee",),
        (long.decode(),),
        ("y",),
        ("half",),
    ]


async def test_a_log_that_falls_silent_is_given_up_unless_it_is_followed() -> None:
    with pytest.raises(ClusterUnavailableError):
        async for _ in _log_lines(Content(b"one\n", ends=False), 0.01):
            pass
    lines = _log_lines(Content(b"one\n", ends=False), None)
    assert await anext(lines) == ("one",)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(lines), 0.05)
