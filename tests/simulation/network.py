"""A call from a process to a server, and all that can become of it.

The request travels, the server does it, the answer travels; each may be slow or lost, and
the process may be killed or frozen at any of these moments. What was sent lands whether or
not the sender still lives, but within `SLOW_S`: a server that did a thing minutes after it
was asked could be held off by no lease.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
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
from simulation.world import World, current

T = TypeVar("T")
Service = Literal["api", "broker", "backend"]

SLOW_S = 3.0
TIMEOUT_S = 10.0
FREEZE_S = (3.0, 12.0, 25.0, 70.0)
"""Some end before anybody may take over, some while another one leads."""
ERRORS: dict[str, type[Exception]] = {
    "api": ClusterUnavailableError,
    "broker": BrokerUnavailableError,
    "backend": BackendUnavailableError,
}
_ANSWERS = (*TRY_AGAIN, AlreadyExistsError, ClusterRejectedError, BackendRejectedError)


@dataclass(slots=True)
class _Call:
    """A request on its way; `lost` is told when the answer is not heard though it was done."""

    process: Process
    service: Service
    what: str
    effect: Callable[[], Any]
    answer: "asyncio.Future[Any]"
    lost: Callable[[], None] | None


class Network:
    """Between the operator's processes and everything else."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._away_until: dict[str, float] = {}
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
            lost: told when the answer is not heard though it was done.
        """
        world = self._world
        if world.torn:
            raise asyncio.CancelledError
        self.calls += 1
        answer: asyncio.Future[T] = world.loop.create_future()
        process = current()
        self._send(_Call(process, service, what, effect, answer, lost), weight)
        try:
            return await answer
        except asyncio.CancelledError:
            if world.torn or process.dead or not world.chance(world.plan.uncancel):
                raise
            world.say(process, f"{what}: cancelled at the very moment when its own time was up")
            raise ERRORS[service](f"{what}: no answer in time") from None

    def _send(self, call: _Call, weight: float) -> None:
        world, rng, plan = self._world, self._world.rng, self._world.plan
        delay_s = plan.latency_s * (0.5 + rng.random())
        if world.chance(plan.cut * weight):
            # In the middle of something, which is when it hurts: another service, or this one.
            self._cut(rng.choice(list(ERRORS)), rng.uniform(2, 20))
        if self._is_away(call.service):
            self._fail(call, "is away")
            return
        if world.chance(plan.slow * weight):
            delay_s = rng.uniform(0.5, SLOW_S)
        if world.chance(plan.kill * weight):
            world.say(call.process, f"killed around {call.what}")
            moment = rng.choice(("unsent", "unheard", "done", "done"))
            if moment == "unsent":
                call.process.kill()
            else:
                world.later(delay_s, self._kill, call, moment == "done")
            return
        if weight >= 0.3 and world.chance(plan.freeze):
            world.later(rng.uniform(0, 2 * delay_s), self._freeze, call.process)
        if not world.chance(plan.lose * weight):
            world.later(delay_s, self._land, call, True)
        elif rng.random() < 0.5:
            self._fail(call, "request lost")
        else:
            world.later(delay_s, self._land, call, False)

    def _cut(self, service: str, seconds: float) -> None:
        self._world.say("network", f"{service} is away for {seconds:.1f} s")
        self._away_until[service] = self._world.time + seconds

    def _is_away(self, service: str) -> bool:
        world = self._world
        cut = world.time < self._away_until.get(service, 0.0) and world.faulty
        return cut or world.plan.is_away(service, world.time)

    def _freeze(self, process: Process) -> None:
        self._world.freeze(process, self._world.rng.choice(FREEZE_S))

    def _fail(self, call: _Call, why: str) -> None:
        world = self._world
        wait_s = world.rng.choice((world.plan.latency_s, TIMEOUT_S))
        error = ERRORS[call.service](f"{call.what}: {why}")
        world.later(wait_s, _settle, call.answer, None, error)
        world.say("network", f"{call.what}: {why}")

    def _kill(self, call: _Call, done: bool) -> None:
        """The sender dies, and the server has done it or never heard of it."""
        if done:
            self._do(call)
            if call.lost is not None:
                call.lost()
        call.process.kill()

    def _land(self, call: _Call, heard: bool) -> None:
        world, process = self._world, call.process
        nobody = process.dead or call.answer.cancelled()
        if nobody and world.rng.random() < 0.5:
            # Nobody waits any more: the connection may have gone with the request.
            world.say("network", f"{call.what}: never arrived, {process} does not wait")
            return
        result, error = self._do(call)
        if call.lost is not None and (not heard or nobody or process.stands_still):
            call.lost()
        if heard:
            world.later(
                world.plan.latency_s * world.rng.random(), _settle, call.answer, result, error
            )
        else:
            self._fail(call, "answer lost")

    def _do(self, call: _Call) -> tuple[Any, Any]:
        world = self._world
        try:
            result = call.effect()
        except _ANSWERS as error:
            world.say(call.process, f"{call.what} → {type(error).__name__}")
            return None, error
        except Exception as error:  # noqa: BLE001 - of the simulation itself
            world.blame(f"{call.what}: {error!r}")
            return None, error
        world.say(call.process, call.what)
        return result, None


def _settle(answer: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
