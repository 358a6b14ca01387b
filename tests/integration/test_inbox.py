"""The inbox on the real RabbitMQ, when connections, channels and queues go away under it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import aio_pika
import pytest
from devstack import DevStack
from integration.queues import CLASSIC, QUORUM, Queues, control, queues_of
from integration.servers import Line, cut, line_to, silence_present, swallow
from m0_operator.adapters.broker import AmqpDelivery, AmqpInbox, AmqpPublisher
from m0_wire.errors import BrokerUnavailableError

TIMEOUT_S = 2.0
CLOSING_S = 3.0
"""What saying goodbye to a broker that doesn't listen may take in addition."""


@pytest.fixture
async def queues(stack: DevStack) -> AsyncIterator[Queues]:
    async with queues_of(stack.env["M0_AMQP_URL"]) as made:
        yield made


@pytest.fixture(params=[CLASSIC, QUORUM], ids=["classic", "quorum"])
async def queue(queues: Queues, request: pytest.FixtureRequest) -> str:
    name = await queues.make(request.param)
    await queues.put(name, *(aio_pika.Message(str(number).encode()) for number in range(3)))
    return name


@pytest.fixture
async def inbox(queues: Queues, queue: str) -> AsyncIterator[AmqpInbox]:
    inbox = AmqpInbox(queues.url, queue, timeout_s=TIMEOUT_S, name=f"test-{uuid.uuid4().hex}")
    yield inbox
    await inbox.close()


@pytest.fixture
def line(queues: Queues) -> Iterator[tuple[Line, str]]:
    with line_to(queues.url) as found:
        yield found


@pytest.fixture
async def far(line: tuple[Line, str], queue: str) -> AsyncIterator[AmqpInbox]:
    """An inbox at the other end of the line."""
    inbox = AmqpInbox(line[1], queue, timeout_s=TIMEOUT_S)
    yield inbox
    await inbox.close()


async def take(inbox: AmqpInbox) -> AmqpDelivery:
    delivery = await inbox.fetch()
    assert delivery is not None
    return delivery


async def take_rest(inbox: AmqpInbox, within_s: float = 5.0) -> list[bytes]:
    """All that is there; what a lost connection held comes back when the broker notices."""
    bodies: list[bytes] = []
    until = time.monotonic() + within_s
    while len(bodies) < 3 and time.monotonic() < until:
        delivery = await inbox.fetch()
        if delivery is None:
            await asyncio.sleep(0.1)
            continue
        await delivery.ack()
        bodies.append(delivery.body)
    return sorted(bodies)


ALL = [b"0", b"1", b"2"]


async def test_a_connection_that_the_server_closes_is_renewed(
    stack: DevStack, inbox: AmqpInbox
) -> None:
    held = await take(inbox)
    rows = control(stack, "list_connections", "pid", "client_properties").splitlines()
    (mine,) = [row for row in rows if inbox._connection_name in row]
    control(stack, "close_connection", mine.split("\t")[0], "a test wants it")
    await asyncio.sleep(0.2)
    assert not held.alive
    with pytest.raises(BrokerUnavailableError):
        await held.ack()
    with pytest.raises(BrokerUnavailableError):
        await inbox.fetch()
    assert not inbox.connected
    assert await take_rest(inbox) == ALL


async def test_a_connection_that_is_cut_is_renewed(far: AmqpInbox, line: tuple[Line, str]) -> None:
    await take(far)
    line[0].to_server = cut
    with pytest.raises(BrokerUnavailableError):
        await far.fetch()
    line[0].to_server = lambda _, data: data
    assert await take_rest(far) == ALL


@pytest.mark.parametrize("side", ["to_server", "to_client"])
async def test_a_connection_on_which_nothing_arrives_any_more_is_given_up_in_time(
    far: AmqpInbox, line: tuple[Line, str], side: str
) -> None:
    first = await take(far)
    await first.ack()
    honest = getattr(line[0], side)
    setattr(line[0], side, swallow)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        await far.fetch()
    assert time.monotonic() - began < TIMEOUT_S + CLOSING_S + 5
    # No connection can be made either while it lasts.
    with pytest.raises(BrokerUnavailableError):
        await far.fetch()
    assert time.monotonic() - began < 2 * (TIMEOUT_S + CLOSING_S + 5)
    setattr(line[0], side, honest)
    assert await far.fetch() is not None


async def test_an_acknowledgement_that_nobody_hears_is_not_taken_for_one(
    far: AmqpInbox, line: tuple[Line, str], inbox: AmqpInbox
) -> None:
    delivery = await take(far)
    line[0].to_server = swallow
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        await delivery.ack()
    assert time.monotonic() - began < TIMEOUT_S + 5
    await far.close()
    line[0].close()
    line[0].to_server = cut
    assert (await take(inbox)).body in ALL


async def test_a_channel_that_the_server_closes_is_renewed(inbox: AmqpInbox) -> None:
    """As it does with one that has held a message for longer than `consumer_timeout`."""
    held = await take(inbox)
    channel = await inbox._queue.channel.get_underlay_channel()  # type: ignore[union-attr]
    await channel.basic_ack(99)
    await asyncio.sleep(0.2)
    assert not held.alive
    with pytest.raises(BrokerUnavailableError):
        await inbox.fetch()
    assert await take_rest(inbox) == ALL


async def test_a_queue_that_is_deleted_and_made_again_is_found_again(
    inbox: AmqpInbox, queues: Queues, queue: str
) -> None:
    await take(inbox)
    await queues.delete(queue)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError, match="NOT_FOUND"):
            await inbox.fetch()
    await queues.make(CLASSIC, queue)
    assert await inbox.fetch() is None
    await queues.put(queue, aio_pika.Message(b"new"))
    assert (await take(inbox)).body == b"new"


async def test_a_publisher_on_whose_connection_nothing_arrives_any_more_makes_a_new_one(
    queues: Queues, queue: str, line: tuple[Line, str]
) -> None:
    publisher = AmqpPublisher(line[1], queue, name="test", timeout_s=TIMEOUT_S)
    await publisher.publish(b"before", headers={}, priority=0)
    line[0].to_server = silence_present()
    with pytest.raises(BrokerUnavailableError):
        await publisher.publish(b"lost", headers={}, priority=0)
    await publisher.publish(b"after", headers={}, priority=0)
    await publisher.close()
    bodies = [message.body for message in await queues.drain(queue)]
    assert bodies[-1] == b"after"
