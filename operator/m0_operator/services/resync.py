"""A look at everything now and then: at the start, and in case an event was missed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol

from pydantic import ValidationError

from m0_operator.domain.observed import parse_resource
from m0_operator.errors import DeafError, OperatorError
from m0_operator.services.hearing import Hearing
from m0_operator.services.pause import pause
from m0_operator.services.settled import Settled
from m0_operator.services.slots import Slots

logger = logging.getLogger(__name__)

RESOURCE, JOB = "VideoChunkJob", "Job"

LISTENING_S = 20.0
"""How long an event may be on its way after a list has shown what it tells, seconds."""


class Lists(Protocol):
    """All objects of a kind, as the API holds them."""

    def list_resources(self) -> AsyncIterator[dict[str, Any]]:
        """Every VideoChunkJob, whole."""
        ...

    async def list_versions(self, kind: str) -> list[tuple[str, str]]:
        """(name, resourceVersion) of every VideoChunkJob, or of every Job of one."""
        ...


class Resync:
    """Has everything looked at, and the watches checked."""

    def __init__(
        self,
        lists: Lists,
        slots: Slots,
        hearing: Hearing,
        settled: Settled,
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
        self._settled = settled
        self._wake = wake
        self._known = known
        self._every_s = every_s
        self.seeded = False

    async def seed(self, stop: asyncio.Event) -> None:
        """Count what is in the cluster before the first message is taken."""
        while not stop.is_set():
            try:
                async for raw in self._lists.list_resources():
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
        listed = await self._lists.list_versions(RESOURCE)
        names = {name for name, _ in listed}
        self._settled.forget_all_but(names)
        due = {name for name, version in listed if not self._settled.has(name, version)}
        # What is known but not listed has gone unheard: its slot must be freed.
        gone = set(self._known()) - names
        # In order, so that a run of the simulation can be repeated.
        for name in sorted(due | gone):
            self._wake(name)
        self._hearing.compare(RESOURCE, listed)
        self._hearing.compare(JOB, await self._lists.list_versions(JOB))
        if self._hearing.behind_s >= LISTENING_S:
            raise DeafError(
                f"for {self._hearing.behind_s:.0f} s the watches have not told of a change "
                "that the API shows"
            )

    def _see(self, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        try:
            resource = parse_resource(raw)
        except ValidationError as error:
            # Of another version perhaps: it must not keep all others waiting.
            logger.warning("Resource not readable", extra={"resource": name, "reason": str(error)})
            self._wake(name)
            return
        self._slots.observe(resource)
        # A Job of it that is left over will be told of by the watch.
        self._settled.note(resource)
        if not self._settled.has(name, resource.version):
            self._wake(name)
