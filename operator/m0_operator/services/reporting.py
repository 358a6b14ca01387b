"""Effects on others: the backend's status and the dead letter.

At least once, in order, without limit; recorded in the status only after their
confirmation. A failure is recorded too, and the next try waits longer each time.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from m0_wire.errors import BackendRejectedError, BackendUnavailableError, WireError

from m0_operator.domain.actions import PublishDeadLetter, ReportBackend
from m0_operator.domain.deadletter import build_dead_letter
from m0_operator.domain.observed import Resource
from m0_operator.domain.status import ConditionType, Reason, Status
from m0_operator.services.ports import DeadLetters, Reporter

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
MAX_RETRY_S = 60.0


class Backoff:
    """When each effect may be tried again. In memory: a restart tries at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def due(self, key: str) -> bool:
        """Whether it may be tried now."""
        _, not_before = self._failures.get(key, (0, 0.0))
        # A timer may fire a little early.
        return self._clock() >= not_before - 0.01

    def wait_s(self, key: str) -> float:
        """Seconds until it may be tried."""
        return max(0.0, self._failures.get(key, (0, 0.0))[1] - self._clock())

    def fail(self, key: str) -> None:
        """It failed: put the next try off."""
        failures = self._failures.get(key, (0, 0.0))[0]
        delay = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures, 10))
        self._failures[key] = (failures + 1, self._clock() + delay)

    def clear(self, key: str) -> None:
        """It worked, or is of no more interest."""
        self._failures.pop(key, None)


class Reporting:
    """Performs the effects and says in the status how they went."""

    def __init__(
        self, reporter: Reporter | None, dead_letters: DeadLetters, clock: Callable[[], float]
    ) -> None:
        self._reporter = reporter
        self._dead_letters = dead_letters
        self.backend_backoff = Backoff(clock)
        self.deadletter_backoff = Backoff(clock)
        # Confirmed in this process but perhaps not recorded yet: never sent again.
        self._lettered: set[str] = set()

    def wait_s(self, uid: str) -> float | None:
        """Seconds until the next try of an effect that failed; None when none did."""
        waits = [
            backoff.wait_s(uid)
            for backoff in (self.backend_backoff, self.deadletter_backoff)
            if not backoff.due(uid)
        ]
        return min(waits, default=None)

    def forget(self, uid: str) -> None:
        """The resource is gone."""
        self._lettered.discard(uid)
        self.backend_backoff.clear(uid)
        self.deadletter_backoff.clear(uid)

    async def report(
        self, resource: Resource, status: Status, action: ReportBackend, now: datetime
    ) -> Status:
        """Tell the backend; the status says how that went."""
        kind = ConditionType.BACKEND_REPORTED
        settled = {"reported": action.status}
        if self._reporter is None:
            return status.model_copy(update=settled).with_condition(
                kind, "True", Reason.NO_BACKEND, now
            )
        spec = resource.spec
        try:
            await self._reporter.report(
                spec.process_id, spec.inference_modality, action.status, action.error
            )
        except BackendUnavailableError as error:
            self.backend_backoff.fail(resource.uid)
            message = f"{action.status} is not out yet: {error}"
            return status.with_condition(kind, "False", Reason.BACKEND_UNAVAILABLE, now, message)
        except BackendRejectedError as error:
            logger.warning(
                "Backend rejected a status",
                extra={
                    "process_id": spec.process_id,
                    "status": action.status,
                    "reason": str(error),
                },
            )
            message = f"{action.status} was refused: {error}"
            return status.model_copy(update=settled).with_condition(
                kind, "False", Reason.BACKEND_REJECTED, now, message
            )
        self.backend_backoff.clear(resource.uid)
        message = f"The backend has confirmed {action.status}."
        return status.model_copy(update=settled).with_condition(
            kind, "True", Reason.STATUS_CONFIRMED, now, message
        )

    async def publish(
        self, resource: Resource, status: Status, action: PublishDeadLetter, now: datetime
    ) -> Status:
        """Publish the dead letter; the status says how that went."""
        kind = ConditionType.DEAD_LETTERED
        if resource.uid not in self._lettered:
            letter = build_dead_letter(resource, status, action.failure, now)
            try:
                await self._dead_letters.publish(
                    letter.body,
                    headers=letter.headers,
                    priority=letter.priority,
                    message_id=letter.message_id,
                )
            except WireError as error:
                self.deadletter_backoff.fail(resource.uid)
                return status.with_condition(
                    kind, "False", Reason.BROKER_UNAVAILABLE, now, str(error)
                )
            self._lettered.add(resource.uid)
            self.deadletter_backoff.clear(resource.uid)
        return status.with_condition(kind, "True", Reason.PUBLISHED, now)
