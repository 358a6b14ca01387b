"""What must hold at the end of a run, when faults have ended and the world has come to rest."""

import json
from collections import Counter
from itertools import groupby
from typing import Any

from simulation.incarnation import Surroundings
from simulation.ledger import Ledger
from simulation.records import ENDS, Letter, Life, Message

CALM_WRITES = 8


def is_at_rest(around: Surroundings) -> bool:
    """Whether nothing is left to be done."""
    ledger, server = around.ledger, around.server
    if around.broker.backlog or ledger.leader is None:
        return False
    if any("deletionTimestamp" in item["metadata"] for item in server.all("resource").values()):
        return False
    present = [life for life in ledger.lives.values() if life.gone_s is None]
    return all(not _owed(around, life) and life.finished_s is not None for life in present)


def _owed(around: Surroundings, life: Life) -> list[str]:
    owed = around.ledger.unfinished_business(life)
    if life.failed and not life.lettered:
        owed.append("its dead letter is not on record")
    plan = around.world.plan
    expected = life.expected_reports(plan.handed_over)
    if life.phase in ENDS and life.reported != expected[-1]:
        owed.append(f"the last status on record as told is {life.reported}")
    return owed


def check_end(around: Surroundings, apps: list[Any]) -> list[str]:
    """All that is wrong, in words."""
    problems = _check_lives(around) + _check_messages(around) + _check_backend(around)
    problems += _check_leftovers(around)
    return problems + [problem for app in apps for problem in _check_memory(around, app)]


def _check_lives(around: Surroundings) -> list[str]:
    problems = []
    for life in around.ledger.lives.values():
        if life.gone_s is not None and not life.held:
            # Applied and deleted by people before the operator saw it.
            continue
        if life.gone_s is None:
            problems += [f"{life.name}: {what}" for what in _owed(around, life)]
        ids = {letter.id for letter in around.ledger.letters_of(life)}
        if len(ids) != (1 if life.failed else 0):
            problems.append(f"{life.name} is {life.phase} and has dead letters {ids}")
        if _was_calm(around, life) and life.writes > CALM_WRITES:
            problems.append(f"{life.name} took {life.writes} API writes")
    return problems


def _was_calm(around: Surroundings, life: Life) -> bool:
    if not around.world.plan.calm or life.phase != "Succeeded" or life.body is None:
        return False
    return bool(json.loads(life.body)["inference_config"]["film"]["ends"] == ["ok"])


def _check_messages(around: Surroundings) -> list[str]:
    """Each message has come to something, and no more has come of them than there were."""
    ledger = around.ledger
    problems = [
        f"message {message.serial} is still unacknowledged"
        for message in ledger.messages
        if message.acked_s is None
    ]
    sent = Counter(message.body for message in ledger.messages)
    for body, count in sent.items():
        lives = [life for life in ledger.lives.values() if life.body == body]
        messages = [message for message in ledger.messages if message.body == body]
        refusals = {
            letter.id
            for letter in ledger.letters
            if letter.body == body
            and letter.id.startswith("m0-refused-")
            and not _came_again(messages, letter)
        }
        more = len(lives) + len(refusals) - count - _forgotten(ledger, messages, lives)
        if more > 0:
            names = [f"{life.name} ({life.uid})" for life in lives]
            problems.append(f"{count} messages became {names} and {refusals}: {body[:100]!r}")
    return problems


def _forgotten(ledger: Ledger, messages: list[Message], lives: list[Life]) -> int:
    """Lives that had come and gone before their message was off the queue.

    Its acknowledgement was lost, and people deleted the resource, or another message
    replaced it, before it came again: then nothing is left by which it could be told.
    """
    alone = len(messages) == 1
    last_ack_s = max((message.acked_s or 0.0 for message in messages), default=0.0)
    return sum(
        life.gone_s is not None
        and life.gone_s < last_ack_s
        and not (alone and ledger.was_replaced(life))
        for life in lives
    )


def _came_again(messages: list[Message], letter: Letter) -> bool:
    """Whether a refused message was delivered again after that, its acknowledgement lost.

    If what it was in conflict with has gone meanwhile, then it runs; nothing remembers it.
    """
    return any(at_s > letter.at_s for message in messages for at_s in message.delivered_s[1:])


def _check_backend(around: Surroundings) -> list[str]:
    """Told in order, each life's statuses; the same one again is no new status."""
    ledger, plan = around.ledger, around.world.plan
    if not plan.backend:
        return []
    wanted: dict[int | str, list[str]] = {}
    for life in ledger.lives.values():
        if life.gone_s is None or life.held:
            wanted.setdefault(life.process_id, []).extend(life.expected_reports(plan.handed_over))
    return [
        f"the backend was told of {process_id}: {ledger.told[process_id]}, not {statuses}"
        for process_id, statuses in wanted.items()
        if _collapse(ledger.told[process_id]) != _collapse(statuses)
    ]


def _collapse(statuses: list[str]) -> list[str]:
    return [status for status, _ in groupby(statuses)]


def _check_leftovers(around: Surroundings) -> list[str]:
    problems = []
    if around.broker.backlog:
        problems.append(f"{around.broker.backlog} messages are not off the queue")
    for kind in ("resource", "job"):
        for name, item in around.server.all(kind).items():
            if "deletionTimestamp" in item["metadata"]:
                problems.append(f"{kind} {name} is held: {item['metadata'].get('finalizers')}")
    for name, job in around.server.all("job").items():
        if not job["status"].get("conditions"):
            problems.append(f"job {name} has not ended")
    return problems


def _check_memory(around: Surroundings, app: Any) -> list[str]:
    """What the leader remembers: a slot that is never freed, a resource that is long gone."""
    problems = []
    present = {item["metadata"]["uid"] for item in around.server.all("resource").values()}
    if app._slots.active:
        problems.append(f"{app._slots.active} slots are taken by finished resources")
    found = (item["metadata"] for item in around.server.all("resource").values())
    there = {item["name"]: item["resourceVersion"] for item in found}
    known = set(app._reconciler.known)
    settled = {name for name, (version, _) in app._settled._until.items()
               if there.get(name) == version}  # fmt: skip
    if not known <= set(there) <= known | settled:
        problems.append(f"the leader knows {sorted(known)}, settled are {sorted(settled)}")
    if not app._acknowledged <= present:
        problems.append(f"acknowledged of no resource: {sorted(app._acknowledged - present)}")
    return problems
