"""Messages that can't be settled yet: held unacknowledged, while others are taken.

Given back, such a message would be the next one again and keep all others waiting,
and on a quorum queue each return counts towards the delivery limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from m0_contract.errors import ErrorCode

from m0_operator.services.ports import Delivery

MAX_ASIDE = 20
TRY_EVERY = timedelta(seconds=5)
HELD_AT_MOST = timedelta(minutes=20)
"""RabbitMQ closes a channel on which a message stays unacknowledged for half an hour."""

Refusal = tuple[ErrorCode, str, str | None, int | str | None]
"""(code, message, field, process_id)."""


@dataclass(slots=True, eq=False)
class Held:
    """A message that was taken and is not settled.

    Attributes:
        since: when it was first tried.
        due: when it is to be tried again; None at the first try.
        refusal: why it is refused, once that is so.
    """

    delivery: Delivery
    since: datetime
    due: datetime | None = None
    refusal: Refusal | None = None


class Aside:
    """A few messages; a restart gives them back to the queue."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._held: list[Held] = []

    def put(self, held: Held, *, next_one: bool = False) -> bool:
        """Hold it, or hold it on; False when it must go back to the queue.

        Args:
            next_one: it is due at once, before any other is taken.
        """
        now = self._now()
        if held not in self._held:
            if len(self._held) >= MAX_ASIDE:
                return False
            self._held.append(held)
        held.due = now if next_one else now + TRY_EVERY
        return now - held.since < HELD_AT_MOST

    def find_due(self) -> Held | None:
        """One whose time has come; it stays held until `let_go`."""
        # With its channel a message went back to the queue, and will come again.
        self._held = [held for held in self._held if held.delivery.alive]
        now = self._now()
        return next((held for held in self._held if held.due is None or held.due <= now), None)

    def let_go(self, held: Held) -> None:
        """It is settled, or goes back."""
        if held in self._held:
            self._held.remove(held)
