"""Learning what kind a queue is, over AMQP alone and without changing anything.

A declaration that differs from the queue is refused with a sentence that says where it
differs. So we declare what no queue can be: it is refused where the queue exists, and
where it doesn't, since no queue can be made like that. Each refusal costs a channel
and names one difference; we put that right and ask again until we know enough.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from m0_wire.errors import BrokerUnavailableError

from m0_operator.adapters.broker import bounded
from m0_operator.domain.priorities import QueueFacts, judge_priorities

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
_ROUNDS = 16
_KIND, _PRIORITY = "x-queue-type", "x-max-priority"
_IMPOSSIBLE: dict[str, Any] = {_KIND: "m0-asks", _PRIORITY: "m0-asks"}
_DIFFERENCE = re.compile(
    r"inequivalent arg '(?P<name>[a-z_-]+)' for queue .*?but current is"
    r" (?:(?P<none>none)|the value '(?P<typed>.*)' of type '(?P<type>\w+)'|'(?P<plain>.*)')\s*$",
    re.DOTALL,
)
Refusal = Callable[[dict[str, Any]], Awaitable[str]]

_OURS = {"durable": True, "auto_delete": False}


async def say_priorities(url: str, queue: str) -> None:
    """Log what the queue makes of priorities. Never raises: nothing depends on it."""
    try:
        facts = await learn_facts(url, queue)
    except Exception as error:  # noqa: BLE001 - nothing depends on it
        facts = QueueFacts(unknown=str(error) or type(error).__name__)
    judged = judge_priorities(facts)
    logger.log(
        logging.INFO if judged.enough else logging.WARNING,
        "Priorities of the queue",
        extra={
            "queue": queue,
            "kind": facts.kind or "unknown",
            "priorities": judged.count,
            "reason": judged.sentence,
        },
    )


async def learn_facts(url: str, queue: str, timeout_s: float = TIMEOUT_S) -> QueueFacts:
    """Ask the broker, over a connection for this alone.

    Raises:
        BrokerUnavailableError: there is no broker, or no such queue.
    """
    async with bounded(f"asking what kind {queue} is", timeout_s):
        connection = await aio_pika.connect(
            url, client_properties={"connection_name": f"m0-operator asks about {queue}"}
        )
    try:
        async with bounded(f"asking what kind {queue} is", timeout_s):
            await (await connection.channel()).get_queue(queue, ensure=True)
            return await _ask_on(connection, queue)
    finally:
        with suppress(BrokerUnavailableError):
            async with bounded("closing", 3):
                await connection.close()


async def _ask_on(connection: AbstractConnection, queue: str) -> QueueFacts:
    transport = connection.transport
    properties = transport.connection.server_properties if transport is not None else {}
    version = str(properties.get("version", ""))
    if properties.get("product") != "RabbitMQ":
        return QueueFacts(version=version, unknown="the broker is not RabbitMQ")
    return await find_facts(lambda guess: _refusal(connection, queue, guess), version)


async def find_facts(refusal: Refusal, version: str) -> QueueFacts:
    """Guess until the differences have said what we want to know.

    Args:
        refusal: why the broker refuses a declaration like this guess.
    """
    guess, known = {**_IMPOSSIBLE, **_OURS}, dict[str, Any]()
    for _ in range(_ROUNDS):
        text = await refusal(guess)
        difference = _DIFFERENCE.search(text)
        if difference is None:
            return QueueFacts(version=version, unknown=text)
        name, value = difference["name"], _value(difference)
        known[name] = value
        kind = "classic" if known.get(_KIND, "") is None else known.get(_KIND)
        if kind and (kind != "classic" or _PRIORITY in known):
            highest = known.get(_PRIORITY)
            return QueueFacts(kind, highest if isinstance(highest, int) else None, version)
        # One of the two stays impossible: not even now can a queue come of it.
        guess = _put_right(guess, name, value)
    return QueueFacts(version=version, unknown="it has too many arguments")


def _put_right(guess: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    rest = {key: item for key, item in guess.items() if key != name}
    if value is not None:
        return {**rest, name: value}
    if name == _KIND and guess.get(_KIND) != "classic":
        # Old brokers give a classic queue no type; newer ones may give one without a type another.
        return {**rest, _KIND: "classic"}
    return rest


def _value(difference: re.Match[str]) -> Any:
    """The queue's own value: a number where it looks like one."""
    if difference["none"]:
        return None
    text = difference["typed"] if difference["typed"] is not None else difference["plain"]
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


async def _refusal(connection: AbstractConnection, queue: str, guess: dict[str, Any]) -> str:
    channel = await connection.channel(publisher_confirms=False)
    arguments = {key: value for key, value in guess.items() if key not in _OURS}
    try:
        await channel.declare_queue(
            queue,
            durable=guess["durable"],
            auto_delete=guess["auto_delete"],
            arguments=arguments,
        )
    except ChannelPreconditionFailed as error:
        return str(error)
    except ChannelAccessRefused:
        return "the broker tells only who has the right to configure the queue"
    await channel.close()
    return "the broker does not compare arguments"
