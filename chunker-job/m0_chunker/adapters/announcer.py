"""Telling M1 of a chunk, and the operator how far the Job has come."""

import contextlib
import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

from m0_contract.chunk import ChunkMessage, Progress
from m0_contract.errors import ErrorCode, Stage
from m0_contract.request import VideoRequest

from m0_chunker.adapters.patience import patiently
from m0_chunker.errors import ChunkerError
from m0_chunker.tracing import UNTRACED, Attributes, Trace

if TYPE_CHECKING:
    from m0_wire.broker import Broker


class Announcer(Protocol):
    """Where chunk messages go.

    Attributes:
        waits: whether its methods ever wait.
    """

    @property
    def waits(self) -> bool:
        """See above."""
        ...

    async def announce(self, message: ChunkMessage) -> None:
        """Hand the message over; returns when it is safe.

        Raises:
            ChunkerError: PUBLISH_UNROUTABLE, BROKER_UNREACHABLE.
        """
        ...

    async def report(self, progress: Progress) -> None:
        """Say how far it is; may be lost."""
        ...


class StdoutAnnouncer:
    """JSON lines on standard output."""

    waits = False

    def __init__(self, request: VideoRequest) -> None:
        self._request = request

    async def announce(self, message: ChunkMessage) -> None:
        """See `Announcer`."""
        try:
            sys.stdout.write(message.to_json(self._request) + "\n")
            sys.stdout.flush()
        except OSError as error:
            raise ChunkerError(
                ErrorCode.CHUNK_FAILED,
                f"standard output was closed: {error.strerror}",
                stage=Stage.PUBLISH,
            ) from error

    async def report(self, progress: Progress) -> None:
        """The log says it already."""


class BrokerAnnouncer:
    """RabbitMQ: confirmed, persistent, mandatory."""

    waits = True

    def __init__(
        self,
        broker: "Broker",
        request: VideoRequest,
        *,
        results_queue: str,
        progress_queue: str,
        trace: Trace = UNTRACED,
    ) -> None:
        """Args:
        broker: connected.
        trace: says what goes on with each chunk's message.
        """
        self._trace = trace
        self._broker, self._request = broker, request
        self._results_queue, self._progress_queue = results_queue, progress_queue

    async def announce(self, message: ChunkMessage) -> None:
        """See `Announcer`; the message id is the same whenever the chunk is."""
        body = message.to_json(self._request).encode()
        identity = f"{message.process_id}/{message.chunk_id}/{message.chunk_hash[:16]}"[:255]
        queue = self._results_queue
        said: Attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": queue,
            "messaging.message.id": identity,
            "messaging.message.body.size": len(body),
        }
        with self._trace.step(message.chunk_id, f"publish {queue}", "producer", said) as trace:
            headers = {
                "x-m0-process-id": str(message.process_id),
                "x-m0-chunk-id": message.chunk_id,
                **trace,
            }
            await self._publish(body, headers, identity)

    async def _publish(self, body: bytes, headers: dict[str, Any], identity: str) -> None:
        from m0_wire.errors import (  # noqa: PLC0415 - only where there is a broker
            BrokerUnavailableError,
            UnroutableError,
        )

        def publish() -> Awaitable[None]:
            queue = self._results_queue
            return self._broker.publish(queue, body, headers=headers, message_id=identity)

        try:
            await patiently(publish, "the broker", BrokerUnavailableError)
        except UnroutableError as error:
            raise ChunkerError(ErrorCode.PUBLISH_UNROUTABLE, str(error)) from error
        except BrokerUnavailableError as error:
            raise ChunkerError(ErrorCode.BROKER_UNREACHABLE, str(error)) from error

    async def report(self, progress: Progress) -> None:
        """See `Announcer`; nobody may be listening."""
        from m0_wire.errors import WireError  # noqa: PLC0415 - only where there is a broker

        with contextlib.suppress(WireError):
            await self._broker.publish(
                self._progress_queue,
                progress.model_dump_json().encode(),
                mandatory=False,
                persistent=False,
            )
