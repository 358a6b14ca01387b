"""Finished resources for which nothing is to be done.

They are kept for days, in thousands; each look at one would be two reads of the API.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from m0_operator.domain.actions import Policy
from m0_operator.domain.observed import Resource
from m0_operator.domain.settled import settled_until


class Settled:
    """Which they are, in which version and until when."""

    def __init__(self, policy: Policy, now: Callable[[], datetime]) -> None:
        """Args:
        now: wall-clock time, UTC.
        """
        self._policy = policy
        self._now = now
        self._until: dict[str, tuple[str, datetime]] = {}

    def note(self, resource: Resource) -> None:
        """Remember it, if it is one."""
        until = settled_until(resource, self._policy)
        if until is not None:
            self._until[resource.name] = (resource.version, until)

    def has(self, name: str, version: str) -> bool:
        """Whether the resource needs no look in this version, now."""
        found = self._until.get(name)
        return found is not None and found[0] == version and self._now() <= found[1]

    def forget_all_but(self, names: Iterable[str]) -> None:
        """The others are gone."""
        for name in self._until.keys() - names:
            del self._until[name]
