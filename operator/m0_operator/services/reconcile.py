"""Gather → decide → apply → status, for one resource at a time.

The same for every event and every resync. `domain.decide` decides, `performing` does
it, `recording` puts it on record.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from m0_wire import crash

from m0_operator.domain.actions import (
    Decision,
    Policy,
    PublishDeadLetter,
    RemoveFinalizer,
    ReportBackend,
)
from m0_operator.domain.decide import decide, expected_job
from m0_operator.domain.effects import effects_out
from m0_operator.domain.observed import Observed, parse_job, parse_pod, parse_resource
from m0_operator.services.noting import note_video
from m0_operator.services.performing import Performer
from m0_operator.services.ports import Cluster
from m0_operator.services.progress import ProgressTracker
from m0_operator.services.recording import Look, Recorder
from m0_operator.services.reporting import Reporting
from m0_operator.services.settled import Settled
from m0_operator.services.slots import Slots
from m0_operator.services.telemetry import UNHEARD, Telemetry

logger = logging.getLogger(__name__)

MAX_PASSES = 8


class Reconciler:
    """Brings each resource one step nearer to its end, whenever it is looked at."""

    def __init__(
        self,
        cluster: Cluster,
        reporting: Reporting,
        policy: Policy,
        *,
        slots: Slots,
        settled: Settled,
        acknowledged: set[str],
        progress: ProgressTracker,
        requeue: Callable[[str, float], None],
        now: Callable[[], datetime],
        fence: Callable[[], None],
        telemetry: Telemetry = UNHEARD,
    ) -> None:
        """Args:
        acknowledged: uids of resources whose message is off the queue.
        requeue: has a resource looked at again after some seconds.
        now: wall-clock time, UTC.
        fence: raises LeadershipLostError once another operator may be acting.
        """
        self._cluster = cluster
        self._reporting = reporting
        self._recorder = Recorder(cluster, slots, telemetry)
        self._performer = Performer(
            cluster, reporting, self._recorder, policy, now=now, fence=fence, telemetry=telemetry
        )
        self._policy = policy
        self._slots = slots
        self._settled = settled
        self._acknowledged = acknowledged
        self._progress = progress
        self._requeue = requeue
        self._now = now
        self._uids: dict[str, str] = {}
        self._open: set[str] = set()

    @property
    def known(self) -> tuple[str, ...]:
        """Resources seen so far and not known to be gone."""
        return tuple(self._uids)

    async def reconcile(self, name: str) -> None:
        """Do all that can be done now for the resource `name`."""
        for _ in range(MAX_PASSES):
            look = await self._gather(name)
            if look is None:
                self._forget(name)
                return
            decision = decide(look.observed, self._policy, self._now())
            if not await self._apply(look, decision):
                self._settle(look, decision)
                return
        self._requeue(name, 1.0)

    async def _gather(self, name: str) -> Look | None:
        raw = await self._cluster.fetch_resource(name)
        if raw is None:
            return None
        resource = parse_resource(raw)
        note_video(resource)
        if self._uids.get(name, resource.uid) != resource.uid:
            # Its predecessor under the same name went unheard.
            self._forget(name)
        self._uids[name] = resource.uid
        self._slots.observe(resource)
        if not resource.status.finished:
            self._open.add(resource.uid)
        job_raw = await self._cluster.fetch_job(expected_job(resource))
        job = parse_job(job_raw) if job_raw else None
        pods = (
            await self._cluster.fetch_pods(job.name) if job and not resource.status.finished else []
        )
        observed = Observed(
            resource=resource,
            job=job,
            pods=tuple(parse_pod(pod) for pod in pods),
            progress=self._progress.show(name),
            acknowledged=resource.uid in self._acknowledged,
            backend_due=self._reporting.backend_backoff.due(resource.uid),
            deadletter_due=self._reporting.deadletter_backoff.due(resource.uid),
        )
        return Look(raw, observed)

    async def _apply(self, look: Look, decision: Decision) -> bool:
        """Perform a decision; whether there may be more to do at once."""
        look.status = decision.status
        if decision.record_first:
            await self._recorder.write(look)
            crash.point("reconcile.end-recorded", look.observed.resource.name)
        for action in decision.actions:
            await self._performer.perform(look, action)
        await self._recorder.write(look)
        newly_finished = look.status.finished and not look.observed.resource.status.finished
        # Failed effects wait for their backoff; all other actions have changed the state.
        acted = any(not isinstance(a, ReportBackend | PublishDeadLetter) for a in decision.actions)
        if any(isinstance(a, RemoveFinalizer) for a in decision.actions):
            return False
        return newly_finished or acted or self._freed(look)

    def _freed(self, look: Look) -> bool:
        """Whether an effect of this pass lets a deleted resource go."""
        resource = look.observed.resource
        return resource.deleting and resource.held and effects_out(look.status, self._policy)

    def _settle(self, look: Look, decision: Decision) -> None:
        resource = look.observed.resource
        waits = (decision.requeue_s, self._reporting.wait_s(resource.uid))
        wait_s = min((wait for wait in waits if wait is not None), default=None)
        if wait_s is not None:
            self._requeue(resource.name, wait_s)
        elif not decision.actions:
            self._settled.note(resource)
        if effects_out(look.status, self._policy) and resource.uid in self._open:
            self._open.discard(resource.uid)
            self._progress.forget(resource.name)
            self._log_end(look)

    def _log_end(self, look: Look) -> None:
        resource, status = look.observed.resource, look.status
        failure = status.failure
        logger.info(
            "Video ended",
            extra={
                "process_id": resource.spec.process_id,
                "resource": resource.name,
                "phase": status.phase,
                "reason": failure.code.value if failure else None,
                "chunks": status.progress.chunks if status.progress else 0,
                "attempts": status.attempts,
                "accepted_at": status.accepted_at,
                "finished_at": status.finished_at,
                "api_writes": self._cluster.count_writes(resource.name),
            },
        )

    def _forget(self, name: str) -> None:
        uid = self._uids.pop(name, None)
        self._progress.forget(name)
        if uid is not None:
            self._slots.release(uid)
            self._acknowledged.discard(uid)
            self._reporting.forget(uid)
            self._open.discard(uid)
