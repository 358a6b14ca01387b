"""How many videos are in the cluster unfinished: what decides about taking the next message."""

from m0_operator.domain.observed import Resource


class Slots:
    """Counts unfinished resources by uid, from what is seen and what was created."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._active: set[str] = set()

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
    def free(self) -> bool:
        """Whether one more may be taken."""
        return len(self._active) < self._limit

    def observe(self, resource: Resource) -> None:
        """Take a resource's state into account."""
        if resource.status.finished:
            self._active.discard(resource.uid)
        else:
            self._active.add(resource.uid)

    def release(self, uid: str) -> None:
        """It is gone."""
        self._active.discard(uid)
