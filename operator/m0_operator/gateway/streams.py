"""Answers that go on: a bounded number of them, each with somebody who still listens.

`EventStream` tells a video's changes as server-sent events; `log_routes.LogStream` its pods' log.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from m0_operator.errors import OperatorError
from m0_operator.gateway.problems import ProblemError, build_response
from m0_operator.services.jobs import Following, Update
from m0_operator.services.pod_logs import NoPodError

logger = logging.getLogger(__name__)

T = TypeVar("T")
HEARTBEAT_S = 15.0
RETRY_MS = 3000
SEND_S = 30.0
"""A listener that takes nothing for so long is gone."""


class Streams:
    """How many there are, and whether they are to end."""

    def __init__(self, at_most: int = 100, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._at_most = at_most
        self.heartbeat_s = heartbeat_s
        self.open = 0
        self.draining = False
        self.closing = asyncio.Event()

    def is_draining(self) -> bool:
        """Whether this process is about to end."""
        return self.draining

    @property
    def full(self) -> bool:
        """Whether no further one is taken."""
        return self.open >= self._at_most or self.closing.is_set()


def build_full_problem() -> ProblemError:
    """There are too many streams."""
    text = "Too many streams are open. Try again, or ask for the video now and then instead."
    return ProblemError(503, "TOO_MANY_STREAMS", text, retry_after_s=RETRY_MS // 1000)


def format_event(kind: str, data: str, number: str = "") -> bytes:
    """One event; `data` has no line breaks."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()


class LongAnswer(Response, Generic[T]):
    """An answer that goes on until all is told, the listener leaves, or we end.

    It begins with its first bytes: what goes wrong before them is a problem, as elsewhere.

    Attributes:
        opening: sent at once; without it the answer begins with the first item, or with the time
            of the first heartbeat.
        heartbeat: sent when there was nothing to tell for a while.
        leaving: the last that is sent when this process ends.
    """

    opening: ClassVar[bytes] = b""
    heartbeat: ClassVar[bytes] = b""
    leaving: ClassVar[bytes] = b""

    def __init__(self, items: AsyncGenerator[T, None], streams: Streams) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._items = items
        self._streams = streams
        self._begun = False

    def tell(self, item: T) -> tuple[bytes, bool]:
        """The item's bytes, and whether there may be more."""
        raise NotImplementedError

    def explain(self, error: Exception) -> bytes:  # noqa: ARG002 - not everybody says it
        """The last that is sent when what it tells of can't be read any further."""
        return b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        try:
            if self._streams.full:
                await build_response(build_full_problem(), scope["path"])(scope, receive, send)
                return
            self._streams.open += 1
            try:
                await self._serve(receive, send)
            finally:
                self._streams.open -= 1
        finally:
            await self._items.aclose()

    async def _serve(self, receive: Receive, send: Send) -> None:
        ends = {
            asyncio.create_task(_left(receive)),
            asyncio.create_task(self._streams.closing.wait()),
        }
        following: asyncio.Task[T | None] | None = None
        last = b""
        try:
            if self.opening:
                await self._write(send, self.opening)
            while True:
                following = following or asyncio.create_task(self._next())
                done, _ = await asyncio.wait(
                    {following, *ends},
                    timeout=self._streams.heartbeat_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if done & ends:
                    last = self.leaving
                    break
                if not done:
                    await self._write(send, self.heartbeat)
                    continue
                item, following = following.result(), None
                if item is None:
                    break
                body, more = self.tell(item)
                await self._write(send, body)
                if not more:
                    break
        except (OperatorError, NoPodError, ProblemError) as error:
            if not self._begun:
                raise
            logger.warning("Stream broke off", extra={"reason": str(error)})
            last = self.explain(error)
        except TimeoutError:
            logger.info("Stream ended: its listener takes nothing")
            return
        finally:
            await _end({*ends, *({following} if following else ())})
        with suppress(TimeoutError):
            await self._write(send, last, more=False)

    async def _next(self) -> T | None:
        return await anext(self._items, None)

    async def _write(self, send: Send, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(SEND_S):
            if not self._begun:
                self._begun = True
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
            # An empty body is how the server is told to send the head.
            await send({"type": "http.response.body", "body": body, "more_body": more})


class EventStream(LongAnswer[Update]):
    """A video's changes. A listener comes back by itself, and says what it has seen."""

    media_type = "text/event-stream"
    opening = f"retry: {RETRY_MS}\n\n".encode()
    heartbeat = b": nothing new\n\n"

    def __init__(self, following: Following, streams: Streams) -> None:
        super().__init__(following.updates, streams)

    def tell(self, item: Update) -> tuple[bytes, bool]:
        """An event; after the last one comes `end`."""
        kind = "deleted" if item.deleted else "status"
        number = item.view.resource_version
        event = format_event(kind, item.view.model_dump_json(), number)
        if not item.deleted and not item.view.final:
            return event, True
        reason = "deleted" if item.deleted else "final"
        return event + format_event("end", json.dumps({"reason": reason})), False


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
