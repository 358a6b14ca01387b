"""All that a run consists of: its clock, its dice, its trace, and what has been found wrong."""

import contextvars
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from simulation.faults import Plan
from simulation.loop import SimLoop
from simulation.process import PROCESS, Process

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OUTSIDE = contextvars.Context()
"""In which the world's own callbacks run: no process owns them."""


class World:
    """What everybody in a run has in common.

    Attributes:
        torn: the run is over; only what is left of tasks is being taken down.
        broken: what was found wrong, in order; the run ends with the first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = Random(f"world {plan.seed}")
        self.loop = SimLoop(Random(f"order {plan.seed}"))
        self.loop.set_exception_handler(self._crash)
        self.trace: list[tuple[float, str, str]] = []
        self.broken: list[str] = []
        self.torn = False
        self.freezing: Callable[[Process, float], None] = lambda *_: None

    @property
    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.time()

    @property
    def now(self) -> datetime:
        """True wall-clock time."""
        return EPOCH + timedelta(seconds=self.loop.time())

    @property
    def stamp(self) -> str:
        """`now`, as the API server writes it."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def faulty(self) -> bool:
        """Whether things may still go wrong."""
        return self.time < self.plan.horizon_s

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens now; never after the horizon."""
        return probability > 0 and self.faulty and self.rng.random() < probability

    def say(self, who: object, what: str) -> None:
        """A line of the trace."""
        self.trace.append((self.time, str(who), what))

    def blame(self, what: str) -> None:
        """An invariant is broken."""
        self.broken.append(f"at {self.time:.3f} s: {what}")
        self.say("CHECK", what)

    def _crash(self, _: object, context: dict[str, Any]) -> None:
        if not self.torn:
            self.blame(f"{context['message']}: {context.get('exception')!r}")

    def later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> None:
        """Do something of the world's own after a while."""
        self.loop.call_later(delay_s, callback, *args, context=OUTSIDE)

    def freeze(self, process: Process, seconds: float) -> None:
        """SIGSTOP, a throttled or migrated machine: it notices nothing, and goes on later."""
        if process.gone or process.stands_still:
            return
        self.say(process, f"frozen for {seconds:.1f} s")
        process.frozen_until = self.time + seconds
        self.later(seconds, self._thaw, process)
        self.freezing(process, seconds)

    def _thaw(self, process: Process) -> None:
        if not process.dead:
            self.say(process, "goes on")
            process.frozen_until = 0.0
            self.release(process)

    def release(self, process: Process) -> None:
        """Let its callbacks run that waited."""
        held, process.held = process.held, []
        self.loop.resume(held)


def current() -> Process:
    """The process whose code runs."""
    process = PROCESS.get()
    assert process is not None
    return process
