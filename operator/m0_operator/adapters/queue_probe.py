"""Looks at queues from outside: nothing is taken, nothing is made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity
from m0_wire.broker import translate_broker_errors

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
async def open_probe(url: str, *, timeout_s: float = 10.0) -> AsyncIterator[QueueProbe]:
    """A probe, while the context is open.

    Raises:
        BrokerUnavailableError: not reachable, or we are refused.
    """
    async with bounded("connecting", timeout_s):
        connection = await aio_pika.connect(
            url, client_properties={"connection_name": "m0-operator check"}
        )
    try:
        yield QueueProbe(connection, timeout_s)
    finally:
        async with translate_broker_errors("closing"):
            await connection.close()
