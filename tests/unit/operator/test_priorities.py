"""What a queue makes of ten priorities, and how that is found out."""

import itertools
from typing import Any

import pytest
from m0_operator.adapters.queue_kind import find_facts
from m0_operator.domain.priorities import QueueFacts, judge_priorities


@pytest.mark.parametrize(
    ("kind", "highest", "version", "count", "said"),
    [
        ("classic", 10, "4.0.5", 10, "all 10 priorities"),
        ("classic", 9, "3.13.7", 10, "all 10 priorities"),
        ("classic", 255, "4.3.0", 10, "all 10 priorities"),
        ("classic", None, "4.0.5", 1, "anew with x-max-priority 10"),
        ("classic", 5, "4.0.5", 6, "6 of 10 priorities apart, 5 to 9 are the same"),
        ("classic", 0, "4.0.5", 1, "1 of 10 priorities apart, 0 to 9 are the same"),
        ("quorum", None, "3.13.7", 1, "RabbitMQ 3.13.7, which knows no priorities"),
        ("quorum", None, "4.0.0", 2, "knows 2 priorities"),
        ("quorum", None, "4.2.9+x", 2, "knows 2 priorities"),
        ("quorum", None, "4.3.0-rc.1", 10, "all 10 priorities"),
        ("quorum", None, "10.0.0", 10, "all 10 priorities"),
        ("stream", None, "4.0.5", 1, "is a stream"),
    ],
)
def test_how_many_priorities_a_queue_has(
    kind: str, highest: int | None, version: str, count: int, said: str
) -> None:
    judged = judge_priorities(QueueFacts(kind, highest, version))
    assert judged.count == count
    assert judged.enough is (count == 10)
    assert said in judged.sentence


@pytest.mark.parametrize(
    "facts",
    [
        QueueFacts(unknown="no right to ask"),
        QueueFacts(),
        QueueFacts("quorum", version="unknown"),
        QueueFacts("quorum"),
    ],
    ids=str,
)
def test_what_is_not_known_is_no_alarm(facts: QueueFacts) -> None:
    judged = judge_priorities(facts)
    assert (judged.count, judged.enough) == (None, True)
    assert "not known" in judged.sentence


class OldBroker:
    """Compares a declaration with its queue as RabbitMQ does, argument by argument.

    Attributes:
        order: in which the arguments are compared.
        typeless: as before 4.0, when a classic queue had no type.
    """

    def __init__(
        self, arguments: dict[str, Any], order: tuple[str, ...], *, typeless: bool, durable: bool
    ) -> None:
        self.queue = {"durable": durable, "auto_delete": False} | arguments
        if not typeless:
            self.queue.setdefault("x-queue-type", "classic")
        self.order = ("durable", "auto_delete", *order)
        self.asked: list[dict[str, Any]] = []

    async def refusal(self, guess: dict[str, Any]) -> str:
        self.asked.append(guess)
        for name in self.order:
            given, current = guess.get(name), self.queue.get(name)
            if given == current:
                continue
            start = f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'q' in vhost '/': "
            if given is None:
                return start + f"received none but current is the value '{current}' of type 'byte'"
            if current is None:
                return start + f"received the value '{given}' of type 'longstr' but current is none"
            shown = str(current).lower() if isinstance(current, bool) else current
            return start + f"received '{given}' but current is '{shown}'"
        return "accepted"


QUEUES: list[tuple[dict[str, Any], str, int | None]] = [
    ({}, "classic", None),
    ({"x-max-priority": 10}, "classic", 10),
    ({"x-max-length": 1000, "x-max-priority": 5}, "classic", 5),
    ({"x-overflow": "reject-publish", "x-max-length": 7}, "classic", None),
    ({"x-queue-type": "quorum"}, "quorum", None),
    ({"x-queue-type": "quorum", "x-max-length": 7, "x-overflow": "drop-head"}, "quorum", None),
    ({"x-queue-type": "stream"}, "stream", None),
]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("typeless", [False, True])
@pytest.mark.parametrize(("arguments", "kind", "highest"), QUEUES, ids=str)
async def test_a_queue_is_known_by_its_refusals_and_never_made(
    arguments: dict[str, Any], kind: str, highest: int | None, typeless: bool, durable: bool
) -> None:
    names = ("x-queue-type", "x-max-priority", "x-max-length", "x-overflow")
    for order in itertools.permutations(names):
        broker = OldBroker(arguments, order, typeless=typeless, durable=durable)
        facts = await find_facts(broker.refusal, "4.0.5")
        assert facts == QueueFacts(kind, highest, "4.0.5")
        for guess in broker.asked:
            assert "m0-asks" in {guess.get("x-queue-type"), guess.get("x-max-priority")}


@pytest.mark.parametrize(
    "text",
    ["accepted", "", "PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'qqqqqqq"],
    ids=["accepted", "nothing", "cut off"],
)
async def test_an_answer_that_says_nothing_is_not_guessed_at(text: str) -> None:
    async def refusal(_: dict[str, Any]) -> str:
        return text

    assert await find_facts(refusal, "4.0.5") == QueueFacts(version="4.0.5", unknown=text)


async def test_a_broker_that_only_ever_refuses_is_not_asked_for_ever() -> None:
    numbers = itertools.count()

    async def refusal(_: dict[str, Any]) -> str:
        return f"inequivalent arg 'x-{'a' * next(numbers)}' for queue 'q': but current is 'x'"

    assert not (await find_facts(refusal, "")).kind
    assert next(numbers) < 50
