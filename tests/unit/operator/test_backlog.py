"""What is known of the queues' messages, and for how long they can have waited."""

import asyncio

import pytest
from m0_operator.services import backlog
from m0_operator.services.backlog import Backlog
from m0_wire.errors import BrokerUnavailableError


class Answers:
    """A broker that gives these answers, a second of the clock apart, then stops the asking."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers = list(answers)
        self.stop = asyncio.Event()
        self.now = 1000.0
        self.closed = False

    async def depth(self, queue: str) -> int | None:
        assert queue == "M0_PRIORITY_QUEUE"
        answer = self.answers.pop(0)
        if not self.answers:
            self.stop.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


async def after(monkeypatch: pytest.MonkeyPatch, *answers: int | Exception | None) -> Backlog:
    """The backlog one second after the last of these answers."""
    broker = Answers(*answers)

    async def a_second(_: asyncio.Event, seconds: float) -> None:
        assert seconds == backlog.EVERY_S
        broker.now += 1

    monkeypatch.setattr(backlog, "pause", a_second)
    made = Backlog(broker, {"requests": "M0_PRIORITY_QUEUE"}, clock=lambda: broker.now)
    await made.follow(broker.stop)
    assert broker.closed
    return made


async def test_no_message_is_older_than_the_last_sight_of_the_queue_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await after(monkeypatch, 5, 0, 0, 3, 9)
    assert found.messages == {"requests": 9}
    assert found.not_empty_s() == {"requests": 3}


async def test_an_empty_queue_has_no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await after(monkeypatch, 3, 0)
    assert (found.messages, found.not_empty_s()) == ({"requests": 0}, {"requests": 0})


async def test_one_never_seen_empty_counts_from_the_first_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await after(monkeypatch, 5, 5, 5)
    assert found.not_empty_s() == {"requests": 3}


@pytest.mark.parametrize("answer", [None, BrokerUnavailableError("away"), ValueError("odd")])
async def test_unknown_is_not_zero_and_not_empty(
    monkeypatch: pytest.MonkeyPatch, answer: Exception | None
) -> None:
    found = await after(monkeypatch, 0, 4, answer)
    assert (found.messages, found.not_empty_s()) == ({}, {})
    found = await after(monkeypatch, 0, 4, answer, 2)
    assert found.not_empty_s() == {"requests": 4}
