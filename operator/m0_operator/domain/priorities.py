"""How many priorities a queue really has, and what to do when it has fewer than M0 uses."""

import re
from dataclasses import dataclass

ASKED = 10
"""The contract's: 0 to 9."""

_QUORUM_TWO = (4, 0)
_QUORUM_ALL = (4, 3)


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the broker says of a queue.

    Attributes:
        kind: `classic`, `quorum` or `stream`; empty when unknown.
        max_priority: a classic queue's `x-max-priority`; None when it has none.
        version: the broker's, such as `4.0.5`.
        unknown: why the kind is not known.
    """

    kind: str = ""
    max_priority: int | None = None
    version: str = ""
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Priorities:
    """A judgement, for people.

    Attributes:
        count: levels among those asked for that are told apart; None when unknown.
        enough: whether all of them are, as far as that is known.
        sentence: what is the case, and what to do about it.
    """

    count: int | None
    enough: bool
    sentence: str


def judge_priorities(facts: QueueFacts, asked: int = ASKED) -> Priorities:
    """What the queue makes of `asked` priorities, 0 to `asked` - 1."""
    match facts.kind:
        case "classic":
            return _judge_classic(facts.max_priority, asked)
        case "quorum":
            return _judge_quorum(facts.version, asked)
        case "":
            return _unknown(facts.unknown or "the broker does not say what kind it is")
        case kind:
            return _too_few(
                1,
                f"The queue is a {kind}, which M0 can't take requests from: make it anew as a"
                f" classic queue with x-max-priority {asked}.",
            )


def _judge_classic(highest: int | None, asked: int) -> Priorities:
    remedy = f"a queue's arguments never change: make it anew with x-max-priority {asked}"
    if highest is None:
        return _too_few(
            1,
            "The queue is a classic one without x-max-priority: requests are taken in the order"
            f" they came, whatever their priority; {remedy}.",
        )
    if highest + 1 < asked:
        return _too_few(
            highest + 1,
            f"The queue is a classic one with x-max-priority {highest}: it tells {highest + 1} of"
            f" {asked} priorities apart, {highest} to {asked - 1} are the same; {remedy}.",
        )
    return _enough(asked, "classic")


def _judge_quorum(version: str, asked: int) -> Priorities:
    release = _release(version)
    if release is None:
        return _unknown("it is a quorum queue of a broker that does not say its version")
    if release >= _QUORUM_ALL:
        return _enough(asked, "quorum")
    remedy = f"RabbitMQ 4.3 tells all apart, and so does a classic one with x-max-priority {asked}"
    if release >= _QUORUM_TWO:
        return _too_few(
            2,
            f"The queue is a quorum queue of RabbitMQ {version}, which knows 2 priorities: 0 to 4"
            f" and above, and takes one of the lower after two of the higher; {remedy}.",
        )
    return _too_few(
        1,
        f"The queue is a quorum queue of RabbitMQ {version}, which knows no priorities: requests"
        f" are taken in the order they came; {remedy}.",
    )


def _enough(count: int, kind: str) -> Priorities:
    said = f"The queue is a {kind} one that tells all {count} priorities apart."
    return Priorities(count, enough=True, sentence=said)


def _too_few(count: int, sentence: str) -> Priorities:
    return Priorities(count, enough=False, sentence=sentence)


def _unknown(why: str) -> Priorities:
    said = f"How many priorities the queue has is not known: {why}."
    return Priorities(None, enough=True, sentence=said)


def _release(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(found[1]), int(found[2])) if found else None
