"""Until when a finished resource is kept, and need not be looked at."""

from datetime import UTC, datetime, timedelta

from m0_operator.domain.actions import Policy
from m0_operator.domain.effects import effects_out
from m0_operator.domain.observed import Resource
from m0_operator.domain.status import Status

FOR_EVER = datetime.max.replace(tzinfo=UTC)

REDELIVERY = timedelta(days=1)
"""A message that was not acknowledged, as far as is known, comes again long before that."""


def kept_until(resource: Resource, status: Status, policy: Policy) -> datetime:
    """When a resource with this status goes by itself."""
    if policy.finished_ttl_s is None or status.finished_at is None:
        return FOR_EVER
    kept = timedelta(seconds=policy.finished_ttl_s)
    if resource.spec.origin is not None and not status.acknowledged:
        # Its message may be on its way again, and would be run again.
        kept = max(kept, REDELIVERY)
    return datetime.fromisoformat(status.finished_at) + kept


def settled_until(resource: Resource, policy: Policy) -> datetime | None:
    """Until when nothing is to be done for it, but for a Job of it; None: something may be now."""
    status = resource.status
    if resource.deleting or not resource.held or not effects_out(status, policy):
        return None
    return kept_until(resource, status, policy)
