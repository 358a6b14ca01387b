"""Queues of a test's own on the real RabbitMQ, seen with a client of its own."""

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from devstack import DevStack

CLASSIC: dict[str, Any] = {}
TEN: dict[str, Any] = {"x-max-priority": 10}
QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


class Queues:
    """Made by a test, and deleted with it."""

    def __init__(self, url: str, connection: AbstractRobustConnection) -> None:
        self.url = url
        self._connection = connection
        self.made: list[str] = []

    async def make(self, arguments: Mapping[str, Any], name: str = "") -> str:
        name = name or f"m0-test-{uuid.uuid4().hex[:12]}"
        async with self._connection.channel() as channel:
            await channel.declare_queue(name, durable=True, arguments=dict(arguments))
        self.made.append(name)
        return name

    async def delete(self, name: str) -> None:
        async with self._connection.channel() as channel:
            # The library asks for "if unused", which a quorum queue refuses.
            await (await channel.get_underlay_channel()).queue_delete(name)

    async def put(self, queue: str, *messages: aio_pika.Message) -> None:
        async with self._connection.channel(on_return_raises=True) as channel:
            for message in messages:
                await channel.default_exchange.publish(message, routing_key=queue)

    async def drain(self, queue: str) -> list[AbstractIncomingMessage]:
        """All messages, in order; they are gone then."""
        found: list[AbstractIncomingMessage] = []
        async with self._connection.channel() as channel:
            source = await channel.get_queue(queue)
            while (message := await source.get(fail=False, no_ack=True)) is not None:
                found.append(message)
        return found

    async def depth(self, queue: str) -> int:
        async with self._connection.channel() as channel:
            return (await channel.get_queue(queue)).declaration_result.message_count or 0


@asynccontextmanager
async def queues_of(url: str) -> AsyncIterator[Queues]:
    async with await aio_pika.connect_robust(url) as connection:
        queues = Queues(url, connection)
        try:
            yield queues
        finally:
            for name in queues.made:
                await queues.delete(name)


def control(stack: DevStack, *arguments: str) -> str:
    """`rabbitmqctl` beside the server: what AMQP can't do."""
    return stack.kubectl(
        "exec", "deploy/m0-rabbitmq", "--", "env", "HOME=/data",
        "RABBITMQ_NODENAME=rabbit@localhost", "/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *arguments,
    )  # fmt: skip


@contextmanager
def reader_of(stack: DevStack) -> Iterator[str]:
    """The URL for a user who may read and write, and configure nothing."""
    name = f"m0-test-{uuid.uuid4().hex[:12]}"
    control(stack, "add_user", name, name)
    try:
        control(stack, "set_permissions", name, "^$", ".*", ".*")
        host = stack.env["M0_AMQP_URL"].rpartition("@")[2]
        yield f"amqp://{name}:{name}@{host}"
    finally:
        control(stack, "delete_user", name)
