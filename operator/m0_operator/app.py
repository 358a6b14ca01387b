"""The composition root of the operator: builds everything, runs it, ends it in order."""

import asyncio
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import kopf
from m0_wire.backend import Backend, load_documents
from m0_wire.errors import BrokerUnavailableError
from pydantic import ValidationError

from m0_operator.adapters.backend import GraphqlReporter
from m0_operator.adapters.broker import AmqpInbox, AmqpPublisher, QueueSpec
from m0_operator.adapters.cluster import KubernetesCluster
from m0_operator.domain.actions import Policy
from m0_operator.domain.job_template import read_job_template
from m0_operator.domain.observed import parse_resource
from m0_operator.errors import LeadershipLostError, OperatorError
from m0_operator.handlers.events import build_kopf_settings, build_registry
from m0_operator.health import serve_health
from m0_operator.logs import configure_logging
from m0_operator.services.intake import Intake
from m0_operator.services.leadership import Leadership
from m0_operator.services.pause import pause
from m0_operator.services.progress import ProgressTracker
from m0_operator.services.reconcile import Reconciler
from m0_operator.services.reporting import Reporting
from m0_operator.services.slots import Slots
from m0_operator.services.workqueue import WorkQueue
from m0_operator.settings import OperatorSettings, explain

logger = logging.getLogger(__name__)

WORKERS = 8
PROGRESS_POLL_S = 0.5
SHUTDOWN_S = 10.0
IDENTITY: Any = "m0-operator"
INTAKE_SILENCE_S = 120.0
PROGRESS_QUEUE_ARGUMENTS = {"x-max-length": 10_000, "x-message-ttl": 60_000}
PRIORITY_QUEUE_ARGUMENTS = {"x-max-priority": 10}


def utc_now() -> datetime:
    """Wall-clock time."""
    return datetime.now(UTC)


class App:
    """The running operator."""

    def __init__(self, settings: OperatorSettings, cluster: KubernetesCluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._stop = asyncio.Event()
        self._queue = WorkQueue()
        self._slots = Slots(settings.max_active_jobs)
        self._acknowledged: set[str] = set()
        self._progress = ProgressTracker(time.monotonic, self._queue.add_after)
        url = settings.amqp_url.get_secret_value()
        self._inbox = AmqpInbox(url, settings.priority_queue, declare=_platform_queues(settings))
        progress_queue = QueueSpec(settings.progress_queue, PROGRESS_QUEUE_ARGUMENTS)
        self._progress_inbox = AmqpInbox(
            url, settings.progress_queue, declare=(progress_queue,), no_ack=True
        )
        self._dead_letters = AmqpPublisher(
            url, settings.deadletter_queue, name="m0-operator dead letters"
        )
        # A pod's name may come again, its process never does.
        identity = f"{os.environ.get('HOSTNAME', 'm0-operator')}-{uuid.uuid4().hex[:8]}"
        self._leadership = Leadership(cluster, identity, time.monotonic)
        self._reconciler = Reconciler(
            cluster,
            Reporting(_build_reporter(settings), self._dead_letters, time.monotonic),
            Policy(
                template=read_job_template(settings.job_template_file),
                backend=bool(settings.graphql_url),
                handed_over=settings.handed_over_status,
            ),
            slots=self._slots,
            acknowledged=self._acknowledged,
            progress=self._progress,
            requeue=self._queue.add_after,
            now=utc_now,
            fence=self._leadership.check,
        )
        self._intake = Intake(
            self._inbox,
            cluster,
            self._dead_letters,
            slots=self._slots,
            acknowledged=self._acknowledged,
            namespace=settings.namespace,
            wake=self._queue.add,
            now=utc_now,
            fence=self._leadership.check,
        )
        self._intake_round = (0, time.monotonic())
        self._workers: list[asyncio.Task[None]] = []
        self._seeded = False

    def hear_resource(self, body: dict[str, Any], *, deleted: bool) -> None:
        """A VideoChunkJob has changed or gone."""
        meta = body["metadata"]
        if deleted:
            self._slots.release(meta["uid"])
        self._queue.add(meta["name"])

    def hear_job(self, resource: str) -> None:
        """The Job of this resource has changed or gone."""
        self._queue.add(resource)

    async def run(self) -> None:
        """Run until a signal, then end in order: finish what is in hand, take nothing new."""
        self._catch_signals()
        settings = self._settings
        async with serve_health(settings.health_port, self._livez, self._readyz):
            if not await self._leadership.acquire(self._stop):
                return
            await self._lead()
        logger.info("Stopped")

    async def _lead(self) -> None:
        """Act, as long as the Lease is ours; losing it ends the process at once."""
        kopf_stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self._leadership.hold(), name="lease")
            await self._seed()
            if not self._stop.is_set():
                workers = self._start_workers(group)
                group.create_task(self._watch(kopf_stop), name="watch")
                await self._stop.wait()
                await self._finish(workers)
            holding.cancel()
            kopf_stop.set()
        # Only now may the next one start: nothing of ours is under way any more.
        await self._leadership.release()

    async def _finish(self, workers: list[asyncio.Task[None]]) -> None:
        logger.info("Stopping: finishing what is in hand")
        self._queue.stop()
        _, late = await asyncio.wait(workers, timeout=SHUTDOWN_S)
        for task in late:
            task.cancel()
        for close in (self._inbox, self._progress_inbox, self._dead_letters):
            await close.close()

    def _start_workers(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("intake", self._intake.run(self._stop)),
            ("progress", self._follow_progress()),
            ("resync", self._resync()),
        ]
        jobs += [
            (f"reconcile-{number}", self._queue.run_worker(self._reconciler.reconcile))
            for number in range(WORKERS)
        ]
        self._workers = [group.create_task(work, name=name) for name, work in jobs]
        return self._workers

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _watch(self, stop: asyncio.Event) -> None:
        ready = asyncio.Event()

        async def reclaim_signals() -> None:
            # Kopf takes SIGTERM for itself and would end the watch before our work is done.
            await ready.wait()
            self._catch_signals()

        reclaiming = asyncio.create_task(reclaim_signals())
        try:
            await kopf.operator(
                registry=build_registry(),
                settings=build_kopf_settings(),
                namespaces=[self._settings.namespace],
                standalone=True,
                # Kopf would ask for the user's name; a numeric user in a pod has none.
                identity=IDENTITY,
                memo=kopf.Memo(listener=self),
                ready_flag=ready,
                stop_flag=stop,
            )
        finally:
            reclaiming.cancel()
            self._stop.set()

    async def _seed(self) -> None:
        """Count what is in the cluster before the first message is taken."""
        while not self._stop.is_set():
            try:
                for raw in await self._cluster.list_resources():
                    self._see(raw)
            except OperatorError as error:
                logger.warning("Waiting for the cluster", extra={"reason": str(error)})
                await pause(self._stop, 2)
            else:
                self._seeded = True
                logger.info("Operator ready", extra={"active": self._slots.active})
                return

    def _see(self, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        self._queue.add(name)
        try:
            self._slots.observe(parse_resource(raw))
        except ValidationError as error:
            # Of another version perhaps: it must not keep all others waiting.
            logger.warning("Resource not readable", extra={"resource": name, "reason": str(error)})

    async def _resync(self) -> None:
        while not self._stop.is_set():
            await pause(self._stop, self._settings.resync_s)
            try:
                listed = await self._cluster.list_resources()
                # What is known but not listed has gone unheard: its slot must be freed.
                names = {raw["metadata"]["name"] for raw in listed} | set(self._reconciler.known)
                # Sorted, so that a run of the simulation can be repeated.
                for name in sorted(names):
                    self._queue.add(name)
            except OperatorError as error:
                logger.warning("Resync failed", extra={"reason": str(error)})

    async def _follow_progress(self) -> None:
        pause_s = PROGRESS_POLL_S
        while not self._stop.is_set():
            try:
                while (message := await self._progress_inbox.fetch()) is not None:
                    self._progress.hear(message.body)
                pause_s = PROGRESS_POLL_S
            except BrokerUnavailableError as error:
                pause_s = min(30.0, pause_s * 2)
                logger.info("Progress not heard", extra={"reason": str(error)})
            await pause(self._stop, pause_s)

    def _livez(self) -> Mapping[str, bool]:
        rounds, since = self._intake_round
        if rounds != self._intake.rounds:
            since = time.monotonic()
            self._intake_round = (self._intake.rounds, since)
        return {
            "workers": self._stop.is_set() or not any(task.done() for task in self._workers),
            "intake": not self._seeded or time.monotonic() - since < INTAKE_SILENCE_S,
        }

    def _readyz(self) -> Mapping[str, bool]:
        return {"cluster": self._seeded, "broker": self._inbox.connected}


def _platform_queues(settings: OperatorSettings) -> tuple[QueueSpec, ...]:
    if not settings.declare_queues:
        return ()
    return (
        QueueSpec(settings.priority_queue, PRIORITY_QUEUE_ARGUMENTS),
        QueueSpec(settings.results_queue),
        QueueSpec(settings.deadletter_queue),
    )


def _build_reporter(settings: OperatorSettings) -> GraphqlReporter | None:
    if not settings.graphql_url:
        return None
    token = settings.graphql_token.get_secret_value() if settings.graphql_token else None
    documents = load_documents(settings.graphql_documents)
    return GraphqlReporter(Backend(settings.graphql_url, documents=documents, token=token))


async def run(settings: OperatorSettings) -> None:
    """Run the operator until a signal."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(KubernetesCluster(settings.namespace))
        await App(settings, cluster).run()


def main() -> None:
    """The program `m0-operator`."""
    load: Callable[[], OperatorSettings] = OperatorSettings  # type: ignore[assignment]
    try:
        settings = load()
    except ValidationError as error:
        sys.exit(f"m0-operator: bad settings: {explain(error)}")
    configure_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(run(settings))
    except* LeadershipLostError as errors:
        sys.exit(f"m0-operator: {errors.exceptions[0]}")
