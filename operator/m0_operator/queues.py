"""Which queues there are, by the deployment's settings: to be made, and to be counted."""

from m0_operator.adapters.broker import QueueSpec
from m0_operator.settings import OperatorSettings

PROGRESS_QUEUE_ARGUMENTS = {"x-max-length": 10_000, "x-message-ttl": 60_000}
# A virtual host may make queues of another kind, which take no x-max-priority.
PRIORITY_QUEUE_ARGUMENTS = {"x-queue-type": "classic", "x-max-priority": 10}


def platform_queues(settings: OperatorSettings) -> tuple[QueueSpec, ...]:
    """Those of the platform, where we are to make what is missing."""
    if not settings.declare_queues:
        return ()
    return (
        QueueSpec(settings.priority_queue, PRIORITY_QUEUE_ARGUMENTS),
        QueueSpec(settings.results_queue),
        QueueSpec(settings.deadletter_queue),
    )


def progress_queue(settings: OperatorSettings) -> QueueSpec:
    """Our own."""
    return QueueSpec(settings.progress_queue, PROGRESS_QUEUE_ARGUMENTS)


def watched_queues(settings: OperatorSettings) -> dict[str, str]:
    """What each is for → its name: those whose depth is worth knowing."""
    return {
        "requests": settings.priority_queue,
        "results": settings.results_queue,
        "deadletters": settings.deadletter_queue,
    }
