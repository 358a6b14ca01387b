"""One run: a seed, a plan, the operator in its world, and what was found."""

import asyncio
import hashlib
import json
import logging
import signal
import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from m0_operator.errors import DeafError, LeadershipLostError

from simulation.broker import HEARTBEAT_S
from simulation.checks import check_end, is_at_rest
from simulation.faults import Plan, draw_plan
from simulation.incarnation import Surroundings, build_app, simulated
from simulation.jobs import JobController
from simulation.kubelet import Kubelet
from simulation.network import FREEZE_S
from simulation.people import People
from simulation.process import Process
from simulation.records import Life
from simulation.world import OUTSIDE, World

SETTLE_S = 1200.0
GRACE_S = 30.0


@dataclass
class Result:
    """What came of a run."""

    plan: Plan
    problems: list[str]
    trace: list[tuple[float, str, str]]
    virtual_s: float
    stats: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The whole run in one word."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()[:16]


class _Log(logging.Handler):
    """What the operator says: an error that nobody foresaw is a bug."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        reason = getattr(record, "reason", "")
        if record.exc_info and record.exc_info[1] is not None:
            self._world.blame(f"{record.getMessage()}: {record.exc_info[1]!r}")
        elif record.levelno < logging.WARNING or self._world.torn:
            self._world.say("log", f"{record.getMessage()} {reason}")


class Run:
    """A run in progress."""

    def __init__(self, plan: Plan) -> None:
        self.world = World(plan)
        self.around = Surroundings(self.world)
        self.kubelet = Kubelet(self.world, self.around.server, self.around.broker)
        self.around.ledger.missing = self._missing
        self.around.ledger.deleting = self._deleting
        JobController(self.world, self.around.server)
        self.processes: list[Process] = []
        self.apps: dict[Process, Any] = {}
        self.world.freezing = self._miss_heartbeats

    def _missing(self, life: Life) -> list[int]:
        if life.body is None:
            return []
        chunks = json.loads(life.body)["inference_config"]["film"]["chunks"]
        return self.kubelet.store.missing(life.uid, life.process_id, chunks)

    def _deleting(self, life: Life) -> bool:
        found = self.around.server.all("resource").get(life.name)
        return found is not None and "deletionTimestamp" in found["metadata"]

    def _miss_heartbeats(self, process: Process, seconds: float) -> None:
        if seconds > HEARTBEAT_S:
            self.world.later(HEARTBEAT_S, self.around.broker.close_all_of, process)

    async def play(self) -> list[str]:
        """The whole of it; what was found wrong."""
        world, plan = self.world, self.world.plan
        start = world.loop.create_task
        for number in range(plan.replicas):
            start(self._replica("abc"[number]))
        people = [start(work) for work in People(self.around).tasks()]
        for trouble in self._troubles():
            start(trouble)
        for begin, _ in plan.away.get("broker", ()):
            world.later(begin, self.around.broker.lose_connections)
        while world.time < plan.horizon_s + SETTLE_S and not world.broken:
            await asyncio.sleep(2.0)
            done = all(task.done() for task in people)
            if not world.faulty and done and is_at_rest(self.around):
                break
        # Whatever is to come by itself: a late event, a resync, the last retry.
        await asyncio.sleep(plan.resync_s + 10.0)
        await self._let_go()
        leaders = [self.apps[p] for p in self.processes if p is self.around.ledger.leader]
        return world.broken or check_end(self.around, leaders)

    async def _let_go(self) -> None:
        """Finished resources go one by one when their time is over: not in the middle of it."""
        for _ in range(60):
            present = self.around.server.all("resource")
            going = any("deletionTimestamp" in item["metadata"] for item in present.values())
            leader = self.around.ledger.leader
            leading = self.apps.get(leader) if leader else None
            if not going and (leading is None or set(leading._reconciler.known) == set(present)):
                return
            await asyncio.sleep(2.0)

    # --- the operator's processes ----------------------------------------------------------

    async def _replica(self, name: str) -> None:
        world, rng, life = self.world, self.world.rng, 0
        while True:
            life += 1
            skew_s = 0.0 if world.plan.calm else rng.uniform(-2, 2)
            process = Process(f"{name}{life}", skew_s)
            self.processes.append(process)
            ended: asyncio.Future[None] = world.loop.create_future()
            process.on_death = partial(_settle, ended)
            world.loop.create_task(self._live(process, ended), context=process.context)
            await ended
            world.say(process, "killed" if process.dead else "ended")
            # A killed process's connections end with its host, or with the heartbeat.
            lost = process.dead and rng.random() < 0.2
            world.later(HEARTBEAT_S if lost else 0.1, self.around.broker.close_all_of, process)
            await asyncio.sleep(rng.choice((0.5, 3.0, 10.0)))

    async def _live(self, process: Process, ended: "asyncio.Future[None]") -> None:
        try:
            app = build_app(self.around)
            self.apps[process] = app
            await app.run()
        except* (LeadershipLostError, DeafError) as errors:
            self.world.say(process, str(errors.exceptions[0]))
        except* Exception as errors:  # noqa: BLE001 - whatever it is, it is a finding
            self.world.blame(f"{process} crashes: {errors.exceptions!r}")
        process.ended = True
        _settle(ended)

    def _troubles(self) -> list[Any]:
        plan = self.world.plan
        troubles = []
        if plan.kill_every_s:
            troubles.append(self._every(plan.kill_every_s, Process.kill))
        if plan.stop_every_s:
            troubles.append(self._every(plan.stop_every_s, self._stop))
        if plan.freeze:
            troubles.append(self._every(60.0, self._freeze))
        return troubles

    async def _every(self, mean_s: float, deed: Any) -> None:
        world = self.world
        while world.faulty:
            await asyncio.sleep(world.rng.uniform(0.3, 1.7) * mean_s)
            living = [process for process in self.processes if not process.gone]
            if living and world.faulty:
                deed(world.rng.choice(living))

    def _freeze(self, process: Process) -> None:
        self.world.freeze(process, self.world.rng.choice(FREEZE_S))

    def _stop(self, process: Process) -> None:
        """A rollout, a drained node: SIGTERM, and SIGKILL when that takes too long."""
        self.world.say(process, "is told to stop")
        handler = process.signals.get(signal.SIGTERM)
        if handler is not None:
            self.world.loop.call_soon(handler, context=process.context)
        self.world.later(GRACE_S, process.kill)

    # --- afterwards ------------------------------------------------------------------------

    def tear_down(self) -> None:
        """End what is left of tasks, the killed ones' too."""
        world, loop = self.world, self.world.loop
        world.torn = True
        for process in self.processes:
            process.dead, process.frozen_until = False, 0.0
            world.release(process)
        for _ in range(200):
            left = [task for task in loop.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            loop.run_until_complete(_a_moment())
        for task in loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if task.done() and not task.cancelled():
                task.exception()
        loop.close()


def _settle(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)


async def _a_moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0.5)


def run_seed(seed: int, *, plan: Plan | None = None, verbose: bool = False) -> Result:
    """Play one seed. `verbose` puts the operator's own log into the trace."""
    plan = plan or draw_plan(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        run = Run(plan)
        log, operator_log = _Log(run.world), logging.getLogger("m0_operator")
        level, propagate = operator_log.level, operator_log.propagate
        operator_log.addHandler(log)
        operator_log.setLevel(logging.INFO if verbose else logging.WARNING)
        operator_log.propagate = False
        try:
            with simulated(run.around):
                main = run.world.loop.create_task(run.play(), context=OUTSIDE.copy())
                problems = run.world.loop.run_until_complete(main)
                trace, virtual_s = list(run.world.trace), run.world.time
                run.tear_down()
        finally:
            operator_log.removeHandler(log)
            operator_log.setLevel(level)
            operator_log.propagate = propagate
    stats = {**run.around.ledger.stats, "calls": run.around.network.calls}
    return Result(plan, problems, trace, virtual_s, stats)
