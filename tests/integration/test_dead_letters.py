"""The dead letters on the real RabbitMQ, in both kinds of queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aio_pika
import pytest
from devstack import DevStack
from integration.queues import CLASSIC, QUORUM, TEN, Queues, queues_of
from integration.servers import cut, line_to
from m0_operator.adapters.broker import AmqpPublisher
from m0_operator.adapters.letters import AmqpHeld, AmqpLetterQueue
from m0_operator.domain.letters import LetterFilter
from m0_operator.services.dead_letters import DeadLetterBox
from m0_wire.errors import BrokerUnavailableError, UnroutableError

REQUEST = {
    "process_id": 7, "inference_modality": "batch", "cloud_stream_path": "s3://b/k.mp4",
    "destination_prefix": "out/", "cache_container_name": "cache",
    "video_preprocessing": {"chunk_duration": 60},
}  # fmt: skip
HEADERS: dict[str, Any] = {
    "x-m0-error-code": "NOT_MEDIA",
    "x-m0-process-id": 7,
    "x-m0-failed-at": "2026-01-01T00:00:00Z",
    "trace": "t1 ü",
    "list": [1, -2, 2**40, None, True, "x"],
    "table": {"when": datetime(2026, 1, 1, tzinfo=UTC), "price": Decimal("1.25")},
    "number": 0.1,
    "bytes": bytearray(b"\xff\x00"),
}


class _NoId(str):
    """The library makes an id up where there is none; other libraries don't."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


@dataclass
class Post:
    """A dead-letter queue, a queue of requests, and what looks through them."""

    queues: Queues
    dead: str
    requests: str

    def box(self, **more: Any) -> DeadLetterBox:
        return DeadLetterBox(AmqpLetterQueue(self.queues.url, self.dead, self.requests, **more))

    async def bury(self, *numbers: int, **more: Any) -> None:
        """Write letters as the operator does."""
        publisher = AmqpPublisher(self.queues.url, self.dead, name="test")
        for number in numbers:
            headers = HEADERS | {"x-m0-process-id": number} | more
            body = f" {number} ".encode()
            key = f"m0-failed-{number}"
            await publisher.publish(body, headers=headers, priority=number % 10, message_id=key)
        await publisher.close()

    async def left(self) -> list[str]:
        return [message.body.decode().strip() for message in await self.queues.drain(self.dead)]

    async def sent(self) -> list[str]:
        return [message.body.decode().strip() for message in await self.queues.drain(self.requests)]


@pytest.fixture(params=[CLASSIC, QUORUM], ids=["classic", "quorum"])
async def post(stack: DevStack, request: pytest.FixtureRequest) -> AsyncIterator[Post]:
    async with queues_of(stack.env["M0_AMQP_URL"]) as queues:
        requests = await queues.make(TEN if request.param == CLASSIC else QUORUM)
        yield Post(queues, await queues.make(request.param), requests)


async def test_letters_are_listed_and_shown_and_stay_as_they_are(post: Post) -> None:
    await post.bury(1, 2, 3)
    listing = await post.box().list(LetterFilter(code="NOT_MEDIA"), limit=2)
    assert (listing.matched, listing.complete, len(listing.letters)) == (3, True, 2)
    shown = await post.box().show("m0-failed-2")
    assert shown is not None
    assert shown.body == b" 2 "
    assert shown.headers == HEADERS | {"x-m0-process-id": 2}
    assert (shown.letter.priority, shown.letter.process_id) == (2, 2)
    assert await post.box().show("m0-failed-9") is None
    assert await post.left() == ["1", "2", "3"]


async def test_a_replay_is_the_message_as_it_was(post: Post) -> None:
    await post.bury(8, 9)
    done = await post.box().replay(["m0-failed-8"])
    assert [letter.id for letter in done.letters] == ["m0-failed-8"]
    (message,) = await post.queues.drain(post.requests)
    assert (message.body, message.message_id) == (b" 8 ", "m0-failed-8")
    assert (message.priority, message.delivery_mode) == (8, 2)
    headers = {k: v for k, v in message.headers.items() if k != "x-delivery-count"}
    assert headers == HEADERS | {"x-m0-process-id": 8}
    assert repr(headers["bytes"]) == repr(HEADERS["bytes"])
    assert list(map(type, headers["list"])) == list(map(type, HEADERS["list"]))
    assert await post.left() == ["9"]


async def test_a_replay_with_a_change_and_another_priority(post: Post) -> None:
    await post.bury(1)
    new = json.dumps(REQUEST).encode()
    await post.box().replay(["m0-failed-1"], edit=new, priority=9)
    (message,) = await post.queues.drain(post.requests)
    assert (message.body, message.priority, message.message_id) == (new, 9, "m0-failed-1")


async def test_a_strangers_message_is_replayed_but_for_what_is_not_ours_to_repeat(
    post: Post,
) -> None:
    odd = aio_pika.Message(
        b"\xff",
        headers={"CC": [post.dead], "a": 1},
        correlation_id="c1",
        content_type="text/plain",
        user_id="m0",
        expiration=timedelta(hours=1),
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    )
    odd.message_id = _NoId()
    await post.queues.put(post.requests, odd)
    await post.queues.drain(post.requests)  # By its CC it is in both.
    (letter,) = (await post.box().list()).letters
    assert letter.id.startswith("m0-refused-")
    await post.box().replay([letter.id])
    (message,) = await post.queues.drain(post.requests)
    assert (message.message_id, message.correlation_id) == (letter.id, "c1")
    assert (message.content_type, message.timestamp) == ("text/plain", odd.timestamp)
    assert (message.expiration, message.user_id) == (None, None)
    assert await post.left() == []


async def test_a_purge_removes_for_good(post: Post) -> None:
    await post.bury(1, 2, 3, 1)
    done = await post.box().purge(["m0-failed-1", "m0-failed-4"])
    assert (len(done.letters), done.missing) == (1, {"m0-failed-4"})
    assert await post.left() == ["2", "3"]
    assert await post.sent() == []


async def test_a_queue_larger_than_a_look_keeps_its_letters(post: Post) -> None:
    await post.bury(*range(1, 8))
    box = DeadLetterBox(AmqpLetterQueue(post.queues.url, post.dead, post.requests), at_most=3)
    listing = await box.list()
    assert (listing.matched, listing.complete) == (3, False)
    # Page by page: what was replayed is gone, so the next ones come.
    for _ in range(3):
        await box.replay(LetterFilter())
    assert sorted(await post.sent()) == [str(number) for number in range(1, 8)]
    assert await post.left() == []


async def test_letters_outlive_many_looks(post: Post) -> None:
    """A quorum queue drops by default what it got back more than 20 times."""
    await post.bury(1, 2, 3)
    for _ in range(45):
        assert (await post.box().list()).matched == 3
    for message in sorted(await post.queues.drain(post.dead), key=lambda m: m.body):
        number = int(message.body)
        headers = {k: v for k, v in message.headers.items() if k != "x-delivery-count"}
        assert headers == HEADERS | {"x-m0-process-id": number}
        assert (message.message_id, message.priority) == (f"m0-failed-{number}", number)


async def test_people_take_turns_and_each_sees_everything(post: Post) -> None:
    await post.bury(*range(1, 21))
    listings = await asyncio.gather(*(post.box().list() for _ in range(5)))
    assert [listing.matched for listing in listings] == [20] * 5
    await asyncio.gather(*(post.box().replay(LetterFilter()) for _ in range(5)))
    assert sorted(map(int, await post.sent())) == list(range(1, 21))
    assert await post.left() == []


async def test_who_can_not_have_a_turn_is_told(post: Post) -> None:
    await post.bury(1)
    queue = AmqpLetterQueue(post.queues.url, post.dead, post.requests)
    async with queue.look():
        with pytest.raises(BrokerUnavailableError, match="somebody else"):
            await post.box(patience_s=0.5).list()
    assert (await post.box().list()).matched == 1


async def test_without_turns_nothing_is_lost_and_nothing_is_sent_twice(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_lock(*_: object) -> None:
        return

    monkeypatch.setattr(AmqpLetterQueue, "_lock", no_lock)
    await post.bury(*range(1, 41))
    looks = [post.box().list() for _ in range(3)]
    await asyncio.gather(*looks, *(post.box().replay(LetterFilter()) for _ in range(4)))
    await post.box().replay(LetterFilter())
    assert sorted(map(int, await post.sent())) == list(range(1, 41))


async def test_what_comes_in_during_a_look_waits_for_the_next(post: Post) -> None:
    await post.bury(1, 2)
    queue = AmqpLetterQueue(post.queues.url, post.dead, post.requests)
    async with queue.look() as look:
        await look.take()
        await post.bury(3)
    assert (await post.box().list()).matched == 3


async def test_a_crash_between_the_copy_and_its_removal_leaves_the_letter_in_both(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.bury(1, 2)
    acknowledge = AmqpHeld.ack
    with line_to(post.queues.url) as (line, url), monkeypatch.context() as patched:

        async def die(held: AmqpHeld) -> None:
            line.to_server = cut
            await acknowledge(held)

        patched.setattr(AmqpHeld, "ack", die)
        box = DeadLetterBox(AmqpLetterQueue(url, post.dead, post.requests))
        with pytest.raises(BrokerUnavailableError, match="1 were replayed"):
            await box.replay(LetterFilter())
    await post.box().replay(LetterFilter())
    sent = await post.queues.drain(post.requests)
    ids = sorted(message.message_id or "" for message in sent)
    assert ids == ["m0-failed-1", "m0-failed-1", "m0-failed-2"], "the intake drops the second"
    twins = [message for message in sent if message.message_id == "m0-failed-1"]
    assert twins[0].body == twins[1].body
    assert await post.left() == []


async def test_a_missing_queue_is_said_and_costs_nothing(post: Post) -> None:
    await post.bury(1)
    nowhere = DeadLetterBox(AmqpLetterQueue(post.queues.url, post.dead, "m0-test-no-such-queue"))
    with pytest.raises(UnroutableError):
        await nowhere.replay(LetterFilter())
    no_letters = DeadLetterBox(AmqpLetterQueue(post.queues.url, "m0-test-no-such-queue", "x"))
    with pytest.raises(BrokerUnavailableError, match="NOT_FOUND"):
        await no_letters.list()
    assert await post.left() == ["1"]


async def test_a_dead_letter_goes_nowhere_but_to_its_queue(post: Post) -> None:
    """A sender's CC would put each dead letter among the requests again, for ever."""
    await post.bury(1, CC=[post.requests])
    assert await post.sent() == []
    assert await post.left() == ["1"]
