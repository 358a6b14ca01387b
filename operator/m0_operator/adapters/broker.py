"""RabbitMQ: an inbox that is asked for one message at a time, and the dead-letter queue.

Polling with `basic.get` instead of consuming: nothing is prefetched, there is no
consumer that could be cancelled, and every answer proves that the channel lives.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import ChannelNotFoundEntity
from m0_wire.broker import Broker, redact_url, translate_broker_errors
from m0_wire.errors import BrokerUnavailableError
from yarl import URL

from m0_operator.adapters import amqp_values
from m0_operator.adapters.amqp_headers import read_headers, sendable_headers

logger = logging.getLogger(__name__)

amqp_values.install()

HEARTBEAT_S = 10


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue to be created where it is missing; all are durable."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def bounded(doing: str, timeout_s: float) -> AsyncIterator[None]:
    """A deadline, and this program's errors.

    Raises:
        UnroutableError, BrokerUnavailableError: as `translate_broker_errors` says.
    """
    try:
        async with translate_broker_errors(doing), asyncio.timeout(timeout_s):
            yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # aiormq cancels its waiters when a connection goes; nobody has cancelled us.
        raise BrokerUnavailableError(f"{doing}: the connection went away") from error


def with_heartbeat(url: str) -> URL:
    """The URL with a heartbeat of our own, where it names none.

    The broker believes a silent client to be alive for two or three of them, and as long keeps
    from others what that one has taken: with the usual minute, a message that a paused operator
    holds would have to wait for minutes.
    """
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=HEARTBEAT_S)


class AmqpDelivery:
    """One message, unacknowledged."""

    def __init__(self, message: AbstractIncomingMessage, timeout_s: float) -> None:
        self._message = message
        # Held here, since a message denies having one once it is closed.
        self._channel = message.channel
        self._timeout_s = timeout_s

    @property
    def body(self) -> bytes:
        """The exact bytes."""
        return self._message.body

    @property
    def headers(self) -> Mapping[str, Any]:
        """AMQP headers, as the sender gave them."""
        return read_headers(self._message.headers)

    @property
    def priority(self) -> int:
        """0-9; a sender may have given more, or none."""
        return max(0, min(9, self._message.priority or 0))

    @property
    def message_id(self) -> str:
        """As its sender gave it; empty when it gave none."""
        return self._message.message_id or ""

    @property
    def sent_at(self) -> datetime | None:
        """The message's timestamp."""
        return self._message.timestamp

    @property
    def redelivered(self) -> bool:
        """Whether the broker may have delivered it before."""
        return bool(self._message.redelivered)

    @property
    def alive(self) -> bool:
        """Whether it can still be acknowledged: its channel is open."""
        return not self._channel.is_closed

    async def ack(self) -> None:
        """It is taken care of; returns when the broker knows.

        Raises:
            BrokerUnavailableError: it may come again.
        """
        async with bounded("acknowledging", self._timeout_s):
            await self._message.ack()
            # An acknowledgement has no answer, but a channel does one thing after another.
            await self._channel.basic_qos(prefetch_count=0)

    async def requeue(self) -> None:
        """It goes back; never raises, since a closed channel does the same."""
        try:
            async with bounded("requeueing", self._timeout_s):
                await self._message.nack(requeue=True)
        except BrokerUnavailableError:
            logger.debug("Message not requeued: its channel has gone and so it was")


class AmqpInbox:
    """A queue to be polled, over a connection of its own that is renewed when it breaks."""

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        declare: tuple[QueueSpec, ...] = (),
        no_ack: bool = False,
        timeout_s: float = 10.0,
        name: str = "",
    ) -> None:
        """Args:
        name: what the broker's management shows for this connection.
        declare: queues to create if they are missing, when connecting.
        no_ack: messages count as delivered once sent.
        timeout_s: bound on each exchange with the broker, seconds.
        """
        self._url = url
        self._name = queue
        self._connection_name = name or f"m0-operator {queue}"
        self._declare = declare
        self._no_ack = no_ack
        self._timeout_s = timeout_s
        self._connection: AbstractConnection | None = None
        self._queue: AbstractQueue | None = None

    @property
    def connected(self) -> bool:
        """Whether the last exchange went well."""
        return self._queue is not None

    async def fetch(self) -> AmqpDelivery | None:
        """The next message, or None when there is none now.

        Raises:
            BrokerUnavailableError: the next call connects anew.
        """
        try:
            async with bounded(f"asking {self._name}", self._timeout_s):
                if self._queue is None:
                    self._queue = await self._connect()
                message = await self._queue.get(fail=False, no_ack=self._no_ack)
        except BaseException:
            await self.close()
            raise
        return AmqpDelivery(message, self._timeout_s) if message is not None else None

    async def look(self) -> None:
        """Only see whether the queue is there.

        Raises:
            BrokerUnavailableError: it is not, or the broker isn't; the next call connects anew.
        """
        try:
            async with bounded(f"looking at {self._name}", self._timeout_s):
                if self._queue is None:
                    self._queue = await self._connect()
                await self._queue.channel.get_queue(self._name, ensure=True)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection: what is unacknowledged goes back. Never raises."""
        connection, self._connection, self._queue = self._connection, None, None
        if connection is None:
            return
        try:
            async with bounded("closing", 3):
                await connection.close()
        except BrokerUnavailableError:
            logger.debug("Broker connection was gone already")

    async def _connect(self) -> AbstractQueue:
        self._connection = await aio_pika.connect(
            with_heartbeat(self._url), client_properties={"connection_name": self._connection_name}
        )
        for spec in self._declare:
            await self._create_if_missing(self._connection, spec)
        channel = await self._connection.channel(publisher_confirms=False)
        queue = await channel.get_queue(self._name, ensure=True)
        logger.info(
            "Connected to queue", extra={"queue": self._name, "broker": redact_url(self._url)}
        )
        return queue

    async def _create_if_missing(self, connection: AbstractConnection, spec: QueueSpec) -> None:
        # A failed passive declaration closes its channel, hence one for each question.
        channel = await connection.channel(publisher_confirms=False)
        try:
            await channel.get_queue(spec.name, ensure=True)
        except ChannelNotFoundEntity:
            channel = await connection.channel(publisher_confirms=False)
            await channel.declare_queue(
                spec.name, durable=True, arguments=dict(spec.arguments) or None
            )
            logger.info("Queue created", extra={"queue": spec.name})
        await channel.close()


class AmqpPublisher:
    """Confirmed publishing to one queue; connects at the first use, and again when it must."""

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        name: str,
        timeout_s: float = 10.0,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        name: what the broker's management shows for this connection.
        timeout_s: bound on each exchange with the broker, seconds.
        fence: called at the last instant before a message goes out; raises to stop it.
        """
        self._fence = fence
        self._url = url
        self._queue = queue
        self._name = name
        self._timeout_s = timeout_s
        self._broker: Broker | None = None
        self._lock = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether the connection is up at this moment."""
        return self._broker is not None and self._broker.connected

    async def connect(self) -> Broker:
        """The broker, connected.

        Raises:
            BrokerUnavailableError: not within the timeout.
        """
        async with self._lock:
            if self._broker is None:
                broker = Broker(self._url, name=self._name, timeout_s=self._timeout_s)
                try:
                    async with bounded("connecting", self._timeout_s):
                        await broker.connect()
                except BaseException:
                    await broker.close()
                    raise
                self._broker = broker
            return self._broker

    async def publish(
        self, body: bytes, *, headers: Mapping[str, Any], priority: int, message_id: str = ""
    ) -> None:
        """Publish and wait for the confirmation.

        Raises:
            UnroutableError: the queue does not exist.
            BrokerUnavailableError: not confirmed within the timeout.
        """
        broker: Broker | None = None
        try:
            async with bounded(f"publishing to {self._queue}", self._timeout_s):
                broker = await self.connect()
                await broker.publish(
                    self._queue,
                    body,
                    headers=sendable_headers(headers),
                    priority=priority,
                    message_id=message_id or None,
                    before_send=self._fence,
                )
        except BrokerUnavailableError as error:
            if not isinstance(error.__cause__, DeliveryError):
                self._leave(broker)
            raise

    def _leave(self, broker: Broker | None) -> None:
        """Have the next one connect anew: a dead connection is noticed only after minutes."""
        if broker is not None and broker is self._broker:
            self._broker = None
            task = asyncio.create_task(broker.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close the connection; never raises."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        if self._broker is not None:
            await self._broker.close()
            self._broker = None
