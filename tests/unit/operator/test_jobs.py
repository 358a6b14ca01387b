"""The control room over a cluster in memory."""

import asyncio
import base64
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from fakes.videos import FakeVideoStore, build_video, final
from hypothesis import given
from hypothesis import strategies as st
from m0_operator.domain.wanted import PAGE, BadTokenError, Cursor, VideoFilter, parse_process_id
from m0_operator.errors import (
    ClusterConflictError,
    ClusterExpiredError,
    ClusterNotFoundError,
    ClusterUnavailableError,
)
from m0_operator.services.jobs import Update, VideoEndedError, VideoNotFoundError, Videos

EVERYTHING = VideoFilter()


def many(count: int, every: int = 1) -> FakeVideoStore:
    """So many videos, each `every`-th of them failed."""
    return FakeVideoStore(
        *(
            build_video(1000 + n, phase="Failed" if n % every == 0 else "Succeeded")
            for n in range(count)
        )
    )


async def read_all(videos: Videos, wanted: VideoFilter, limit: int) -> list[list[object]]:
    pages, token = [], ""
    while True:
        page = await videos.list(wanted, limit=limit, token=token)
        pages.append([item.process_id for item in page.items])
        if page.token is None:
            return pages
        token = page.token


@pytest.mark.parametrize("limit", [1, 7, 100, 101, 500])
@pytest.mark.parametrize("every", [1, 3, 60])
async def test_pages_together_are_the_list_and_none_is_longer_than_asked(
    limit: int, every: int
) -> None:
    wanted = VideoFilter(phases=frozenset({"Failed"}))
    pages = await read_all(Videos(many(250, every)), wanted, limit)
    assert [number for page in pages for number in page] == list(range(1000, 1250, every))
    assert max(len(page) for page in pages) <= limit


async def test_a_list_shows_one_moment_though_videos_come_and_go_between_its_pages() -> None:
    store = many(5)
    videos = Videos(store)
    first = await videos.list(limit=2)
    store.drop("video-1003")
    store.put(build_video(1001_5))
    rest = await videos.list(limit=10, token=first.token or "")
    assert [item.process_id for item in (*first.items, *rest.items)] == list(range(1000, 1005))


async def test_a_search_for_a_few_among_many_answers_in_bounded_time() -> None:
    store = many(60 * PAGE, every=10**9)
    page = await Videos(store).list(VideoFilter(phases=frozenset({"Stopped"})))
    assert page.items == ()
    assert page.token is not None
    assert len(store.pages) == 50


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (VideoFilter(phases=frozenset({"Queued"})), {1, "b-1"}),
        (VideoFilter(phases=frozenset({"Failed", "Succeeded"})), {12, 2}),
        (VideoFilter(codes=frozenset({"KILLED"})), {12}),
        (VideoFilter(modalities=frozenset({"live"})), {"b-1"}),
        (VideoFilter(prefix="1"), {1, 12}),
        (VideoFilter(since=datetime(2026, 6, 1, tzinfo=UTC)), {2}),
        (VideoFilter(prefix="1", phases=frozenset({"Failed"})), {12}),
    ],
)
async def test_each_criterion_must_hold(wanted: VideoFilter, ids: set[object]) -> None:
    live, late = build_video("b-1"), build_video(2, **final())
    live["spec"]["inferenceModality"] = "live"
    late["metadata"]["creationTimestamp"] = "2026-06-01T00:00:00Z"
    store = FakeVideoStore(build_video(1), build_video(12, **final("KILLED")), live, late)
    page = await Videos(store).list(wanted)
    assert {item.process_id for item in page.items} == ids


async def test_a_token_that_is_too_old_is_said_to_be() -> None:
    store = many(5)
    videos = Videos(store)
    token = (await videos.list(limit=2)).token or ""
    store.forget()
    with pytest.raises(ClusterExpiredError):
        await videos.list(limit=2, token=token)


@pytest.mark.parametrize("known", [["x/y", "1", 0], ["", "", 1], ["", "1", -1], ["", "1", True]])
async def test_what_is_no_token_of_ours_is_refused(known: list[object]) -> None:
    text = base64.urlsafe_b64encode(json.dumps(known).encode()).decode()
    with pytest.raises(BadTokenError):
        await Videos(many(3)).list(token=text)


@given(st.text())
def test_no_text_breaks_the_reading_of_tokens(text: str) -> None:
    with suppress(BadTokenError):
        assert Cursor.decode(Cursor.decode(text).encode()) == Cursor.decode(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("101", (101, "101")),
        ("0", (0, "0")),
        ("007", ("007",)),
        ('"101"', ("101",)),
        ("a/b", ("a/b",)),
        ("٣", ("٣",)),
        ("9223372036854775808", ("9223372036854775808",)),
        ("", ()),
        ('""', ()),
        ("x" * 257, ()),
    ],
)
def test_what_a_person_means_by_an_id(text: str, wanted: tuple[int | str, ...]) -> None:
    assert parse_process_id(text) == wanted


async def test_number_and_text_are_two_videos() -> None:
    videos = Videos(FakeVideoStore(build_video(101), build_video("101"), build_video("102")))
    assert (await videos.get("101")).process_id == 101
    assert (await videos.get('"101"')).process_id == "101"
    assert (await videos.get("102")).process_id == "102"


async def test_a_resource_with_anothers_name_is_not_that_video() -> None:
    foreign = build_video(101)
    foreign["spec"]["processId"] = 7
    with pytest.raises(VideoNotFoundError):
        await Videos(FakeVideoStore(foreign)).get("101")


async def test_an_api_that_is_away_is_not_a_video_that_is_missing() -> None:
    store = FakeVideoStore()
    store.error = ClusterUnavailableError("away")
    with pytest.raises(ClusterUnavailableError):
        await Videos(store).get("101")


async def test_stopping_twice_is_stopping_once() -> None:
    store = FakeVideoStore(build_video(101, phase="Running"))
    videos = Videos(store)
    assert (await videos.stop("101")).state == "stopping"
    assert (await videos.stop("101")).view.stopping
    assert store.patches == [("video-101", {"stop": True})]
    store.set_status("video-101", **final("STOPPED"))
    assert (await videos.stop("101")).state == "stopped"


@pytest.mark.parametrize("status", [final(), final("KILLED")])
async def test_one_that_has_ended_otherwise_cant_be_stopped_or_suspended(
    status: dict[str, object],
) -> None:
    store = FakeVideoStore(build_video(101, **status))
    with pytest.raises(VideoEndedError):
        await Videos(store).stop("101")
    with pytest.raises(VideoEndedError):
        await Videos(store).suspend("101", suspend=True)
    assert store.patches == []


async def test_suspended_and_let_go_on() -> None:
    videos = Videos(FakeVideoStore(build_video(101, phase="Running")))
    assert (await videos.suspend("101", suspend=True)).suspended
    assert not (await videos.suspend("101", suspend=False)).suspended


class Meanwhile(FakeVideoStore):
    """Something happens between the look and the patch."""

    replaced = False

    async def fetch_resource(self, name: str) -> dict[str, object] | None:
        found = await super().fetch_resource(name)
        if self.replaced:
            self.put({**build_video(101), "metadata": {"name": name, "uid": "another"}})
        else:
            self.resources.pop(name)
        return found


async def test_only_the_very_one_that_was_seen_is_stopped() -> None:
    store = Meanwhile(build_video(101))
    with pytest.raises(VideoNotFoundError) as caught:
        await Videos(store).stop("101")
    assert isinstance(caught.value.__cause__, ClusterNotFoundError)
    store = Meanwhile(build_video(101))
    store.replaced = True
    with pytest.raises(ClusterConflictError):
        await Videos(store).stop("101")
    assert store.patches == []


class Listener:
    """Follows a video; what happens is up to the test."""

    def __init__(self, store: FakeVideoStore) -> None:
        self.store = store
        self.heard: list[Update] = []

    async def run(self, after: str | None = None) -> None:
        following = await Videos(self.store, sleep=self.store.pause).follow("101", after)
        async for update in following.updates:
            self.heard.append(update)

    @property
    def phases(self) -> list[str]:
        return ["deleted" if item.deleted else item.view.phase for item in self.heard]


async def after_all(*steps: object) -> None:
    """Let everybody else run until they wait."""
    for _ in range(20 + len(steps)):
        await asyncio.sleep(0)


async def test_every_change_is_told_once_and_the_end_ends_it() -> None:
    store = FakeVideoStore(build_video(101))
    listener = Listener(store)
    run = asyncio.create_task(listener.run())
    await after_all()
    store.set_status("video-101", phase="Running")
    store.set_status("video-101", phase="Running")  # a version, and nothing new
    store.put(build_video(102, phase="Failed"))
    store.bookmark()
    await after_all()
    store.set_status("video-101", phase="Succeeded")
    await after_all()
    assert not run.done(), "not everybody was told yet"
    version = store.set_status("video-101", **final())
    await asyncio.wait_for(run, 5)
    assert listener.phases == ["Queued", "Running", "Succeeded", "Succeeded"]
    assert listener.heard[-1].view.final
    assert listener.heard[-1].view.resource_version == version


async def test_a_listener_that_comes_back_hears_what_it_missed_and_nothing_twice() -> None:
    store = FakeVideoStore(build_video(101))
    seen = store.set_status("video-101", phase="Running")
    store.set_status("video-101", attempts=2)
    store.set_status("video-101", **final())
    listener = Listener(store)
    await asyncio.wait_for(listener.run(after=seen), 5)
    assert [item.view.attempts for item in listener.heard] == [2, 2]
    assert listener.phases == ["Running", "Succeeded"]


async def test_what_is_forgotten_is_replaced_by_a_look() -> None:
    store = FakeVideoStore(build_video(101))
    seen = store.set_status("video-101", phase="Running")
    store.set_status("video-101", attempts=2)
    store.forget()
    store.set_status("video-101", **final())
    listener = Listener(store)
    await asyncio.wait_for(listener.run(after=seen), 5)
    assert listener.phases == ["Succeeded"]


@pytest.mark.parametrize("after", ["999999", "-1", "x", "²", "0", ""])
async def test_a_version_that_never_was_is_as_good_as_none(after: str) -> None:
    store = FakeVideoStore(build_video(101, **final()))
    listener = Listener(store)
    await asyncio.wait_for(listener.run(after=after), 5)
    assert listener.phases == ["Succeeded"]


async def test_its_newest_version_seen_there_is_nothing_to_tell() -> None:
    store = FakeVideoStore(build_video(101, **final()))
    listener = Listener(store)
    await asyncio.wait_for(listener.run(after=next(reversed(store.history)).version), 5)
    assert listener.heard == []


async def test_a_deleted_one_is_told_and_ends_it() -> None:
    store = FakeVideoStore(build_video(101))
    listener = Listener(store)
    run = asyncio.create_task(listener.run())
    await after_all()
    store.drop("video-101")
    await asyncio.wait_for(run, 5)
    assert listener.phases == ["Queued", "deleted"]


async def test_deleted_while_nobody_could_tell() -> None:
    store = FakeVideoStore(build_video(101))
    listener = Listener(store)
    run = asyncio.create_task(listener.run())
    await after_all()
    store.resources.clear()
    store.forget()
    store.news.set()
    await asyncio.wait_for(run, 5)
    assert listener.phases == ["Queued", "deleted"]


async def test_an_api_that_goes_away_ends_the_following() -> None:
    store = FakeVideoStore(build_video(101))
    listener = Listener(store)
    run = asyncio.create_task(listener.run())
    await after_all()
    store.error = ClusterUnavailableError("away")
    store.bookmark()
    with pytest.raises(ClusterUnavailableError):
        await asyncio.wait_for(run, 5)
