"""A look at everything now and then: at the start, and in case an event was missed."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pydantic import ValidationError

from m0_operator.domain.observed import parse_resource
from m0_operator.errors import DeafError, OperatorError
from m0_operator.services.hearing import Hearing
from m0_operator.services.pause import pause
from m0_operator.services.slots import Slots

logger = logging.getLogger(__name__)

RESOURCE, JOB = "VideoChunkJob", "Job"

LISTENING_S = 20.0
"""How long an event may be on its way after a list has shown what it tells, seconds."""


class Lists(Protocol):
    """All objects of a kind, as the API holds them."""

    async def list_resources(self) -> list[dict[str, Any]]:
        """Every VideoChunkJob."""
        ...

    async def list_jobs(self) -> list[dict[str, Any]]:
        """Every Job of a VideoChunkJob."""
        ...


class Resync:
    """Has everything looked at, and the watches checked."""

    def __init__(
        self,
        lists: Lists,
        slots: Slots,
        hearing: Hearing,
        *,
        wake: Callable[[str], None],
        known: Callable[[], Iterable[str]],
        every_s: float,
    ) -> None:
        """Args:
        wake: has a resource reconciled soon.
        known: names of the resources that were seen and not known to be gone.
        every_s: seconds between two looks.
        """
        self._lists = lists
        self._slots = slots
        self._hearing = hearing
        self._wake = wake
        self._known = known
        self._every_s = every_s
        self.seeded = False

    async def seed(self, stop: asyncio.Event) -> None:
        """Count what is in the cluster before the first message is taken."""
        while not stop.is_set():
            try:
                for raw in await self._lists.list_resources():
                    self._see(raw)
            except OperatorError as error:
                logger.warning("Waiting for the cluster", extra={"reason": str(error)})
                await pause(stop, 2)
            else:
                self.seeded = True
                logger.info("Operator ready", extra={"active": self._slots.active})
                return

    async def run(self, stop: asyncio.Event) -> None:
        """Look at everything until `stop`.

        Raises:
            DeafError: the watches did not tell what is there.
        """
        while not stop.is_set():
            await pause(stop, LISTENING_S if self._hearing.doubtful else self._every_s)
            if stop.is_set():
                return
            try:
                await self.look()
            except DeafError:
                raise
            except OperatorError as error:
                logger.warning("Resync failed", extra={"reason": str(error)})

    async def look(self) -> None:
        """Once.

        Raises:
            DeafError: the watches did not tell what is there.
            OperatorError: the cluster did not answer.
        """
        resources = await self._lists.list_resources()
        # What is known but not listed has gone unheard: its slot must be freed.
        # In order, so that a run of the simulation can be repeated.
        for name in sorted({raw["metadata"]["name"] for raw in resources} | set(self._known())):
            self._wake(name)
        self._hearing.compare(RESOURCE, _versions(resources))
        self._hearing.compare(JOB, _versions(await self._lists.list_jobs()))
        if self._hearing.behind_s >= LISTENING_S:
            raise DeafError(
                f"for {self._hearing.behind_s:.0f} s the watches have not told of a change "
                "that the API shows"
            )

    def _see(self, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        self._wake(name)
        try:
            self._slots.observe(parse_resource(raw))
        except ValidationError as error:
            # Of another version perhaps: it must not keep all others waiting.
            logger.warning("Resource not readable", extra={"resource": name, "reason": str(error)})


def _versions(items: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(raw["metadata"]["name"], raw["metadata"]["resourceVersion"]) for raw in items]
