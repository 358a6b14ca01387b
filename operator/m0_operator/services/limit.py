"""How many videos may be active, as a file says that may change while the operator runs."""

import asyncio
import logging
from pathlib import Path

from m0_operator.services.pause import pause
from m0_operator.services.slots import Slots

logger = logging.getLogger(__name__)

READ_EVERY_S = 5.0


class LimitFile:
    """A file with one number: a mounted ConfigMap, which the kubelet keeps up to date."""

    def __init__(self, path: Path, slots: Slots) -> None:
        self._path = path
        self._slots = slots
        self._said = ""

    async def follow(self, stop: asyncio.Event) -> None:
        """Read it again and again until `stop`."""
        while not stop.is_set():
            self.read()
            await pause(stop, READ_EVERY_S)

    def read(self) -> None:
        """Take the number over; what is none is said once and changes nothing."""
        try:
            limit = int(self._path.read_text())
        except (OSError, ValueError) as error:
            self._say(f"{self._path}: {error}")
            return
        if limit < 1:
            self._say(f"{self._path}: {limit} is less than 1")
            return
        self._said = ""
        if limit != self._slots.limit:
            logger.info(
                "Limit of active videos", extra={"limit": limit, "before": self._slots.limit}
            )
            self._slots.limit = limit

    def _say(self, reason: str) -> None:
        if reason != self._said:
            logger.warning(
                "Limit of active videos not readable, it stays",
                extra={"limit": self._slots.limit, "reason": reason},
            )
        self._said = reason
