"""The composition root of the operator: builds everything, runs it, ends it in order."""

import argparse
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
from m0_contract.resource import KIND
from m0_wire.backend import Backend, load_documents

from m0_operator import __version__
from m0_operator.adapters.backend import GraphqlReporter
from m0_operator.adapters.broker import AmqpInbox, AmqpPublisher
from m0_operator.adapters.cluster import KubernetesCluster
from m0_operator.adapters.gauges import Gauges
from m0_operator.adapters.metrics import Metrics
from m0_operator.adapters.queue_kind import say_priorities
from m0_operator.adapters.queue_probe import QueueDepths
from m0_operator.adapters.traces import Traces
from m0_operator.check import check
from m0_operator.domain.actions import Policy
from m0_operator.domain.job_template import read_job_template
from m0_operator.errors import DeafError, LeadershipLostError
from m0_operator.handlers.events import build_kopf_settings, build_registry
from m0_operator.health import serve_health
from m0_operator.logs import configure_logging
from m0_operator.queues import platform_queues, progress_queue, watched_queues
from m0_operator.services.backlog import Backlog
from m0_operator.services.hearing import Hearing
from m0_operator.services.intake import Intake
from m0_operator.services.leadership import Leadership
from m0_operator.services.limit import LimitFile
from m0_operator.services.pause import pause
from m0_operator.services.progress import ProgressTracker, follow_progress
from m0_operator.services.reconcile import Reconciler
from m0_operator.services.reporting import Reporting
from m0_operator.services.resync import JOB, RESOURCE, Resync
from m0_operator.services.settled import Settled
from m0_operator.services.slots import Slots
from m0_operator.services.telemetry import Both, Telemetry
from m0_operator.services.workqueue import WorkQueue
from m0_operator.settings import OperatorSettings, load_settings
from m0_operator.tracing import close_tracing, open_tracing

logger = logging.getLogger(__name__)

WORKERS = 8
SHUTDOWN_S = 2.0
"""What is still in hand after so long is left to the successor: it repeats it without harm."""
IDENTITY: Any = "m0-operator"
INTAKE_SILENCE_S = 80.0
LEASE_SILENCE_S = 60.0


def utc_now() -> datetime:
    """Wall-clock time."""
    return datetime.now(UTC)


class App:
    """The running operator."""

    def __init__(self, settings: OperatorSettings, cluster: KubernetesCluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._stop = asyncio.Event()
        self._metrics = Metrics(__version__)
        self._tracing = open_tracing("m0-operator", settings)
        traced = None if self._tracing is None else settings.trace_ratio
        self._queue = WorkQueue()
        self._slots = Slots(settings.max_active_jobs)
        self._acknowledged: set[str] = set()
        self._progress = ProgressTracker(time.monotonic, self._queue.add_after)
        url = settings.amqp_url.get_secret_value()
        self._inbox = AmqpInbox(url, settings.priority_queue, declare=platform_queues(settings))
        self._progress_inbox = AmqpInbox(
            url, settings.progress_queue, declare=(progress_queue(settings),), no_ack=True
        )
        # A pod's name may come again, its process never does.
        identity = f"{os.environ.get('HOSTNAME', 'm0-operator')}-{uuid.uuid4().hex[:8]}"
        self._leadership = Leadership(cluster, identity, time.monotonic)
        fence = self._leadership.check
        self._dead_letters = AmqpPublisher(
            url, settings.deadletter_queue, name="m0-operator dead letters", fence=fence
        )
        telemetry = self._telemetry()
        reporter = self._metrics.timed_reporter(_build_reporter(settings, fence))
        policy = Policy(
            template=read_job_template(settings.job_template_file),
            backend=bool(settings.graphql_url),
            handed_over=settings.handed_over_status,
            finished_ttl_s=_seconds(settings.finished_ttl_hours),
            trace_ratio=traced,
        )
        self._settled = Settled(policy, utc_now)
        self._reconciler = Reconciler(
            cluster,
            Reporting(reporter, self._dead_letters, time.monotonic),
            policy,
            slots=self._slots,
            settled=self._settled,
            acknowledged=self._acknowledged,
            progress=self._progress,
            requeue=self._queue.add_after,
            now=utc_now,
            fence=fence,
            telemetry=telemetry,
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
            fence=fence,
            telemetry=telemetry,
        )
        self._backlog = Backlog(QueueDepths(url), watched_queues(settings))
        self._hearing = Hearing(time.monotonic)
        self._resync = Resync(
            cluster,
            self._slots,
            self._hearing,
            self._settled,
            wake=self._queue.add,
            known=lambda: self._reconciler.known,
            every_s=settings.resync_s,
        )
        self._intake_round = (0, time.monotonic())
        self._workers: list[asyncio.Task[None]] = []
        self._failure: DeafError | None = None
        self._leading = False
        self._metrics.watch(self._gauges())

    def _telemetry(self) -> Telemetry:
        if self._tracing is None:
            return self._metrics
        settings, record = self._settings, self._tracing.record
        queue = settings.priority_queue
        return Both(self._metrics, Traces(record, utc_now, ratio=settings.trace_ratio, queue=queue))

    def hear_resource(self, meta: Mapping[str, Any], *, deleted: bool) -> None:
        """A VideoChunkJob has changed or gone."""
        self._hearing.hear(RESOURCE, meta["name"], meta["resourceVersion"], deleted=deleted)
        if deleted:
            self._slots.release(meta["uid"])
        if deleted or not self._settled.has(meta["name"], meta["resourceVersion"]):
            self._queue.add(meta["name"])

    def hear_job(self, meta: Mapping[str, Any], *, deleted: bool) -> None:
        """The Job of a resource has changed or gone."""
        self._hearing.hear(JOB, meta["name"], meta["resourceVersion"], deleted=deleted)
        for owner in meta.get("ownerReferences") or ():
            if owner["kind"] == KIND:
                self._queue.add(owner["name"])

    async def run(self) -> None:
        """Run until a signal, then end in order: finish what is in hand, take nothing new."""
        self._catch_signals()
        settings = self._settings
        metrics = self._metrics.expose
        async with serve_health(settings.health_port, self._livez, self._readyz, metrics):
            if not await self._leadership.acquire(self._stop):
                return
            self._leading = True
            await self._lead()
            # The next one leads already.
            await close_tracing(self._tracing)
        logger.info("Stopped")
        if self._failure is not None:
            raise self._failure

    async def _lead(self) -> None:
        """Act, as long as the Lease is ours; losing it ends the process at once."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self._hold(over), name="lease")
            await self._resync.seed(self._stop)
            if not self._stop.is_set():
                workers = self._start_workers(group)
                group.create_task(self._watch(over), name="watch")
                group.create_task(self._say_priorities(), name="priorities")
                await self._stop.wait()
                await self._finish(workers)
            over.set()
            holding.cancel()
        # Only now may the next one start: nothing of ours is under way any more.
        await self._leadership.release()

    async def _hold(self, over: asyncio.Event) -> None:
        try:
            await self._leadership.hold(over)
        finally:
            # Losing the Lease cancels all tasks. But a cancellation is lost where a library's own
            # time is up at that very moment (aiohttp's nested timers); so each is told as well.
            self._stop.set()
            self._queue.stop()
            over.set()

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
            ("progress", follow_progress(self._progress_inbox, self._progress, self._stop)),
            ("resync", self._look_again()),
            ("backlog", self._backlog.follow(self._stop)),
        ]
        if self._settings.max_active_jobs_file is not None:
            limit = LimitFile(self._settings.max_active_jobs_file, self._slots)
            # Before the first message is taken.
            limit.read()
            jobs.append(("limit", limit.follow(self._stop)))
        reconcile = self._metrics.timed(self._reconciler.reconcile)
        jobs += [
            (f"reconcile-{number}", self._queue.run_worker(reconcile)) for number in range(WORKERS)
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

    async def _look_again(self) -> None:
        try:
            await self._resync.run(self._stop)
        except DeafError as error:
            # In order, so that the one that stands by can take over at once.
            logger.error("Starting anew", extra={"reason": str(error)})  # noqa: TRY400
            self._failure = error
            self._stop.set()

    async def _say_priorities(self) -> None:
        """Once, when the queue is there."""
        while not self._inbox.connected:
            if self._stop.is_set():
                return
            await pause(self._stop, 1)
        url = self._settings.amqp_url.get_secret_value()
        await say_priorities(url, self._settings.priority_queue)

    def _gauges(self) -> Gauges:
        return Gauges(
            leader=lambda: self._leading,
            slots_limit=lambda: self._slots.limit,
            slots_used=lambda: self._slots.active,
            not_starting=lambda: self._slots.not_starting,
            workqueue=lambda: self._queue.depth,
            watch_behind_s=lambda: self._hearing.behind_s,
            rounds=lambda: (self._intake.rounds, self._intake.errors),
            messages=lambda: self._backlog.messages,
            not_empty_s=self._backlog.not_empty_s,
        )

    def _livez(self) -> Mapping[str, bool]:
        rounds, since = self._intake_round
        if rounds != self._intake.rounds:
            since = time.monotonic()
            self._intake_round = (self._intake.rounds, since)
        if not self._leading:
            return {"lease": self._leadership.silent_s < LEASE_SILENCE_S}
        return {
            "workers": self._stop.is_set() or not any(task.done() for task in self._workers),
            "intake": not self._resync.seeded or time.monotonic() - since < INTAKE_SILENCE_S,
        }

    def _readyz(self) -> Mapping[str, bool]:
        if not self._leading:
            return {"lease": self._leadership.silent_s < LEASE_SILENCE_S}
        return {"cluster": self._resync.seeded, "broker": self._inbox.connected}


def _seconds(hours: float | None) -> float | None:
    return None if hours is None else hours * 3600


def _build_reporter(
    settings: OperatorSettings, fence: Callable[[], None]
) -> GraphqlReporter | None:
    if not settings.graphql_url:
        return None
    token = settings.graphql_token.get_secret_value() if settings.graphql_token else None
    documents = load_documents(settings.graphql_documents)
    return GraphqlReporter(
        Backend(settings.graphql_url, documents=documents, token=token, before_send=fence)
    )


async def run(settings: OperatorSettings) -> None:
    """Run the operator until a signal."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(KubernetesCluster(settings.namespace))
        await App(settings, cluster).run()


def main() -> None:
    """The program `m0-operator`."""
    parser = argparse.ArgumentParser(prog="m0-operator", description="M0's operator.")
    parser.add_argument(
        "--check", action="store_true", help="only see whether all that it needs can be reached"
    )
    only_check = parser.parse_args().check
    settings = load_settings("m0-operator", OperatorSettings)
    if only_check:
        sys.exit(asyncio.run(check(settings)))
    configure_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(run(settings))
    except* (LeadershipLostError, DeafError) as errors:
        sys.exit(f"m0-operator: {errors.exceptions[0]}")
