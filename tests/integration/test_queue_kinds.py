"""What the real RabbitMQ says of queues of each kind, and that asking changes nothing."""

import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from devstack import DevStack
from integration.queues import QUORUM, TEN, Queues, control, queues_of, reader_of
from m0_operator.adapters.broker import AmqpInbox, QueueSpec
from m0_operator.adapters.letters import AmqpLetterQueue
from m0_operator.adapters.queue_kind import learn_facts, say_priorities
from m0_operator.queues import PRIORITY_QUEUE_ARGUMENTS
from m0_operator.services.dead_letters import DeadLetterBox
from m0_wire.errors import BrokerUnavailableError


@pytest.fixture
async def queues(stack: DevStack) -> AsyncIterator[Queues]:
    async with queues_of(stack.env["M0_AMQP_URL"]) as made:
        yield made


@pytest.mark.parametrize(
    ("arguments", "kind", "highest"),
    [
        (TEN, "classic", 10),
        ({}, "classic", None),
        ({"x-max-priority": 5}, "classic", 5),
        ({"x-queue-type": "classic", "x-max-priority": 10}, "classic", 10),
        ({"x-max-priority": 3, "x-max-length": 2**40, "x-overflow": "drop-head"}, "classic", 3),
        ({"x-message-ttl": 1000, "x-single-active-consumer": True}, "classic", None),
        ({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "but current is 'x'"},
         "classic", None),
        (QUORUM, "quorum", None),
        (QUORUM | {"x-delivery-limit": -1, "x-max-length": 9}, "quorum", None),
        ({"x-queue-type": "stream"}, "stream", None),
    ],
    ids=str,
)  # fmt: skip
async def test_a_queue_is_known_and_stays_as_it_is(
    queues: Queues, arguments: dict[str, Any], kind: str, highest: int | None
) -> None:
    queue = await queues.make(arguments)
    facts = await learn_facts(queues.url, queue)
    assert (facts.kind, facts.max_priority, facts.unknown) == (kind, highest, "")
    assert facts.version[0].isdigit()
    await queues.make(arguments, queue)


async def test_a_queue_that_is_not_there_is_not_made_by_asking(queues: Queues) -> None:
    queue = f"m0-test-{uuid.uuid4().hex[:12]}"
    with pytest.raises(BrokerUnavailableError, match="NOT_FOUND"):
        await learn_facts(queues.url, queue)
    with pytest.raises(Exception, match="NOT_FOUND"):
        await queues.depth(queue)


@pytest.mark.parametrize(
    ("arguments", "level", "said"),
    [
        (TEN, logging.INFO, "all 10 priorities"),
        ({}, logging.WARNING, "without x-max-priority"),
        ({"x-max-priority": 5}, logging.WARNING, "6 of 10 priorities"),
    ],
    ids=str,
)
async def test_the_operator_says_what_it_found(
    queues: Queues,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    level: int,
    said: str,
) -> None:
    caplog.set_level(logging.INFO)
    await say_priorities(queues.url, await queues.make(arguments))
    (record,) = [r for r in caplog.records if r.message == "Priorities of the queue"]
    assert record.levelno == level
    assert said in vars(record)["reason"]


async def test_without_a_broker_the_operator_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await say_priorities("amqp://127.0.0.1:9/", "q")
    (record,) = [r for r in caplog.records if r.message == "Priorities of the queue"]
    assert record.levelno == logging.INFO
    assert "not known" in vars(record)["reason"]


async def test_who_may_configure_nothing_can_do_all_but_ask(
    stack: DevStack, queues: Queues
) -> None:
    queue, dead = await queues.make(TEN), await queues.make({})
    with reader_of(stack) as url:
        facts = await learn_facts(url, queue)
        assert not facts.kind
        assert "right to configure" in facts.unknown
        # It can't have the lock of those who look at dead letters, and looks without.
        assert (await DeadLetterBox(AmqpLetterQueue(url, dead, queue)).list()).complete
        inbox = AmqpInbox(url, queue)
        assert await inbox.fetch() is None
        await inbox.close()


async def test_where_quorum_queues_are_the_default_a_queue_with_priorities_can_still_be_made(
    stack: DevStack,
) -> None:
    host = f"m0-test-{uuid.uuid4().hex[:12]}"
    control(stack, "add_vhost", host, "--default-queue-type", "quorum")
    try:
        control(stack, "set_permissions", "-p", host, "m0", ".*", ".*", ".*")
        url = stack.env["M0_AMQP_URL"] + host
        spec = QueueSpec("requests", PRIORITY_QUEUE_ARGUMENTS)
        inbox = AmqpInbox(url, "requests", declare=(spec,))
        assert await inbox.fetch() is None
        await inbox.close()
        facts = await learn_facts(url, "requests")
        assert (facts.kind, facts.max_priority) == ("classic", 10)
    finally:
        control(stack, "delete_vhost", host)
