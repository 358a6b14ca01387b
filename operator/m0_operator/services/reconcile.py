"""Gather → decide → apply → status, for one resource at a time.

The same for every event and every resync. What `decide` says is done here; what
was done is recorded here. This module decides nothing itself.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from m0_contract.errors import ErrorCode
from m0_contract.resource import FINALIZER

from m0_operator.domain.actions import (
    Action,
    AddFinalizer,
    CreateJob,
    Decision,
    DeleteJob,
    ExpireJob,
    Policy,
    PublishDeadLetter,
    RemoveFinalizer,
    ReportBackend,
    SuspendJob,
)
from m0_operator.domain.decide import (
    decide,
    effects_out,
    expected_job,
    record_failure,
    record_job,
)
from m0_operator.domain.job_builder import build_job
from m0_operator.domain.observed import Observed, parse_job, parse_pod, parse_resource
from m0_operator.domain.status import (
    ConditionType,
    Reason,
    Status,
    announcements,
    build_failure,
    build_merge_patch,
)
from m0_operator.errors import (
    AlreadyExistsError,
    ClusterConflictError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnavailableError,
    OperatorError,
)
from m0_operator.services.ports import Cluster
from m0_operator.services.progress import ProgressTracker
from m0_operator.services.reporting import Reporting
from m0_operator.services.slots import Slots

logger = logging.getLogger(__name__)

MAX_PASSES = 8
REFUSED_REQUEUE_S = 15.0
RECORD_TRIES = 5


class _Pass:
    """One look at a resource: what was read, and what the status has become since."""

    def __init__(self, raw: dict[str, Any], observed: Observed) -> None:
        self.raw = raw
        self.observed = observed
        self.version = observed.resource.version
        self.written = observed.resource.status
        self.status = self.written


class Reconciler:
    """Brings each resource one step nearer to its end, whenever it is looked at."""

    def __init__(
        self,
        cluster: Cluster,
        reporting: Reporting,
        policy: Policy,
        *,
        slots: Slots,
        progress: ProgressTracker,
        requeue: Callable[[str, float], None],
        now: Callable[[], datetime],
        fence: Callable[[], None],
    ) -> None:
        """Args:
        requeue: has a resource looked at again after some seconds.
        now: wall-clock time, UTC.
        fence: raises LeadershipLostError once another operator may be acting.
        """
        self._cluster = cluster
        self._reporting = reporting
        self._policy = policy
        self._slots = slots
        self._progress = progress
        self._requeue = requeue
        self._now = now
        self._fence = fence
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

    async def _gather(self, name: str) -> _Pass | None:
        raw = await self._cluster.fetch_resource(name)
        if raw is None:
            return None
        resource = parse_resource(raw)
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
            backend_due=self._reporting.backend_backoff.due(resource.uid),
            deadletter_due=self._reporting.deadletter_backoff.due(resource.uid),
        )
        return _Pass(raw, observed)

    async def _apply(self, look: _Pass, decision: Decision) -> bool:
        """Perform a decision; whether there may be more to do at once."""
        look.status = decision.status
        if decision.record_first:
            await self._write(look)
        for action in decision.actions:
            await self._perform(look, action)
        await self._write(look)
        newly_finished = look.status.finished and not look.observed.resource.status.finished
        # Failed effects wait for their backoff; all other actions have changed the state.
        acted = any(not isinstance(a, ReportBackend | PublishDeadLetter) for a in decision.actions)
        if any(isinstance(a, RemoveFinalizer) for a in decision.actions):
            return False
        return newly_finished or acted or self._freed(look)

    def _freed(self, look: _Pass) -> bool:
        """Whether an effect of this pass lets a deleted resource go."""
        resource = look.observed.resource
        return resource.deleting and resource.held and effects_out(look.status, self._policy)

    async def _perform(self, look: _Pass, action: Action) -> None:
        self._fence()
        resource = look.observed.resource
        match action:
            case CreateJob(attempt):
                await self._create_job(look, attempt)
            case DeleteJob(name, uid):
                await self._cluster.delete_job(name, uid, resource.name)
            case SuspendJob(name, suspend):
                await self._cluster.suspend_job(name, resource.name, suspend=suspend)
            case ExpireJob(name, ttl_s):
                await self._expire_job(name, ttl_s, resource.name)
            case AddFinalizer():
                await self._set_finalizers(look, (*resource.finalizers, FINALIZER))
            case RemoveFinalizer():
                kept = tuple(item for item in resource.finalizers if item != FINALIZER)
                await self._write(look)
                await self._set_finalizers(look, kept)
            case ReportBackend():
                # The order holds: after one that did not get through, none is sent.
                if self._reporting.backend_backoff.due(resource.uid):
                    # One is on record before the next goes out: a crash repeats at most
                    # the last one, and a status equal to the last one is no new status.
                    if look.status.reported != look.written.reported:
                        await self._record_effect(look)
                    look.status = await self._reporting.report(
                        resource, look.status, action, self._now()
                    )
            case PublishDeadLetter():
                look.status = await self._reporting.publish(
                    resource, look.status, action, self._now()
                )
                await self._record_effect(look)

    async def _create_job(self, look: _Pass, attempt: int) -> None:
        resource, now = look.observed.resource, self._now()
        request = resource.spec.to_request()
        manifest = build_job(resource, request, attempt, self._policy.template)
        name = manifest["metadata"]["name"]
        kind = ConditionType.JOB_CREATED
        try:
            uid = (await self._cluster.create_job(manifest, resource.name))["metadata"]["uid"]
        except AlreadyExistsError:
            raw = await self._cluster.fetch_job(name)
            if raw is None:
                raise
            uid = raw["metadata"]["uid"]
        except ClusterRejectedError as error:
            look.status = look.status.with_condition(
                kind, "False", Reason.JOB_REFUSED, now, str(error)
            )
            failure = build_failure(ErrorCode.JOB_REFUSED, str(error))
            look.status = record_failure(look.status, failure, now)
            return
        except ClusterUnavailableError as error:
            if "HTTP 403" not in str(error):
                raise
            # A quota or an admission policy: it may let the Job in later.
            look.status = look.status.with_condition(
                kind, "False", Reason.JOB_REFUSED_FOR_NOW, now, str(error)
            ).model_copy(update={"message": f"The cluster does not take the Job now: {error}"})
            await self._write(look)
            raise
        look.status = record_job(look.status, name, uid, attempt, now)

    async def _expire_job(self, name: str, ttl_s: int, resource: str) -> None:
        try:
            await self._cluster.expire_job(name, ttl_s, resource)
        except ClusterNotFoundError:
            logger.debug("Job was gone before its time", extra={"job": name})

    async def _set_finalizers(self, look: _Pass, finalizers: tuple[str, ...]) -> None:
        name = look.observed.resource.name
        raw = await self._cluster.set_finalizers(name, look.version, finalizers)
        look.version = raw["metadata"].get("resourceVersion", "")

    async def _record_effect(self, look: _Pass) -> None:
        """Write the status by all means: what is confirmed must not be sent twice."""
        for attempt in range(RECORD_TRIES):
            try:
                await self._write(look)
                return
            except ClusterConflictError:
                raw = await self._cluster.fetch_resource(look.observed.resource.name)
                if raw is None or raw["metadata"]["uid"] != look.observed.resource.uid:
                    return
                look.version = raw["metadata"]["resourceVersion"]
            except ClusterUnavailableError:
                if attempt == RECORD_TRIES - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)

    async def _write(self, look: _Pass) -> None:
        """Patch the status if it differs from what was last written, then say so in events."""
        old, new = look.written, look.status
        patch = build_merge_patch(old.to_json(), new.to_json())
        if not patch:
            return
        raw = await self._cluster.patch_status(
            look.observed.resource.name,
            look.version,
            patch,
            progress_only=patch.keys() <= {"progress", "message"},
        )
        look.version = raw["metadata"].get("resourceVersion", "")
        look.written = new
        self._slots.observe(replace(look.observed.resource, status=new))
        await self._announce(look, old, new)

    async def _announce(self, look: _Pass, old: Status, new: Status) -> None:
        for announcement in announcements(old, new):
            try:
                await self._cluster.announce(look.raw, announcement)
            except OperatorError as error:
                logger.warning("Event not posted", extra={"reason": str(error)})

    def _settle(self, look: _Pass, decision: Decision) -> None:
        resource = look.observed.resource
        waits = (decision.requeue_s, self._reporting.wait_s(resource.uid))
        wait_s = min((wait for wait in waits if wait is not None), default=None)
        if wait_s is not None:
            self._requeue(resource.name, wait_s)
        if effects_out(look.status, self._policy) and resource.uid in self._open:
            self._open.discard(resource.uid)
            self._progress.forget(resource.name)
            self._log_end(look)

    def _log_end(self, look: _Pass) -> None:
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
            self._reporting.forget(uid)
            self._open.discard(uid)
