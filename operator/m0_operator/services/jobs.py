"""The control room: list, show, follow, stop and suspend videos.

For whoever people speak to: the REST door, the command line. It needs little of the cluster
(`VideoStore`) and none of the operator's own machinery; what it says are `domain/views.py`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from m0_contract.keys import resource_name

from m0_operator.domain.views import (
    VideoSummary,
    VideoView,
    build_summary,
    build_view,
    changed,
    is_finished,
    stop_state,
)
from m0_operator.domain.wanted import (
    PAGE,
    BadTokenError,
    Cursor,
    VideoFilter,
    is_called,
    is_earlier,
    parse_process_id,
)
from m0_operator.errors import (
    ClusterConflictError,
    ClusterExpiredError,
    ClusterNotFoundError,
    ClusterRejectedError,
)

PAGES_AT_MOST = 50
"""A list looks at so many pages for what it is to find; then it answers with what it has."""

REWATCH_S = 0.5


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the cluster's list.

    Attributes:
        token: where the next part begins; empty at the end.
        version: the state of the cluster that the whole list shows.
    """

    items: list[dict[str, Any]]
    token: str
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells.

    Attributes:
        raw: the resource; None when only the version has moved.
    """

    version: str
    raw: dict[str, Any] | None = None
    deleted: bool = False


class VideoStore(Protocol):
    """VideoChunkJobs of one namespace. Reads give None only for a 404; all else raises."""

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        """The resource as the API holds it."""
        ...

    async def list_page(self, *, limit: int, token: str, version: str) -> Page:
        """A part of the list: after `token`, or the first one, at exactly `version` if given.

        ClusterExpiredError when the cluster no longer knows that state.
        """
        ...

    def watch(self, name: str, version: str) -> AsyncGenerator[Change, None]:
        """What happens to one after `version`, until the watch ends, as each does now and then.

        ClusterExpiredError when the cluster no longer knows what happened since.
        """
        ...

    async def patch_spec(self, name: str, uid: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Merge into the spec of this very one."""
        ...


class VideoNotFoundError(Exception):
    """There is no such video."""


class VideoEndedError(Exception):
    """It has ended already."""

    def __init__(self, view: VideoView) -> None:
        super().__init__(f"it has ended: {view.phase}")
        self.view = view


EVERYTHING = VideoFilter()


@dataclass(frozen=True, slots=True)
class VideoPage:
    """Videos in the order of their resources' names; with a token there may be more."""

    items: tuple[VideoSummary, ...]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A video after a change; with `deleted` as it was last seen."""

    view: VideoView
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Following:
    """A video as it is, and what becomes of it."""

    view: VideoView
    updates: AsyncGenerator[Update, None]


@dataclass(frozen=True, slots=True)
class StopReceipt:
    """What became of the wish to stop a video."""

    view: VideoView
    state: Literal["stopping", "stopped"]


class Videos:
    """The videos of one namespace. Stateless: any number of them may be used at once."""

    def __init__(
        self, store: VideoStore, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._sleep = sleep
        # A part of a list may be megabytes.
        self._listing = asyncio.Semaphore(2)

    async def list(
        self, wanted: VideoFilter = EVERYTHING, *, limit: int = 100, token: str = ""
    ) -> VideoPage:
        """The videos that are meant, at most `limit`.

        As with the Kubernetes API there may be fewer of them and still more to come: only a
        page without a token is the last one.

        Raises:
            BadTokenError: the token is none.
            ClusterExpiredError: the token is too old.
            ClusterUnavailableError: the API does not answer.
        """
        cursor = Cursor.decode(token)
        found: list[VideoSummary] = []
        async with self._listing:
            for _ in range(PAGES_AT_MOST):
                page = await self._fetch(cursor)
                for number, raw in enumerate(page.items[cursor.skip :], cursor.skip):
                    if not wanted.matches(raw):
                        continue
                    if len(found) == limit:
                        here = Cursor(cursor.token, page.version, number)
                        return VideoPage(tuple(found), here.encode())
                    found.append(build_summary(raw))
                if not page.token:
                    return VideoPage(tuple(found))
                cursor = Cursor(page.token, page.version)
                if len(found) == limit:
                    break
        return VideoPage(tuple(found), cursor.encode())

    async def _fetch(self, cursor: Cursor) -> Page:
        try:
            return await self._store.list_page(
                limit=PAGE, token=cursor.token, version=cursor.version
            )
        except ClusterRejectedError as error:
            raise BadTokenError("this is no continue token") from error

    async def get(self, process_id: str) -> VideoView:
        """One video in full.

        Args:
            process_id: as a person types it, see `parse_process_id`.

        Raises:
            VideoNotFoundError: there is none.
            ClusterUnavailableError: the API does not answer.
        """
        return build_view(await self._find(process_id))

    async def follow(self, process_id: str, after: str | None = None) -> Following:
        """Look once, then give what there is to see, each change of it, to the end.

        Args:
            process_id: as for `get`.
            after: the `resource_version` of the last update that was seen; nothing is told
                again, and what happened since is told, as far as the cluster remembers.

        Raises:
            VideoNotFoundError: at once; ClusterUnavailableError at any time.
        """
        view = build_view(await self._find(process_id))
        return Following(view, self._updates(view, after))

    async def _updates(self, view: VideoView, after: str | None) -> AsyncGenerator[Update, None]:
        shown: VideoView | None = None
        version = view.resource_version
        if after == version:
            shown = view
        elif after is not None and is_earlier(after, version):
            version = after
        else:
            yield Update(view)
            shown = view
        if shown is not None and shown.final:
            return
        async with aclosing(self._changes(view.name, version)) as changes:
            async for change in changes:
                view = build_view(change.raw) if change.raw is not None else view
                if change.deleted or changed(shown, view):
                    yield Update(view, change.deleted)
                shown = view
                if change.deleted or view.final:
                    return

    async def _changes(self, name: str, version: str) -> AsyncGenerator[Change, None]:
        """One watch after the other, without end; where one can't go on, a look instead."""
        while True:
            try:
                async with aclosing(self._store.watch(name, version)) as watch:
                    async for change in watch:
                        version = change.version
                        if change.raw is not None:
                            yield change
            except ClusterExpiredError:
                raw = await self._store.fetch_resource(name)
                if raw is not None:
                    version = raw["metadata"]["resourceVersion"]
                yield Change(version, raw, deleted=raw is None)
            await self._sleep(REWATCH_S)

    async def stop(self, process_id: str) -> StopReceipt:
        """End a video. It stays to be seen, and does no harm a second time.

        Raises:
            VideoNotFoundError: there is none.
            VideoEndedError: it has ended otherwise.
            ClusterConflictError: it is being replaced at this moment.
            ClusterUnavailableError: the API does not answer.
        """
        raw = await self._find(process_id)
        state = stop_state(raw)
        if state == "ended":
            raise VideoEndedError(build_view(raw))
        if state == "running":
            raw, state = await self._patch(raw, {"stop": True}), "stopping"
        return StopReceipt(build_view(raw), state)

    async def suspend(self, process_id: str, *, suspend: bool) -> VideoView:
        """Take its pod away, or let it go on; raises as `stop`."""
        raw = await self._find(process_id)
        if is_finished(raw):
            raise VideoEndedError(build_view(raw))
        return build_view(await self._patch(raw, {"suspend": suspend}))

    async def _patch(self, raw: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        meta = raw["metadata"]
        try:
            return await self._store.patch_spec(meta["name"], meta["uid"], spec)
        except ClusterNotFoundError as error:
            raise VideoNotFoundError(meta["name"]) from error
        except ClusterRejectedError as error:
            raise ClusterConflictError(str(error)) from error

    async def _find(self, process_id: str) -> dict[str, Any]:
        for candidate in parse_process_id(process_id):
            raw = await self._store.fetch_resource(resource_name(candidate))
            # Somebody may have given another one this name by hand.
            if raw is not None and is_called(raw, candidate):
                return raw
        raise VideoNotFoundError(process_id)
