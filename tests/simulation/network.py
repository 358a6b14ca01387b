"""A call from a process to a server, and all that can become of it.

The request travels, the server does it, the answer travels; each may be slow or lost, and
the process may be killed or frozen at any of these moments. What was sent lands whether or
not the sender still lives, but within `SLOW_S`: a server that did a thing minutes after it
was asked could be held off by no lease.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from m0_operator.errors import (
    TRY_AGAIN,
    AlreadyExistsError,
    ClusterRejectedError,
    ClusterUnavailableError,
)
from m0_wire.errors import (
    BackendRejectedError,
    BackendUnavailableError,
    BrokerUnavailableError,
)

from simulation.process import Process
from simulation.world import OUTSIDE, World, current

T = TypeVar("T")
Service = Literal["api", "broker", "backend"]

SLOW_S = 3.0
TIMEOUT_S = 10.0
ERRORS: dict[str, type[Exception]] = {
    "api": ClusterUnavailableError,
    "broker": BrokerUnavailableError,
    "backend": BackendUnavailableError,
}
_ANSWERS = (*TRY_AGAIN, AlreadyExistsError, ClusterRejectedError, BackendRejectedError)


class Network:
    """Between the operator's processes and everything else."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls = 0

    async def call(
        self,
        service: Service,
        what: str,
        effect: Callable[[], T],
        *,
        weight: float = 1.0,
        lost: Callable[[], None] | None = None,
    ) -> T:
        """Have the server do something, and hear of it.

        Args:
            weight: how often faults strike here; polling is cheap and frequent.
            lost: told when the answer does not arrive though it was done.
        """
        world = self._world
        if world.torn:
            raise asyncio.CancelledError
        self.calls += 1
        process, rng, plan = current(), world.rng, world.plan
        answer: asyncio.Future[T] = world.loop.create_future()
        delay_s = plan.latency_s * (0.5 + rng.random())
        if not world.faulty or plan.calm:
            world.later(delay_s, self._land, process, what, effect, answer, None, lost)
            return await answer
        if plan.is_away(service, world.time):
            self._fail(answer, service, what, "is away")
            return await answer
        if world.chance(plan.slow * weight):
            delay_s = rng.uniform(0.5, SLOW_S)
        if world.chance(plan.kill * weight):
            world.say(process, f"killed around {what}")
            moment = rng.choice(("unsent", "before", "after", "after"))
            if moment == "unsent":
                process.kill()
                return await answer
            delay = self._land_and_kill
            world.later(delay_s, delay, process, what, effect, answer, moment == "before", lost)
            return await answer
        if world.chance(plan.freeze * weight):
            world.later(rng.uniform(0, 2 * delay_s), self._freeze, process)
        if world.chance(plan.lose * weight):
            if rng.random() < 0.5:
                self._fail(answer, service, what, "request lost")
                return await answer
            world.later(delay_s, self._land, process, what, effect, answer, service, lost)
            return await answer
        world.later(delay_s, self._land, process, what, effect, answer, None, lost)
        return await answer

    def _freeze(self, process: Process) -> None:
        self._world.freeze(process, self._world.rng.choice((3.0, 12.0, 25.0, 70.0)))

    def _fail(self, answer: "asyncio.Future[Any]", service: str, what: str, why: str) -> None:
        world = self._world
        wait_s = world.rng.choice((world.plan.latency_s, TIMEOUT_S))
        error = ERRORS[service](f"{what}: {why}")
        world.later(wait_s, _settle, answer, None, error)
        world.say("network", f"{what}: {why}")

    def _land_and_kill(
        self,
        process: Process,
        what: str,
        effect: Callable[[], Any],
        answer: "asyncio.Future[Any]",
        before: bool,
        lost: Callable[[], None] | None,
    ) -> None:
        if not before:
            self._do(process, what, effect)
            if lost is not None:
                lost()
        process.kill()

    def _land(
        self,
        process: Process,
        what: str,
        effect: Callable[[], Any],
        answer: "asyncio.Future[Any]",
        break_service: str | None,
        lost: Callable[[], None] | None,
    ) -> None:
        world = self._world
        if (process.dead or answer.cancelled()) and world.rng.random() < 0.5:
            # Nobody waits any more: the connection may have gone with the request.
            world.say("network", f"{what}: never arrived, {process} does not wait")
            return
        result, error = self._do(process, what, effect)
        if break_service is not None:
            if lost is not None:
                lost()
            self._fail(answer, break_service, what, "answer lost")
            return
        if lost is not None and (process.gone or process.stands_still or answer.cancelled()):
            lost()
        world.later(world.plan.latency_s * world.rng.random(), _settle, answer, result, error)

    def _do(self, process: Process, what: str, effect: Callable[[], Any]) -> tuple[Any, Any]:
        world = self._world
        try:
            result = effect()
        except _ANSWERS as error:
            world.say(process, f"{what} → {type(error).__name__}")
            return None, error
        except Exception as error:  # noqa: BLE001 - of the simulation itself
            world.blame(f"{what}: {error!r}")
            return None, error
        world.say(process, what)
        return result, None


def _settle(answer: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


__all__ = ["OUTSIDE", "Network", "Service"]
