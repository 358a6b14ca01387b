"""What the services tell whoever counts or traces: a port, and one that does not listen.

Each is told once, by the process that did it: `recorded` after the write that changed a
status. So nothing is counted twice, not by a resync and not by a restart: what is on record
already changes no more. A restart begins at zero, as counters may; what is missed is a write
that went through while its answer was lost.
"""

from datetime import datetime
from typing import Protocol

from m0_contract.errors import ErrorCode

from m0_operator.domain.observed import Observed, Resource
from m0_operator.domain.status import Status


class Telemetry(Protocol):
    """Whoever counts or traces. Its methods are quick and never raise."""

    def created(self, resource: Resource, taken_at: datetime, now: datetime) -> None:
        """This process has made a resource of a message that it took then."""
        ...

    def recorded(self, observed: Observed, old: Status, new: Status) -> None:
        """This process has changed a resource's status."""
        ...

    def started_again(self, cause: ErrorCode) -> None:
        """This process has made a further Job, since the one before ended so."""
        ...

    def took(self, result: str, waited_s: float | None) -> None:
        """A message is settled.

        Args:
            result: `created`, `duplicate` or `dead-lettered`.
            waited_s: since it was sent, where its sender says when that was.
        """
        ...

    def refused(self, code: ErrorCode) -> None:
        """A message went to the dead letters without a resource."""
        ...


class Unheard:
    """Counts nothing."""

    def created(self, resource: Resource, taken_at: datetime, now: datetime) -> None:
        """See `Telemetry`."""

    def recorded(self, observed: Observed, old: Status, new: Status) -> None:
        """See `Telemetry`."""

    def started_again(self, cause: ErrorCode) -> None:
        """See `Telemetry`."""

    def took(self, result: str, waited_s: float | None) -> None:
        """See `Telemetry`."""

    def refused(self, code: ErrorCode) -> None:
        """See `Telemetry`."""


UNHEARD = Unheard()


class Both:
    """Passes on to two."""

    def __init__(self, first: Telemetry, second: Telemetry) -> None:
        self._each = (first, second)

    def created(self, resource: Resource, taken_at: datetime, now: datetime) -> None:
        """See `Telemetry`."""
        for one in self._each:
            one.created(resource, taken_at, now)

    def recorded(self, observed: Observed, old: Status, new: Status) -> None:
        """See `Telemetry`."""
        for one in self._each:
            one.recorded(observed, old, new)

    def started_again(self, cause: ErrorCode) -> None:
        """See `Telemetry`."""
        for one in self._each:
            one.started_again(cause)

    def took(self, result: str, waited_s: float | None) -> None:
        """See `Telemetry`."""
        for one in self._each:
            one.took(result, waited_s)

    def refused(self, code: ErrorCode) -> None:
        """See `Telemetry`."""
        for one in self._each:
            one.refused(code)
