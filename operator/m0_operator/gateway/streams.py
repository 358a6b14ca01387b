"""Server-sent events: a video's changes, told as they happen, to a bounded number of listeners."""

import asyncio
import json
import logging
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from m0_operator.errors import OperatorError
from m0_operator.gateway.problems import ProblemError, build_response
from m0_operator.services.jobs import Following, Update

logger = logging.getLogger(__name__)

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
    text = "Too many event streams are open. Ask for the video now and then instead."
    return ProblemError(503, "TOO_MANY_STREAMS", text, retry_after_s=RETRY_MS // 1000)


def format_event(kind: str, data: str, number: str = "") -> bytes:
    """One event; `data` has no line breaks."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()


class EventStream(Response):
    """An answer that goes on until the video is final, the listener leaves, or we end."""

    media_type = "text/event-stream"

    def __init__(self, following: Following, streams: Streams) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._updates = following.updates
        self._streams = streams

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
            await self._updates.aclose()

    async def _serve(self, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        ends = {
            asyncio.create_task(_left(receive)),
            asyncio.create_task(self._streams.closing.wait()),
        }
        following: asyncio.Task[Update | None] | None = None
        try:
            await _write(send, f"retry: {RETRY_MS}\n\n".encode())
            while True:
                following = following or asyncio.create_task(self._next())
                done, _ = await asyncio.wait(
                    {following, *ends},
                    timeout=self._streams.heartbeat_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if done & ends:
                    break
                if not done:
                    await _write(send, b": nothing new\n\n")
                    continue
                update, following = following.result(), None
                if update is None or not await self._tell(update, send):
                    break
        except OperatorError as error:
            # The listener comes back by itself and says what it has seen.
            logger.warning("Event stream broke off", extra={"reason": str(error)})
        except TimeoutError:
            logger.info("Event stream ended: its listener takes nothing")
            return
        finally:
            await _end({*ends, *({following} if following else ())})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> Update | None:
        return await anext(self._updates, None)

    async def _tell(self, update: Update, send: Send) -> bool:
        """Whether there may be more."""
        kind = "deleted" if update.deleted else "status"
        number = update.view.resource_version
        await _write(send, format_event(kind, update.view.model_dump_json(), number))
        if not update.deleted and not update.view.final:
            return True
        reason = "deleted" if update.deleted else "final"
        await _write(send, format_event("end", json.dumps({"reason": reason})))
        return False


async def _write(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


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
