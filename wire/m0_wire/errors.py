"""What can go wrong on the wire.

WireError
├── BrokerUnavailableError   not connected, not confirmed in time: try again
├── UnroutableError          confirmed, but no queue took it: the queue is missing
├── BackendUnavailableError  no answer, 429 or 5xx: try again
└── BackendRejectedError     the backend said no: trying again gives the same

SecretsError                 at a program's start, so that nothing goes on after it
└── SecretsUnavailableError  no answer: the next start may have one
"""


class WireError(Exception):
    """Base of all errors of this package; the message is fit for people, without credentials."""


class BrokerUnavailableError(WireError):
    """The broker could not be reached, or did not confirm in time."""


class UnroutableError(WireError):
    """The broker took the message but no queue wanted it."""


class BackendUnavailableError(WireError):
    """The GraphQL backend could not answer."""


class BackendRejectedError(WireError):
    """The GraphQL backend refused the mutation."""


class SecretsError(Exception):
    """There are no credentials; the message names no value."""


class SecretsUnavailableError(SecretsError):
    """The service that has them could not answer."""
