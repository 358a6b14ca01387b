"""Which video the log's lines are about."""

from m0_contract.trace import get_trace_id

from m0_operator.domain.observed import Resource
from m0_operator.logs import note


def note_video(resource: Resource) -> None:
    """All that this task logs from now on says so."""
    origin = resource.spec.origin
    note(
        process_id=resource.spec.process_id,
        resource=resource.name,
        attempt=resource.status.attempts or None,
        trace_id=get_trace_id(origin.traceparent if origin else None, resource.uid),
    )
