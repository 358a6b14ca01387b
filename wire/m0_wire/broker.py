"""Publishing to RabbitMQ so that "published" means "a queue holds it".

Every message is persistent, mandatory and confirmed; nothing waits for ever.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from m0_wire.errors import BrokerUnavailableError, UnroutableError

_BROKEN = (AMQPError, ChannelInvalidStateError, OSError, asyncio.TimeoutError, RuntimeError)
"""RuntimeError: aio-pika raises it when a robust connection is used after close()."""


RECONNECT_S = 1.0
"""Before a connection that broke is made anew. The library's own five seconds are longer than a
publisher tries: then a broker that only closed the connection would cost a Job one of its runs."""


def redact_url(url: str) -> str:
    """An AMQP URL fit for a log: scheme, host and virtual host only."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 5672}{parts.path}"


@asynccontextmanager
async def translate_broker_errors(doing: str) -> AsyncIterator[None]:
    """Turn the AMQP libraries' errors into this package's.

    Raises:
        UnroutableError: no queue took the message.
        BrokerUnavailableError: everything else.
    """
    try:
        yield
    except PublishError as error:
        raise UnroutableError(
            f"{doing}: no queue took the message; does the queue exist?"
        ) from error
    except DeliveryError as error:
        raise BrokerUnavailableError(f"{doing}: the broker refused the message") from error
    except _BROKEN as error:
        detail = str(error) or type(error).__name__
        raise BrokerUnavailableError(f"{doing}: {detail}") from error


class Broker:
    """One robust connection with one confirming channel.

    Use as an async context manager. Connecting is retried by the library after
    the first success; the first connection attempt fails after `timeout_s`.
    """

    def __init__(self, url: str, *, name: str, timeout_s: float = 15.0) -> None:
        """Args:
        url: `amqp(s)://user:password@host:port/vhost`.
        name: what the broker's management shows for this connection.
        timeout_s: bound on connecting and on each confirmation, seconds.
        """
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Open the connection.

        Raises:
            BrokerUnavailableError: not reachable or refused within the timeout.
        """
        async with translate_broker_errors(f"connecting to {redact_url(self._url)}"):
            async with asyncio.timeout(self._timeout_s):
                self._connection = await aio_pika.connect_robust(
                    self._url,
                    client_properties={"connection_name": self._name},
                    reconnect_interval=RECONNECT_S,
                )
                self._channel = await self.open_channel()

    async def open_channel(self) -> AbstractRobustChannel:
        """A further channel on the same connection, confirming and returning unroutables."""
        if self._connection is None:
            raise BrokerUnavailableError("not connected")
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        assert isinstance(channel, aio_pika.RobustChannel)  # noqa: S101 - narrows the library's type
        return channel

    @property
    def connected(self) -> bool:
        """Whether the connection is up at this moment."""
        connection = self._connection
        return connection is not None and connection.connected.is_set()

    async def close(self) -> None:
        """Close the connection; never raises."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(5):
                    await self._connection.close()
            except _BROKEN:
                pass

    async def publish(
        self,
        queue: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        priority: int | None = None,
        message_id: str | None = None,
        mandatory: bool = True,
        persistent: bool = True,
        before_send: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish to `queue` and wait until the broker has it.

        Args:
            before_send: called when the channel stands, at the last instant before the message
                goes out; what it raises ends the publishing.

        Raises:
            UnroutableError: the queue does not exist (only when `mandatory`).
            BrokerUnavailableError: not confirmed within the timeout.
        """
        message = aio_pika.Message(
            body,
            headers=dict(headers or {}),
            priority=priority,
            message_id=message_id or uuid.uuid4().hex,
            content_type="application/json",
            timestamp=int(time.time()),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            if persistent
            else aio_pika.DeliveryMode.NOT_PERSISTENT,
        )
        async with translate_broker_errors(f"publishing to {queue}"):
            if self._channel is None:
                raise BrokerUnavailableError("not connected")
            # Publishing waits for ever while the connection is away: hence the bound.
            async with asyncio.timeout(self._timeout_s):
                await self._channel.ready()
                before_send()
                await self._channel.default_exchange.publish(
                    message, routing_key=queue, mandatory=mandatory
                )
