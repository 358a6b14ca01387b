"""How many videos are in the cluster unfinished: what decides about taking the next message."""

from m0_operator.domain.observed import Resource
from m0_operator.domain.status import ConditionType


class Slots:
    """Counts unfinished resources by uid, from what is seen and what was created."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._active: set[str] = set()
        self._not_starting: set[str] = set()

    @property
    def limit(self) -> int:
        """How many may be unfinished; fewer than there are only delays the next one."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit

    @property
    def active(self) -> int:
        """Unfinished resources."""
        return len(self._active)

    @property
    def not_starting(self) -> int:
        """Of the unfinished ones, those whose pod can't start."""
        return len(self._not_starting)

    @property
    def free(self) -> bool:
        """Whether one more may be taken."""
        return len(self._active) < self._limit

    def observe(self, resource: Resource) -> None:
        """Take a resource's state into account."""
        if resource.status.finished:
            self.release(resource.uid)
            return
        self._active.add(resource.uid)
        started = resource.status.condition(ConditionType.POD_STARTED)
        if started is not None and started.status == "False":
            self._not_starting.add(resource.uid)
        else:
            self._not_starting.discard(resource.uid)

    def release(self, uid: str) -> None:
        """It has ended, or is gone."""
        self._active.discard(uid)
        self._not_starting.discard(uid)
