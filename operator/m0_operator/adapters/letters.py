"""The dead-letter queue over AMQP alone, looked through by one at a time.

Messages are taken with `basic.get` and given back with one `basic.nack`: on a classic
queue that changes nothing, on a quorum queue it is the one way that RabbitMQ 4.3 does
not count as a failed delivery (closing the channel is one; 4.0 to 4.2 count both).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aiormq.exceptions import AMQPChannelError, ChannelLockedResource
from m0_wire.errors import BrokerUnavailableError

from m0_operator.adapters.amqp_headers import DELIVERY_COUNT, sendable_headers
from m0_operator.adapters.broker import AmqpDelivery, bounded
from m0_operator.services.dead_letters import Held

logger = logging.getLogger(__name__)

LOCK_POLL_S = 0.2


class AmqpHeld(AmqpDelivery):
    """A dead letter, held."""

    @property
    def looks(self) -> int:
        """How often the queue has got it back; 0 on a queue that doesn't count."""
        count = self._message.headers.get(DELIVERY_COUNT)
        return count if isinstance(count, int) else 0

    def build_copy(self, body: bytes, *, message_id: str, priority: int | None) -> aio_pika.Message:
        """The same message to be published, but for what is given here.

        Not what only the first publishing could mean: an expiry, further queues (`CC`),
        the sender's name as the broker has checked it.
        """
        original = self._message
        return aio_pika.Message(
            body,
            headers=sendable_headers(original.headers),
            priority=original.priority if priority is None else priority,
            message_id=message_id,
            content_type=original.content_type,
            content_encoding=original.content_encoding,
            correlation_id=original.correlation_id,
            reply_to=original.reply_to,
            timestamp=original.timestamp,
            type=original.type,
            app_id=original.app_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )


class AmqpLook:
    """One pass: implements `services.dead_letters.Look`."""

    def __init__(
        self, queue: AbstractQueue, publishing: AbstractChannel, requests: str, timeout_s: float
    ) -> None:
        self._queue = queue
        self._publishing = publishing
        self._requests = requests
        self._timeout_s = timeout_s
        self._last: AbstractIncomingMessage | None = None

    @property
    def waiting(self) -> int:
        """Messages in the queue when the pass began."""
        return self._queue.declaration_result.message_count or 0

    async def take(self) -> AmqpHeld | None:
        """Hold the next message.

        Raises:
            BrokerUnavailableError: all that was held has gone back.
        """
        async with bounded(f"looking at {self._queue.name}", self._timeout_s):
            message = await self._queue.get(fail=False, no_ack=False)
        if message is None:
            return None
        self._last = message
        return AmqpHeld(message, self._timeout_s)

    async def resubmit(
        self, held: Held, body: bytes, *, message_id: str, priority: int | None
    ) -> None:
        """Publish to the requests, confirmed.

        Raises:
            UnroutableError: their queue does not exist.
            BrokerUnavailableError: not confirmed.
        """
        await self._publish(self._requests, held, body, message_id, priority)

    async def renew(self, held: Held, *, message_id: str) -> None:
        """Publish a copy to the dead letters, confirmed; raises as `resubmit`."""
        await self._publish(self._queue.name, held, held.body, message_id, None)

    async def give_back(self) -> None:
        """Return all that is held, in its order; never raises."""
        if self._last is None or self._queue.channel.is_closed:
            return
        with suppress(BrokerUnavailableError):
            async with bounded("giving the dead letters back", self._timeout_s):
                channel = await self._queue.channel.get_underlay_channel()
                tag = self._last.delivery_tag or 0
                await channel.basic_nack(tag, multiple=True, requeue=True)
                # It has no answer, but a channel does one thing after another.
                await channel.basic_qos(prefetch_count=0)

    async def _publish(
        self, queue: str, held: Held, body: bytes, message_id: str, priority: int | None
    ) -> None:
        assert isinstance(held, AmqpHeld)  # noqa: S101 - it comes from `take`
        message = held.build_copy(body, message_id=message_id, priority=priority)
        async with bounded(f"publishing to {queue}", self._timeout_s):
            await self._publishing.default_exchange.publish(
                message, routing_key=queue, mandatory=True
            )


class AmqpLetterQueue:
    """Implements `services.dead_letters.LetterQueue`; a connection for each look."""

    def __init__(
        self,
        url: str,
        letters: str,
        requests: str,
        *,
        timeout_s: float = 10.0,
        patience_s: float = 10.0,
    ) -> None:
        """Args:
        letters: the dead-letter queue.
        requests: the queue that the operator takes requests from.
        timeout_s: bound on each exchange with the broker, seconds.
        patience_s: how long to wait while somebody else is looking, seconds.
        """
        self._url = url
        self._letters = letters
        self._requests = requests
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    @asynccontextmanager
    async def look(self) -> AsyncIterator[AmqpLook]:
        """Begin a pass; at its end all that is still held goes back.

        Raises:
            BrokerUnavailableError: no broker, no queue, or somebody else is looking.
        """
        async with bounded(f"looking at {self._letters}", self._timeout_s):
            connection = await aio_pika.connect(
                self._url, client_properties={"connection_name": "m0 dead letters"}
            )
        try:
            await self._lock(connection)
            look = await self._open(connection)
            try:
                yield look
            finally:
                await look.give_back()
        finally:
            with suppress(BrokerUnavailableError):
                async with bounded("closing", 3):
                    await connection.close()

    async def _open(self, connection: AbstractConnection) -> AmqpLook:
        async with bounded(f"looking at {self._letters}", self._timeout_s):
            publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
            channel = await connection.channel(publisher_confirms=False)
            queue = await channel.get_queue(self._letters, ensure=True)
        return AmqpLook(queue, publishing, self._requests, self._timeout_s)

    async def _lock(self, connection: AbstractConnection) -> None:
        """Only one looks at a time, or the second would miss what the first one holds.

        The lock is an exclusive queue, which goes with its connection. Who may not declare
        one looks without it: nothing is lost, a letter may only be missed.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while True:
            try:
                async with bounded("taking turns", self._timeout_s):
                    if await self._try_lock(connection):
                        return
            except BrokerUnavailableError as error:
                if not isinstance(error.__cause__, AMQPChannelError):
                    raise
                logger.debug("Looking without a lock", extra={"reason": str(error)})
                return
            if loop.time() > until:
                raise BrokerUnavailableError(
                    f"somebody else is looking at {self._letters}: try again"
                )
            await asyncio.sleep(LOCK_POLL_S)

    async def _try_lock(self, connection: AbstractConnection) -> bool:
        channel = await connection.channel(publisher_confirms=False)
        try:
            await channel.declare_queue(f"{self._letters}.looking", exclusive=True)
        except ChannelLockedResource:
            return False
        return True
