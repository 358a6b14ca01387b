"""What the pods of a video's latest Job have written, for whoever people speak to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from m0_operator.domain.views import VideoView, is_finished
from m0_operator.errors import ClusterNotFoundError

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class LogPart:
    """Whole lines of one pod's log, as many as came at once."""

    pod: str
    lines: tuple[str, ...]


class LogSource(Protocol):
    """The pods of one namespace."""

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        """The video's resource; None when there is none."""
        ...

    async def fetch_pods(self, job: str) -> list[dict[str, Any]]:
        """The Job's pods."""
        ...

    def read_log(
        self, pod: str, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[tuple[str, ...], None]:
        """A pod's log, whole lines at a time; ClusterNotFoundError when the pod is gone."""
        ...


class NoPodError(Exception):
    """There is no pod whose log could be read."""

    def __init__(self, view: VideoView, *, ended: bool) -> None:
        super().__init__(f"{view.name} has no pod " + ("any more" if ended else "yet"))
        self.ended = ended


class PodLogs:
    """The logs of a namespace's videos. Stateless: any number may be read at once."""

    def __init__(
        self, source: LogSource, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._source = source
        self._sleep = sleep

    async def open(
        self, view: VideoView, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[LogPart, None]:
        """Look whether there is a log, then give it: one pod after the other, the oldest first.

        Args:
            follow: go on, with later pods too, until the video has ended; it may not have any yet.
            tail: only so many lines of each pod, the last ones.

        Raises:
            NoPodError: at once, without `follow`; with it at the end.
            ClusterUnavailableError: at once, or at any time.
        """
        pods, ended = await self._look(view)
        if not pods and (ended or not follow):
            raise NoPodError(view, ended=ended)
        return self._read(view, pods, follow=follow, tail=tail)

    async def _read(
        self, view: VideoView, pods: list[str], *, follow: bool, tail: int | None
    ) -> AsyncGenerator[LogPart, None]:
        read: set[str] = set()
        ended = not follow
        while True:
            for pod in pods:
                if pod in read:
                    continue
                read.add(pod)
                async for part in self._read_one(pod, follow=follow, tail=tail):
                    yield part
            if ended:
                break
            await self._sleep(POLL_S)
            pods, ended = await self._look(view)
        if not read:
            raise NoPodError(view, ended=True)

    async def _read_one(
        self, pod: str, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[LogPart, None]:
        try:
            async with aclosing(self._source.read_log(pod, follow=follow, tail=tail)) as parts:
                async for lines in parts:
                    yield LogPart(pod, lines)
        except ClusterNotFoundError:
            # It has gone since it was listed.
            return

    async def _look(self, view: VideoView) -> tuple[list[str], bool]:
        """The pods that have begun, the oldest first, and whether there will be no more."""
        raw = await self._source.fetch_resource(view.name)
        # The pods are asked for after the phase: none can come once it has ended.
        ended = raw is None or is_finished(raw)
        job = ((((raw or {}).get("status") or {}).get("jobRef")) or {}).get("name") or view.job
        pods = await self._source.fetch_pods(job) if job else []
        pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        return [pod["metadata"]["name"] for pod in pods if _has_begun(pod)], ended


def _has_begun(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") not in {None, "Pending"}
