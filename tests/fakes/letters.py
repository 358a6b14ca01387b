"""A dead-letter queue in memory, and a crash at any instant of what is done with it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from m0_operator.services.dead_letters import Held


class CrashError(BaseException):
    """The process ends here; nothing may catch it."""


@dataclass
class Message:
    """A message in a queue."""

    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    message_id: str = ""
    looks: int = 0


class FakeLetterQueue:
    """Implements `LetterQueue`; counts looks as a quorum queue does, and drops after `limit`.

    Attributes:
        crash_at: the how many-th exchange with the broker is the last one.
        done_first: whether the broker has carried that one out.
        dropped: lost, since they were given back too often.
    """

    def __init__(self, letters: list[Message], *, limit: int | None = None) -> None:
        self.letters = letters
        self.requests: list[Message] = []
        self.dropped: list[Message] = []
        self.limit = limit
        self.exchanges = 0
        self.crash_at: int | None = None
        self.done_first = False
        self.errors: dict[str, Exception] = {}

    @asynccontextmanager
    async def look(self) -> AsyncIterator["FakeLook"]:
        look = FakeLook(self)
        try:
            yield look
        finally:
            self._take_back(look.held)

    def _take_back(self, held: list[Message]) -> None:
        for message in held:
            message.looks += 1
        over = [m for m in held if self.limit is not None and m.looks > self.limit]
        self.dropped += over
        self.letters[:0] = [message for message in held if message not in over]

    def exchange(self, name: str) -> "_Exchange":
        self.exchanges += 1
        return _Exchange(self, name, self.exchanges == self.crash_at)


class _Exchange:
    """Around the effect: a crash before it, or after."""

    def __init__(self, queue: FakeLetterQueue, name: str, crash: bool) -> None:
        self._queue, self._name, self._crash = queue, name, crash

    def __enter__(self) -> None:
        if self._name in self._queue.errors:
            raise self._queue.errors[self._name]
        if self._crash and not self._queue.done_first:
            raise CrashError

    def __exit__(self, *_: object) -> None:
        if self._crash and self._queue.done_first:
            raise CrashError


class FakeHeld:
    """Implements `Held`."""

    def __init__(self, look: "FakeLook", message: Message) -> None:
        self._look = look
        self.message = message
        self.body = message.body
        self.headers = message.headers
        self.priority = message.priority
        self.message_id = message.message_id
        self.looks = message.looks

    async def ack(self) -> None:
        with self._look.queue.exchange("ack"):
            self._look.held = [item for item in self._look.held if item is not self.message]


class FakeLook:
    """Implements `Look`."""

    def __init__(self, queue: FakeLetterQueue) -> None:
        self.queue = queue
        self.held: list[Message] = []
        self.waiting = len(queue.letters)

    async def take(self) -> FakeHeld | None:
        with self.queue.exchange("take"):
            if not self.queue.letters:
                return None
            message = self.queue.letters.pop(0)
            self.held.append(message)
            return FakeHeld(self, message)

    async def resubmit(
        self, held: Held, body: bytes, *, message_id: str, priority: int | None
    ) -> None:
        with self.queue.exchange("resubmit"):
            given = held.priority if priority is None else priority
            self.queue.requests.append(Message(body, held.headers, given, message_id))

    async def renew(self, held: Held, *, message_id: str) -> None:
        with self.queue.exchange("renew"):
            self.queue.letters.append(Message(held.body, held.headers, held.priority, message_id))
