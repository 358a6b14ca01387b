"""Messages that can't be settled yet: held unacknowledged, while others are taken.

Given back, such a message would be the next one again and keep all others waiting,
and on a quorum queue each return counts towards the delivery limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from m0_operator.services.ports import Delivery

MAX_ASIDE = 20
TRY_EVERY = timedelta(seconds=5)
HELD_AT_MOST = timedelta(minutes=20)
"""RabbitMQ closes a channel on which a message stays unacknowledged for half an hour."""


@dataclass(slots=True)
class _Held:
    delivery: Delivery
    since: datetime
    due: datetime


class Aside:
    """A few deliveries; a restart gives them back to the queue."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._held: list[_Held] = []

    def put(self, delivery: Delivery, *, next_one: bool = False) -> bool:
        """Hold it, or hold it on; False when it must go back to the queue.

        Args:
            next_one: it is due at once, before any other is taken.
        """
        now = self._now()
        due = now if next_one else now + TRY_EVERY
        for item in self._held:
            if item.delivery is delivery:
                item.due = due
                return now - item.since < HELD_AT_MOST
        if len(self._held) >= MAX_ASIDE:
            return False
        self._held.append(_Held(delivery, now, due))
        return True

    def find_due(self) -> Delivery | None:
        """One whose time has come; it stays held until `let_go`."""
        # With its channel a message went back to the queue, and will come again.
        self._held = [item for item in self._held if item.delivery.alive]
        now = self._now()
        return next((item.delivery for item in self._held if item.due <= now), None)

    def holds(self, delivery: Delivery) -> bool:
        """Whether it was tried before, and is still held."""
        return any(item.delivery is delivery for item in self._held)

    def let_go(self, delivery: Delivery) -> None:
        """It is settled, or goes back."""
        self._held = [item for item in self._held if item.delivery is not delivery]
