"""The operator as the program starts it, on the simulation's ports.

This is the only place that knows how `m0_operator.app` is put together: what it takes
from outside is replaced under the names that it uses, the rest is its own.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from m0_operator import app
from m0_operator.app import App
from m0_operator.domain.job_template import JobTemplate
from m0_operator.services import intake, leadership, progress
from m0_operator.settings import OperatorSettings
from pydantic import SecretStr

from simulation.apiserver import ApiServer, Object, Stream
from simulation.broker import Broker
from simulation.cluster import Admission, SimCluster
from simulation.ledger import Ledger
from simulation.network import Network
from simulation.wire import SimDeadLetters, SimDepths, SimInbox, SimProgressInbox, SimReporter
from simulation.world import World, current

TTL_S = (0, 5, 600)


class Surroundings:
    """What every process of a run is given."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = Ledger(world)
        self.network = Network(world)
        self.server = ApiServer(world)
        self.server.on_change.append(self._let_go)
        self.broker = Broker(world, self.ledger)
        self.admission = Admission()
        plan = world.plan
        self.template = JobTemplate(
            image="c:1",
            backoff_limit=plan.backoff_limit,
            active_deadline_seconds=plan.deadline_s,
            resources={"limits": {"memory": "1Gi"}},
            memory_cap=world.rng.choice((None, "1Gi", "3Gi")),
            ttl_seconds_after_finished=world.rng.choice(TTL_S),
        )
        self.settings = OperatorSettings(
            amqp_url=SecretStr("amqp://simulated"),
            namespace="m0",
            graphql_url="http://simulated" if plan.backend else "",
            max_active_jobs=plan.limit,
            finished_ttl_hours=world.rng.choice((None, None, None, 0.01)),
            handed_over_status=plan.handed_over,
            resync_s=plan.resync_s,
            job_template_file=Path("/simulated"),
        )

    def _let_go(self, kind: str, item: Object, deleted: bool) -> None:
        if kind == "resource" and deleted:
            self.ledger.gone(item)


def build_app(around: Surroundings) -> App:
    """A new operator; to be called by its process."""
    cluster: Any = SimCluster(around.network, around.server, around.admission, around.ledger)
    return App(around.settings, cluster)


@contextmanager
def simulated(around: Surroundings) -> Iterator[None]:
    """While it is open, `App` finds the simulation where it looks for the world."""
    world, network, broker = around.world, around.network, around.broker

    def inbox(_: str, queue: str, **__: Any) -> Any:
        if queue == around.settings.progress_queue:
            return SimProgressInbox(network, broker)
        return SimInbox(network, broker, around.ledger)

    def reporter(_: OperatorSettings, __: Callable[[], None]) -> SimReporter | None:
        return SimReporter(world, network, around.ledger) if world.plan.backend else None

    def utc_now() -> datetime:
        return world.now + timedelta(seconds=current().skew_s)

    def new_id() -> uuid.UUID:
        return uuid.UUID(int=world.rng.getrandbits(128))

    replaced: dict[str, Any] = {
        "AmqpInbox": inbox,
        "AmqpPublisher": lambda *_, **__: SimDeadLetters(world, network, broker, around.ledger),
        "QueueDepths": lambda _: SimDepths(),
        "_build_reporter": reporter,
        "say_priorities": _say_nothing,
        "read_job_template": lambda _: around.template,
        "serve_health": _serve_health,
        "utc_now": utc_now,
        "time": SimpleNamespace(monotonic=world.loop.time),
        "uuid": SimpleNamespace(uuid4=new_id),
        "kopf": SimpleNamespace(operator=_watcher(around), Memo=SimpleNamespace),
        "build_registry": lambda: None,
        "build_kopf_settings": lambda: None,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch.object(app, name, value))
        stack.enter_context(patch.object(intake, "IDLE_S", intake.IDLE_S * 2 * world.plan.pace))
        stack.enter_context(
            patch.object(leadership, "RETRY_S", leadership.RETRY_S * world.plan.pace)
        )
        stack.enter_context(patch.object(progress, "POLL_S", progress.POLL_S * 2 * world.plan.pace))
        yield


@asynccontextmanager
async def _serve_health(*_: object, **__: object) -> AsyncIterator[None]:
    yield


async def _say_nothing(*_: object) -> None:
    return


def _watcher(around: Surroundings) -> Callable[..., Any]:
    """kopf.operator: what is there, then what changes, until it is told to stop."""

    async def watch(*, memo: Any, ready_flag: Any, stop_flag: Any, **_: object) -> None:
        def hear(kind: str, item: Object, deleted: bool) -> None:
            if kind == "resource":
                memo.listener.hear_resource(item["metadata"], deleted=deleted)
            else:
                memo.listener.hear_job(item["metadata"], deleted=deleted)

        stream = Stream(around.world, hear)
        for kind in ("resource", "job"):
            for item in around.server.copies(kind):
                stream.send(kind, item, sure=True)
        around.server.streams.append(stream)
        ready_flag.set()
        try:
            await stop_flag.wait()
        finally:
            around.server.streams.remove(stream)

    return watch
