"""How many messages wait in each queue: asked now and then, for whoever wants to know.

Only the number of ready messages can be known over AMQP; how old the oldest is can't be
without taking it.
"""

import asyncio
import logging
from collections.abc import Mapping
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
    """The last answers."""

    def __init__(self, depths: Depths, queues: Mapping[str, str]) -> None:
        """Args:
        queues: what each is for → its name.
        """
        self._depths = depths
        self._queues = queues
        self.messages: dict[str, int] = {}

    async def follow(self, stop: asyncio.Event) -> None:
        """Ask until `stop`; never raises."""
        while not stop.is_set():
            for use, queue in self._queues.items():
                await self._ask(use, queue)
            await pause(stop, EVERY_S)
        await self._depths.close()

    async def _ask(self, use: str, queue: str) -> None:
        depth = None
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
        else:
            self.messages[use] = depth
