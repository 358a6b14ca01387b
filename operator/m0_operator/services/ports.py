"""What the services need of the outside, as small protocols."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from m0_operator.domain.actions import BackendStatus
from m0_operator.domain.status import Announcement


class Resources(Protocol):
    """VideoChunkJobs in the cluster. Reads give None only for a 404; all else raises."""

    async def fetch_resource(self, name: str) -> dict[str, Any] | None:
        """The resource as the API holds it."""
        ...

    async def create_resource(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create it; AlreadyExistsError when the name is taken."""
        ...

    async def delete_resource(self, name: str, uid: str) -> None:
        """Delete this very one; no error when it is gone."""
        ...


class Cluster(Resources, Protocol):
    """All that reconcile does in the cluster."""

    async def fetch_job(self, name: str) -> dict[str, Any] | None:
        """The Job as the API holds it."""
        ...

    async def fetch_pods(self, job: str) -> list[dict[str, Any]]:
        """The Job's pods."""
        ...

    async def create_job(self, manifest: dict[str, Any], resource: str) -> dict[str, Any]:
        """Create it; AlreadyExistsError when the name is taken."""
        ...

    async def delete_job(self, name: str, uid: str, resource: str, *, wait: bool) -> None:
        """Delete this very one; with `wait` it is gone when its pods are, else at once."""
        ...

    async def suspend_job(self, name: str, resource: str, *, suspend: bool) -> None:
        """Take its pod away, or let it have one again."""
        ...

    async def expire_job(self, name: str, ttl_s: int, resource: str) -> None:
        """Have the cluster collect it."""
        ...

    async def patch_status(
        self, name: str, version: str, patch: dict[str, Any], *, progress_only: bool
    ) -> dict[str, Any]:
        """Merge into the status; ClusterConflictError when `version` is not the newest."""
        ...

    async def set_finalizers(
        self, name: str, version: str, finalizers: tuple[str, ...]
    ) -> dict[str, Any]:
        """Replace the finalizers; ClusterConflictError when `version` is not the newest."""
        ...

    async def announce(self, resource: dict[str, Any], announcement: Announcement) -> None:
        """Post an Event about the resource."""
        ...

    def count_writes(self, resource: str) -> int:
        """Writes for this resource so far by this process, without those of progress only."""
        ...


class DeadLetters(Protocol):
    """The dead-letter queue."""

    async def publish(
        self, body: bytes, *, headers: Mapping[str, Any], priority: int, message_id: str
    ) -> None:
        """Publish and wait for the confirmation."""
        ...


class Reporter(Protocol):
    """The backend's status."""

    async def report(
        self, process_id: int | str, modality: str, status: BackendStatus, error: str | None
    ) -> None:
        """Set it and wait for the answer."""
        ...


class Message(Protocol):
    """A message that is ours until it is acknowledged or given back."""

    @property
    def body(self) -> bytes:
        """The exact bytes."""
        ...

    @property
    def headers(self) -> Mapping[str, Any]:
        """AMQP headers, as the sender gave them."""
        ...

    @property
    def priority(self) -> int:
        """0-9."""
        ...

    @property
    def message_id(self) -> str:
        """As its sender gave it; empty when it gave none."""
        ...

    async def ack(self) -> None:
        """It is taken care of; returns when the broker knows."""
        ...


class Delivery(Message, Protocol):
    """A request."""

    @property
    def sent_at(self) -> datetime | None:
        """When it was sent, as its sender says; most senders don't."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether the broker may have delivered it before."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it can still be acknowledged: its channel is open."""
        ...

    async def requeue(self) -> None:
        """It goes back; never raises, since a closed channel does the same."""
        ...


class Inbox(Protocol):
    """A queue that is asked for one message at a time."""

    async def fetch(self) -> Delivery | None:
        """The next message, or None when there is none now."""
        ...
