"""An event loop with virtual time: where a real one would wait, the clock jumps.

No wall time, no threads, no sockets. What is ready runs in an order drawn from the seed,
and what belongs to a process that stands still is kept for it.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, TypeVarTuple

from simulation.process import PROCESS

Ts = TypeVarTuple("Ts")


class _Task(asyncio.Task[Any]):
    """A task with a place in sets that depends on no address: TaskGroup keeps them in one."""

    def __init__(self, serial: int, coro: Coroutine[Any, Any, Any], **more: Any) -> None:
        self._serial = serial
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.BaseEventLoop):
    """Deterministic: the same seed and the same program give the same order of everything."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)

    def _make_task(self, _: Any, coro: Any, **more: Any) -> asyncio.Task[Any]:
        task = _Task(len(self.tasks), coro, loop=self, **more)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        # BaseEventLoop's own, without the waiting and with an order of our own.
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        ready: Any = self._ready  # type: ignore[attr-defined]
        # Thinking takes time too: without it a wait of 1e-15 s would never be over.
        self._now += 1e-6
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise RuntimeError("deadlock: nothing will ever happen again")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        batch = list(ready)
        ready.clear()
        if len(batch) > 1:
            self._rng.shuffle(batch)
        for handle in batch:
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None and process.stands_still:
                process.held.append(handle)
            else:
                handle._run()

    def resume(self, handles: Iterable[asyncio.Handle]) -> None:
        """Let callbacks run that were kept for a process."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """For the process that asks."""
        process = PROCESS.get()
        assert process is not None
        process.signals[sig] = lambda: callback(*args)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits in a select."""
