"""A keyed work queue, as controllers have it.

A key waits once however often it is added, is worked on by one worker at a time,
comes back if it was added meanwhile, and after an error comes back later and later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from m0_operator.errors import STOP, TRY_AGAIN, WorkTimeoutError
from m0_operator.logs import about

logger = logging.getLogger(__name__)

WORK_S = 120.0
"""Bound on one key's work, seconds: everything in it has its own, so this one is for bugs."""
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 60.0


class WorkQueue:
    """Keys to be worked on. Belongs to one event loop."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._stopped = False

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Have `key` worked on soon."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Have `key` worked on in `delay_s` seconds, unless it is earlier anyway."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay_s
        timer = self._timers.get(key)
        if key in self._waiting or (timer is not None and timer.when() <= when):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(when, self.add, key)

    def stop(self) -> None:
        """Have each worker end after its current key."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ready.put_nowait("")

    async def run_worker(self, work: Callable[[str], Awaitable[None]]) -> None:
        """Work on keys until `stop`; `work` raising puts its key off."""
        while not self._stopped:
            key = await self._ready.get()
            if self._stopped:
                break
            self._waiting.discard(key)
            self._active.add(key)
            with about(resource=key):
                await self._work_on(key, work)
        self._ready.put_nowait("")

    async def _work_on(self, key: str, work: Callable[[str], Awaitable[None]]) -> None:
        try:
            await _bound(work(key))
        except Exception as error:  # noqa: BLE001 - a worker outlives whatever a key does to it
            self._active.discard(key)
            self._again.discard(key)
            self._put_off(key, error)
        else:
            self._active.discard(key)
            self._failures.pop(key, None)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _put_off(self, key: str, error: Exception) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures, 10))
        logger.warning(
            "Reconcile failed, tried again later",
            # Known errors say all in their message; a bug needs its place.
            exc_info=None if isinstance(error, (*TRY_AGAIN, *STOP)) else error,
            extra={"retry_s": delay_s, "reason": str(error)},
        )
        self.add_after(key, delay_s)


async def _bound(work: Awaitable[None]) -> None:
    """Let it take `WORK_S` at most.

    Raises:
        WorkTimeoutError: it took longer; what it was about to do is done the next time.
    """
    try:
        async with asyncio.timeout(WORK_S) as bound:
            await work
    except TimeoutError as error:
        if bound.expired():
            raise WorkTimeoutError(f"not done within {WORK_S:.0f} s") from error
        raise
