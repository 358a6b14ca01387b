"""Only one operator acts at a time: whoever holds the Lease.

A pod that was told to go still finishes what it has in hand while its successor
starts; without a Lease both would tell the same things to others. Expiry is
judged by this process's own clock alone: a record is stale when it has not
changed for as long as it promised to be renewed within.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from m0_wire import crash

from m0_operator.errors import ClusterConflictError, LeadershipLostError, OperatorError
from m0_operator.services.pause import pause

logger = logging.getLogger(__name__)

LEASE_S = 12
"""How long a silent holder is believed to be alive, seconds."""
RENEW_S = 2.0
"""Between renewals, and the bound on one: two or three may fail before we must stop."""
RETRY_S = 0.5
"""Between looks at another's Lease: a released one is taken within half a second."""
RENEW_DEADLINE_S = 8.0
"""Without a renewal for so long we stop acting, well before another may start."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The Lease as the API holds it.

    Attributes:
        holder: identity of the leader; empty when released.
        version: the resource version, which every renewal changes.
        duration_s: seconds within which the holder promises to renew.
    """

    holder: str
    version: str
    duration_s: int


class Leases(Protocol):
    """The one Lease of this operator."""

    async def fetch_lease(self) -> LeaseRecord | None:
        """The record; None when there is none."""
        ...

    async def write_lease(self, holder: str, duration_s: int, version: str | None) -> LeaseRecord:
        """Create it (no version) or replace exactly that version; ClusterConflictError else."""
        ...


class Leadership:
    """This process's claim to the Lease."""

    def __init__(self, leases: Leases, identity: str, clock: Callable[[], float]) -> None:
        """Args:
        identity: unlike that of any other process, ever.
        clock: monotonic seconds.
        """
        self._leases = leases
        self._identity = identity
        self._clock = clock
        self._seen: LeaseRecord | None = None
        self._seen_at = 0.0
        self._version: str | None = None
        self._renewed_at = 0.0
        self._looked_at = clock()

    @property
    def silent_s(self) -> float:
        """Since the Lease was last looked at or renewed, seconds."""
        return self._clock() - max(self._looked_at, self._renewed_at)

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until the Lease is ours; False when `stop` came first."""
        told = False
        while not stop.is_set():
            try:
                if await self.try_acquire():
                    crash.point("lease.acquired")
                    logger.info("Leading", extra={"identity": self._identity})
                    return True
                if not told and self._seen is not None:
                    logger.info("Standing by", extra={"leader": self._seen.holder})
                    told = True
            except OperatorError as error:
                logger.warning("Lease not readable", extra={"reason": str(error)})
            await pause(stop, RETRY_S)
        return False

    async def try_acquire(self) -> bool:
        """Take the Lease if it is free, released or expired."""
        record = await self._leases.fetch_lease()
        self._looked_at = self._clock()
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        if record is not None and record.holder not in {"", self._identity}:
            if self._clock() - self._seen_at < record.duration_s:
                return False
            logger.warning("The leader fell silent: taking over", extra={"leader": record.holder})
        sent_at = self._clock()
        try:
            version = record.version if record else None
            taken = await self._leases.write_lease(self._identity, LEASE_S, version)
        except ClusterConflictError:
            return False
        self._version, self._renewed_at = taken.version, sent_at
        return True

    def check(self) -> None:
        """Ask before anything is told to others: a process that was paused may wake up late.

        Raises:
            LeadershipLostError: another one may be acting by now.
        """
        silent_s = self._clock() - self._renewed_at
        if silent_s >= RENEW_DEADLINE_S:
            raise LeadershipLostError(f"the Lease was not renewed for {silent_s:.1f} s")

    async def hold(self, over: asyncio.Event) -> None:
        """Renew until `over` is set.

        Raises:
            LeadershipLostError: another one has the Lease, or the API was away for too long.
        """
        while not over.is_set():
            left_s = self._renewed_at + RENEW_DEADLINE_S - self._clock()
            try:
                # Waiting for an answer must not make us miss the deadline.
                async with asyncio.timeout(min(left_s, 2 * RENEW_S)):
                    await asyncio.sleep(RENEW_S)
                    await self._renew()
            except TimeoutError:
                logger.warning("Lease not renewed", extra={"reason": "no answer"})
            except OperatorError as error:
                if isinstance(error, LeadershipLostError):
                    raise
                logger.warning("Lease not renewed", extra={"reason": str(error)})
            self.check()

    async def _renew(self) -> None:
        # What counts is when the promise was made, not when its receipt came.
        sent_at = self._clock()
        try:
            record = await self._leases.write_lease(self._identity, LEASE_S, self._version)
        except ClusterConflictError as error:
            # Our own renewal may have got through though its answer was lost.
            found = await self._leases.fetch_lease()
            if found is None or found.holder != self._identity:
                holder = found.holder if found else "nobody"
                raise LeadershipLostError(f"the Lease went to {holder}") from error
            self._version = found.version
            return
        self._version, self._renewed_at = record.version, sent_at

    async def release(self) -> None:
        """Let the successor start at once; never raises."""
        try:
            async with asyncio.timeout(RENEW_S):
                await self._leases.write_lease("", 1, self._version)
        except (OperatorError, TimeoutError) as error:
            logger.warning("Lease not released", extra={"reason": str(error)})
