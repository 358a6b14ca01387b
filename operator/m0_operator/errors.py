"""What can go wrong in the operator.

OperatorError
├── ClusterUnavailableError   no answer, 429 or 5xx: try again
│   └── ClusterForbiddenError 401 or 403: try again as well, since rights come late, too
├── ClusterConflictError      409 on a write: somebody else wrote first, read again
│   └── AlreadyExistsError    409 on a create: the object is there
├── ClusterNotFoundError      404 on a write: the object is gone
├── WorkTimeoutError          one resource took too long: try again
├── ClusterExpiredError       410: too long ago, the cluster has forgotten it; read anew
├── LeadershipLostError       the Lease is another's: end the process
├── DeafError                 the watches tell nothing: end the process
└── ClusterRejectedError      400, 413, 422, too large for etcd: the same object is refused again

The wire's errors (`m0_wire.errors`) stand beside these.
"""

from m0_wire.errors import (
    BackendRejectedError,
    BackendUnavailableError,
    BrokerUnavailableError,
    UnroutableError,
)


class OperatorError(Exception):
    """Base of all errors of this program; the message is fit for people."""


class ClusterUnavailableError(OperatorError):
    """The Kubernetes API could not answer, or does not let us for now."""


class ClusterForbiddenError(ClusterUnavailableError):
    """The Kubernetes API does not let us, for now."""


class ClusterConflictError(OperatorError):
    """The object has changed since it was read."""


class AlreadyExistsError(ClusterConflictError):
    """An object of this name exists."""


class ClusterNotFoundError(OperatorError):
    """The object to be changed is gone."""


class ClusterExpiredError(OperatorError):
    """The state of the cluster that was asked for is too old."""


class ClusterRejectedError(OperatorError):
    """The Kubernetes API refuses this object for good."""


class WorkTimeoutError(OperatorError):
    """What is to be done about one resource takes longer than anything foreseen."""


class DeafError(OperatorError):
    """What is in the cluster has changed and no watch has told: start anew."""


class LeadershipLostError(OperatorError):
    """The Lease could not be renewed, or another one holds it: stop at once."""


TRY_AGAIN = (
    ClusterUnavailableError,
    ClusterConflictError,
    ClusterNotFoundError,
    WorkTimeoutError,
    ClusterExpiredError,
    BrokerUnavailableError,
    UnroutableError,
    BackendUnavailableError,
)
"""Errors after which the same work is done again, from a fresh look."""

GIVE_UP = (ClusterRejectedError, BackendRejectedError)
"""Errors that are recorded: the same work would fail the same way."""

STOP = (LeadershipLostError, DeafError)
"""Errors that end the process: another one goes on with the work."""


def error_from_status(status: int, method: str, text: str) -> OperatorError:
    """The error for an HTTP status of the Kubernetes API."""
    if status == 404:
        return ClusterNotFoundError(text)
    if status == 409:
        return AlreadyExistsError(text) if method == "POST" else ClusterConflictError(text)
    if status == 410:
        return ClusterExpiredError(text)
    # etcd's own limit comes as a 500, though no later try can help.
    if status in {400, 413, 422} or "request is too large" in text:
        return ClusterRejectedError(text)
    kind = ClusterForbiddenError if status in {401, 403} else ClusterUnavailableError
    return kind(f"HTTP {status}: {text}")
