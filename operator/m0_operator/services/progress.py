"""The latest progress of each video, heard from its Job's messages, shown once a second."""

import asyncio
import logging
from collections.abc import Callable

from m0_contract.chunk import Progress
from m0_wire.errors import BrokerUnavailableError
from pydantic import ValidationError

from m0_operator.services.pause import pause
from m0_operator.services.ports import Inbox

logger = logging.getLogger(__name__)

SHOW_EVERY_S = 1.0
POLL_S = 0.5
MAX_PAUSE_S = 30.0


class ProgressTracker:
    """In memory only: what is lost in a restart comes again with the next chunk."""

    def __init__(self, clock: Callable[[], float], wake: Callable[[str, float], None]) -> None:
        """Args:
        clock: monotonic seconds.
        wake: called with a resource's name and the seconds after which to look at it.
        """
        self._clock = clock
        self._wake = wake
        self._latest: dict[str, Progress] = {}
        self._shown: dict[str, tuple[float, Progress]] = {}

    def hear(self, body: bytes) -> None:
        """Take in one message; what is no progress is dropped: it only informs people."""
        try:
            progress = Progress.model_validate_json(body)
        except ValidationError:
            return
        known = self._latest.get(progress.resource)
        if known is not None and (progress.attempt, progress.chunks) < (
            known.attempt,
            known.chunks,
        ):
            return
        self._latest[progress.resource] = progress
        shown = self._shown.get(progress.resource)
        wait_s = max(0.0, shown[0] + SHOW_EVERY_S - self._clock()) if shown else 0.0
        self._wake(progress.resource, wait_s)

    def show(self, resource: str) -> Progress | None:
        """The progress to be written now: changes at most once in `SHOW_EVERY_S`."""
        latest, shown = self._latest.get(resource), self._shown.get(resource)
        if latest is None:
            return None
        if shown is not None and (
            shown[1] == latest or self._clock() - shown[0] < SHOW_EVERY_S - 0.001
        ):
            return shown[1]
        self._shown[resource] = (self._clock(), latest)
        return latest

    def forget(self, resource: str) -> None:
        """It has ended."""
        self._latest.pop(resource, None)
        self._shown.pop(resource, None)


async def follow_progress(inbox: Inbox, tracker: ProgressTracker, stop: asyncio.Event) -> None:
    """Hear what the Jobs say until `stop`; a broker that is away only leaves people uninformed."""
    pause_s = POLL_S
    while not stop.is_set():
        try:
            while (message := await inbox.fetch()) is not None:
                tracker.hear(message.body)
            pause_s = POLL_S
        except BrokerUnavailableError as error:
            pause_s = min(MAX_PAUSE_S, pause_s * 2)
            logger.info("Progress not heard", extra={"reason": str(error)})
        await pause(stop, pause_s)
