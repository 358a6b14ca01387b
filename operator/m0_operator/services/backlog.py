"""How many messages wait in each queue: asked now and then, for whoever wants to know.

How old the oldest message is can't be known over AMQP without taking it, and RabbitMQ's own
`head_message_timestamp` tells of the highest priority alone, of quorum queues not at all. But no
message is older than the last sight of its queue empty.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from m0_wire.errors import WireError

from m0_operator.services.pause import pause

logger = logging.getLogger(__name__)

EVERY_S = 10.0


class Depths(Protocol):
    """The broker, asked from outside."""

    async def depth(self, queue: str) -> int | None:
        """How many messages are ready; None where there is no such queue."""
        ...

    async def close(self) -> None:
        """Leave; never raises."""
        ...


class Backlog:
    """The last answers.

    Attributes:
        messages: ready ones, by what the queue is for; a queue that could not be asked is missing.
    """

    def __init__(
        self,
        depths: Depths,
        queues: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        queues: what each is for → its name.
        """
        self._depths = depths
        self._queues = queues
        self._clock = clock
        self.messages: dict[str, int] = {}
        self._not_empty_since: dict[str, float] = {}

    def not_empty_s(self) -> dict[str, float]:
        """For how long each has not been seen empty: no message in it has waited for longer.

        In a process that began with messages there, for as long as it has asked.
        """
        now = self._clock()
        return {
            use: now - self._not_empty_since[use] if depth else 0.0
            for use, depth in self.messages.items()
        }

    async def follow(self, stop: asyncio.Event) -> None:
        """Ask until `stop`; never raises."""
        while not stop.is_set():
            for use, queue in self._queues.items():
                await self._ask(use, queue)
            await pause(stop, EVERY_S)
        await self._depths.close()

    async def _ask(self, use: str, queue: str) -> None:
        depth, asked_at = None, self._clock()
        try:
            depth = await self._depths.depth(queue)
        except Exception as error:  # noqa: BLE001 - a figure is worth no operator
            logger.log(
                logging.DEBUG if isinstance(error, WireError) else logging.WARNING,
                "Queue's depth not known",
                extra={"queue": queue, "reason": str(error)},
            )
        # Unknown is not zero.
        if depth is None:
            self.messages.pop(use, None)
            return
        if depth == 0:
            self._not_empty_since[use] = asked_at
        else:
            self._not_empty_since.setdefault(use, asked_at)
        self.messages[use] = depth
