"""Looks at queues from outside: nothing is taken, nothing is made."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity
from m0_wire.broker import translate_broker_errors
from m0_wire.errors import WireError

from m0_operator.adapters.broker import bounded


class QueueProbe:
    """An open connection to the broker."""

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def depth(self, name: str) -> int | None:
        """How many messages wait in a queue; None where there is no such queue.

        Raises:
            BrokerUnavailableError: it can't be told.
        """
        async with bounded(f"looking at {name}", self._timeout_s):
            # A failed question closes its channel, hence one for each.
            channel = await self._connection.channel(publisher_confirms=False)
            try:
                queue = await channel.get_queue(name, ensure=True)
            except ChannelNotFoundEntity:
                return None
            await channel.close()
            return queue.declaration_result.message_count or 0


@asynccontextmanager
async def open_probe(
    url: str, *, timeout_s: float = 10.0, name: str = "m0-operator check"
) -> AsyncIterator[QueueProbe]:
    """A probe, while the context is open.

    Raises:
        BrokerUnavailableError: not reachable, or we are refused.
    """
    async with bounded("connecting", timeout_s):
        connection = await aio_pika.connect(url, client_properties={"connection_name": name})
    try:
        yield QueueProbe(connection, timeout_s)
    finally:
        async with translate_broker_errors("closing"):
            await connection.close()


class QueueDepths:
    """Implements `services.backlog.Depths`, over a connection that is made anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self._probe: QueueProbe | None = None

    async def depth(self, queue: str) -> int | None:
        """How many messages are ready; None where there is no such queue.

        Raises:
            BrokerUnavailableError: the next call connects anew.
        """
        try:
            if self._probe is None:
                probe = open_probe(self._url, name="m0-operator depths")
                self._probe = await self._stack.enter_async_context(probe)
            return await self._probe.depth(queue)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave; never raises."""
        self._probe = None
        with suppress(WireError):
            await self._stack.aclose()
