"""What others are still to be told: the backend its statuses, the dead-letter queue a failure."""

from m0_operator.domain.actions import (
    Action,
    BackendStatus,
    Policy,
    PublishDeadLetter,
    ReportBackend,
)
from m0_operator.domain.observed import Observed
from m0_operator.domain.status import ConditionType, Status


def pending_reports(status: Status, policy: Policy) -> tuple[BackendStatus, ...]:
    """The backend statuses still to be settled, in order."""
    if status.phase is None:
        return ()
    wanted: list[BackendStatus] = []
    if status.is_true(ConditionType.ACCEPTED):
        wanted.append("QUEUED")
    if status.phase == "Succeeded":
        wanted.append(policy.handed_over)
    elif status.failed:
        wanted.append("FAILED")
    if status.reported in wanted:
        return tuple(wanted[wanted.index(status.reported) + 1 :])
    return tuple(wanted)


def effects_out(status: Status, policy: Policy) -> bool:
    """Whether everybody who must know of the end does."""
    lettered = not status.failed or status.is_true(ConditionType.DEAD_LETTERED)
    return status.finished and lettered and not pending_reports(status, policy)


def due_effects(observed: Observed, status: Status, policy: Policy) -> tuple[Action, ...]:
    """What can be told now, in order."""
    actions: list[Action] = []
    failure = status.failure
    if observed.backend_due:
        for report in pending_reports(status, policy):
            error = f"{failure.code}: {failure.message}" if failure and report == "FAILED" else None
            actions.append(ReportBackend(report, error))
    # The dead letter last: its record, which must not wait, holds the reports as well.
    due = status.failed and not status.is_true(ConditionType.DEAD_LETTERED)
    if due and observed.deadletter_due and failure is not None:
        actions.append(PublishDeadLetter(failure))
    return tuple(actions)
