"""Does what a decision says, one action at a time, and notes in the status that it was done."""

import logging
from collections.abc import Callable
from datetime import datetime

from m0_contract.errors import ErrorCode
from m0_contract.resource import FINALIZER
from m0_wire import crash

from m0_operator.domain.actions import (
    Action,
    AddFinalizer,
    CreateJob,
    DeleteJob,
    DeleteResource,
    ExpireJob,
    Policy,
    PublishDeadLetter,
    RemoveFinalizer,
    ReportBackend,
    SuspendJob,
)
from m0_operator.domain.job_builder import build_job
from m0_operator.domain.records import record_failure, record_job
from m0_operator.domain.status import ConditionType, Reason, build_failure
from m0_operator.errors import (
    AlreadyExistsError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnavailableError,
)
from m0_operator.services.ports import Cluster
from m0_operator.services.recording import Look, Recorder
from m0_operator.services.reporting import Reporting
from m0_operator.services.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Performer:
    """The operator's hands; it decides nothing."""

    def __init__(
        self,
        cluster: Cluster,
        reporting: Reporting,
        recorder: Recorder,
        policy: Policy,
        *,
        now: Callable[[], datetime],
        fence: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        """Args:
        now: wall-clock time, UTC.
        fence: raises LeadershipLostError once another operator may be acting.
        """
        self._cluster = cluster
        self._reporting = reporting
        self._recorder = recorder
        self._policy = policy
        self._now = now
        self._fence = fence
        self._telemetry = telemetry

    async def perform(self, look: Look, action: Action) -> None:
        """Do it, unless another operator may be acting by now."""
        resource = look.observed.resource
        crash.point(f"before.{type(action).__name__}", resource.name)
        self._fence()
        match action:
            case CreateJob():
                await self._create_job(look, action)
            case DeleteJob(name, uid, wait):
                await self._cluster.delete_job(name, uid, resource.name, wait=wait)
                crash.point("job.deleted", resource.name)
            case DeleteResource():
                await self._cluster.delete_resource(resource.name, resource.uid)
            case SuspendJob(name, suspend):
                await self._cluster.suspend_job(name, resource.name, suspend=suspend)
            case ExpireJob(name, ttl_s):
                await self._expire_job(name, ttl_s, resource.name)
            case AddFinalizer():
                await self._set_finalizers(look, (*resource.finalizers, FINALIZER))
                crash.point("finalizer.set", resource.name)
            case RemoveFinalizer():
                kept = tuple(item for item in resource.finalizers if item != FINALIZER)
                await self._recorder.write(look)
                await self._set_finalizers(look, kept)
                crash.point("finalizer.removed", resource.name)
            case ReportBackend():
                await self._report(look, action)
            case PublishDeadLetter():
                look.status = await self._reporting.publish(
                    resource, look.status, action, self._now()
                )
                crash.point("deadletter.published", resource.name)
                await self._recorder.write_by_all_means(look)

    async def _report(self, look: Look, action: ReportBackend) -> None:
        resource = look.observed.resource
        if not self._reporting.backend_backoff.due(resource.uid):
            # The order holds: after one that did not get through, none is sent.
            return
        if look.status.reported != look.written.reported:
            # One is on record before the next goes out: a crash repeats at most the
            # last one, and a status equal to the last one is no new status.
            await self._recorder.write_by_all_means(look)
            # That may have taken long.
            self._fence()
        look.status = await self._reporting.report(resource, look.status, action, self._now())
        crash.point(f"report.sent.{action.status}", resource.name)

    async def _create_job(self, look: Look, action: CreateJob) -> None:
        resource, now = look.observed.resource, self._now()
        request = resource.spec.to_request()
        policy = self._policy
        manifest = build_job(
            resource,
            request,
            action.attempt,
            policy.template,
            action.memory,
            trace_ratio=policy.trace_ratio,
        )
        name = manifest["metadata"]["name"]
        kind = ConditionType.JOB_CREATED
        try:
            uid = (await self._cluster.create_job(manifest, resource.name))["metadata"]["uid"]
            if action.cause is not None:
                self._telemetry.started_again(action.cause)
            crash.point("job.created", resource.name)
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
            await self._recorder.write(look)
            raise
        look.status = record_job(look.status, name, uid, action, now)

    async def _expire_job(self, name: str, ttl_s: int, resource: str) -> None:
        try:
            await self._cluster.expire_job(name, ttl_s, resource)
            crash.point("job.expired", resource)
        except ClusterNotFoundError:
            logger.debug("Job was gone before its time", extra={"job": name})

    async def _set_finalizers(self, look: Look, finalizers: tuple[str, ...]) -> None:
        name = look.observed.resource.name
        raw = await self._cluster.set_finalizers(name, look.version, finalizers)
        look.version = raw["metadata"].get("resourceVersion", "")
