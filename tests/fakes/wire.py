"""A broker and a backend in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class FakeDelivery:
    """Implements `ports.Delivery`."""

    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    message_id: str = ""
    redelivered: bool = False
    sent_at: datetime | None = None
    alive: bool = True
    acked: bool = False
    requeued: bool = False
    ack_error: Exception | None = None

    async def ack(self) -> None:
        if self.ack_error is not None:
            raise self.ack_error
        self.acked = True

    async def requeue(self) -> None:
        self.requeued = True


class FakeInbox:
    """Implements `ports.Inbox`."""

    def __init__(self) -> None:
        self.waiting: list[FakeDelivery] = []
        self.asked = 0

    async def fetch(self) -> FakeDelivery | None:
        self.asked += 1
        return self.waiting.pop(0) if self.waiting else None


class FakeDeadLetters:
    """Implements `ports.DeadLetters`; raises `error` while it is set."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def publish(
        self, body: bytes, *, headers: Mapping[str, Any], priority: int, message_id: str
    ) -> None:
        if self.error is not None:
            raise self.error
        self.letters.append(
            {"body": body, "headers": dict(headers), "priority": priority, "id": message_id}
        )


class FakeReporter:
    """Implements `ports.Reporter`; raises `error` while it is set."""

    def __init__(self) -> None:
        self.reports: list[tuple[int | str, str, str, str | None]] = []
        self.error: Exception | None = None

    async def report(
        self, process_id: int | str, modality: str, status: str, error: str | None
    ) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append((process_id, modality, status, error))
