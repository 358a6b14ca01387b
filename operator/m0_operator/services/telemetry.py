"""What the services tell whoever counts: a port, and one that does not listen.

Each is told once, by the process that did it: `recorded` after the write that changed a
status. So nothing is counted twice, not by a resync and not by a restart: what is on record
already changes no more. A restart begins at zero, as counters may; what is missed is a write
that went through while its answer was lost.
"""

from typing import Protocol

from m0_contract.errors import ErrorCode

from m0_operator.domain.observed import Resource
from m0_operator.domain.status import Status


class Telemetry(Protocol):
    """Whoever counts. Its methods are quick and never raise."""

    def recorded(self, resource: Resource, old: Status, new: Status) -> None:
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

    def recorded(self, resource: Resource, old: Status, new: Status) -> None:
        """See `Telemetry`."""

    def started_again(self, cause: ErrorCode) -> None:
        """See `Telemetry`."""

    def took(self, result: str, waited_s: float | None) -> None:
        """See `Telemetry`."""

    def refused(self, code: ErrorCode) -> None:
        """See `Telemetry`."""


UNHEARD = Unheard()
