"""What has happened, and what must hold at every single effect.

Each resource is a life: it begins when it is created, ends when its end is on record, and
is gone when the API server lets it go. `checks` asks at the end what it all comes to.
"""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from m0_contract.resource import FINALIZER, REQUEST_ANNOTATION

from simulation.process import Process
from simulation.records import ENDS, Letter, Life, Message
from simulation.world import World

Missing = Callable[[Life], list[int]]
"""Chunks of a life that are not stored, recorded and announced."""


class Ledger:
    """Hears of every effect at the moment it is done."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lives: dict[str, Life] = {}
        self.letters: list[Letter] = []
        self.messages: list[Message] = []
        self.told: defaultdict[int | str, list[str]] = defaultdict(list)
        self.stats: Counter[str] = Counter()
        self.seen: defaultdict[Process, set[str]] = defaultdict(set)
        self._counted: dict[Process, set[str]] = {}
        self.leader: Process | None = None
        self.term = 0
        self.deleting: Callable[[Life], bool] = lambda _: False
        self.missing: Missing = lambda _: []
        self._cursor: dict[int | str, tuple[int, bool]] = {}

    # --- the leader ------------------------------------------------------------------------

    def lease_written(self, by: Process, holder: str) -> None:
        """The Lease has been taken, renewed or released."""
        if not holder:
            self.leader = None
        elif self.leader is not by:
            self.leader = by
            self.term += 1
            by.term = self.term
            self.world.say(by, f"leads, term {self.term}")

    def acts(self, by: Process, what: str) -> None:
        """It is about to do something that no version and no uid guards."""
        self.stats["effects"] += 1
        if by.term != self.term or by.term == 0:
            self.world.blame(f"{by} (term {by.term}) does {what} in term {self.term}")
        elif self.leader is None:
            self.world.blame(f"{by} does {what} though it has released its Lease")

    # --- resources -------------------------------------------------------------------------

    def saw(self, by: Process, uid: str) -> None:
        """It has read this resource, and must count it from now on."""
        self.seen[by].add(uid)

    def asks_for_a_message(self, by: Process) -> None:
        """It has found a slot free."""
        self._counted[by] = set(self.seen[by])

    def takes_a_slot(self, by: Process) -> None:
        """It is about to create a resource for a message that it asked for."""
        known = [self.lives[uid] for uid in self._counted[by]]
        active = [life.name for life in known if life.phase not in ENDS and life.gone_s is None]
        if len(active) >= self.world.plan.limit:
            self.world.blame(f"{by} takes a message though {active} are unfinished")

    def created(self, resource: dict[str, Any]) -> None:
        """A resource has been created."""
        meta, spec = resource["metadata"], resource["spec"]
        origin = spec.get("origin")
        self.lives[meta["uid"]] = Life(
            meta["uid"],
            meta["name"],
            spec["processId"],
            base64.b64decode(origin["body"]) if origin else None,
            "rejection" not in spec,
            self.world.time,
            FINALIZER in meta.get("finalizers", ()),
            headers=origin["headers"] if origin else {},
            writes=1,
        )

    def recorded(self, resource: dict[str, Any], *, progress_only: bool) -> None:
        """A status has been written."""
        life, status = self.lives[resource["metadata"]["uid"]], resource.get("status") or {}
        life.writes += not progress_only
        phase = status.get("phase")
        if life.phase in ENDS and phase != life.phase:
            self.world.blame(f"{life.name} was {life.phase} and is {phase}")
        if phase in ENDS and life.finished_s is None:
            life.finished_s = self.world.time
        life.phase = phase
        if phase == "Succeeded" and self.missing(life):
            self.world.blame(f"{life.name} has succeeded without the chunks {self.missing(life)}")
        conditions = {item["type"]: item for item in status.get("conditions", ())}
        life.lettered = conditions.get("DeadLettered", {}).get("status") == "True"
        if life.lettered and not self.letters_of(life):
            self.world.blame(f"{life.name}'s dead letter is on record, but was never stored")
        life.acknowledged = bool(status.get("acknowledged"))
        life.reported = status.get("reported")
        if life.reported and self.world.plan.backend and not self._was_told(life):
            self.world.blame(f"{life.name}: {life.reported} is on record, but was never told")

    def _was_told(self, life: Life) -> bool:
        return life.reported in self.told[life.process_id]

    def finalizers_set(self, resource: dict[str, Any]) -> None:
        """The finalizers have been replaced."""
        life = self.lives[resource["metadata"]["uid"]]
        life.writes += 1
        life.held = life.held or FINALIZER in resource["metadata"]["finalizers"]

    def deleted(self, uid: str) -> None:
        """The operator asks for an end of something, if it is still there."""
        life = self.lives.get(uid)
        if life is not None and life.gone_s is None:
            life.deleted_by_operator = not self.deleting(life)

    def gone(self, resource: dict[str, Any]) -> None:
        """The API server has let a resource go."""
        life = self.lives[resource["metadata"]["uid"]]
        life.gone_s = self.world.time
        if life.held:
            for problem in self.unfinished_business(life):
                self.world.blame(f"{life.name} is gone, but {problem}")

    def was_replaced(self, life: Life) -> bool:
        """Whether the operator made room for a new try at the same request."""
        later = [other for other in self.lives.values() if other.created_s > life.created_s]
        heir = next((other for other in later if other.name == life.name), None)
        return life.deleted_by_operator and heir is not None and heir.body == life.body

    def unfinished_business(self, life: Life) -> list[str]:
        """What is still owed to others about a life."""
        owed = []
        if life.phase not in ENDS:
            owed.append(f"its phase was {life.phase}")
        if life.failed and not self.letters_of(life):
            owed.append("it failed without a dead letter")
        if life.phase == "Succeeded" and self.letters_of(life):
            owed.append("it succeeded and was dead-lettered")
        return owed

    def job_created(self, job: dict[str, Any], unfinished: list[str]) -> None:
        """A Job has been created; `unfinished` are others of the same resource."""
        owner = job["metadata"]["ownerReferences"][0]["uid"]
        life = self.lives[owner]
        life.writes += 1
        life.jobs.append(job["metadata"]["name"])
        if unfinished:
            self.world.blame(f"{life.name} has two Jobs at once: {life.jobs}")
        if life.phase in ENDS:
            self.world.blame(f"{life.name} is {life.phase} and gets a Job")
        text = job["spec"]["template"]["metadata"]["annotations"][REQUEST_ANNOTATION]
        if life.body is not None and text.encode() != life.body:
            self.world.blame(f"{life.name}'s Job has another request")

    def count_write(self, uid: str) -> None:
        """Some other write about a life."""
        self.lives[uid].writes += 1

    # --- messages --------------------------------------------------------------------------

    def acked(self, by: Process, message: Message) -> None:
        """The broker has forgotten a message."""
        message.acked_s, message.acked_by = self.world.time, by
        if not self.covers(message):
            self.world.blame(f"message {message.serial} is acknowledged, but nothing holds it")

    def covers(self, message: Message) -> list[str]:
        """Lives and refusals that may stand for this message.

        One that had been dead-lettered when the message came does not: it is a replay.
        """
        lives = [
            life.uid
            for life in self.lives.values()
            if life.body == message.body
            and (life.gone_s is None or life.gone_s > message.at_s)
            and (
                not self._lettered_before(life, message) or self._looks_like_an_echo(life, message)
            )
        ]
        return lives + [
            letter.id
            for letter in self.letters
            if letter.body == message.body
            and letter.at_s > message.at_s
            and letter.id.startswith("m0-refused-")
        ]

    def _lettered_before(self, life: Life, message: Message) -> bool:
        return any(letter.at_s <= message.at_s for letter in self.letters_of(life))

    def _looks_like_an_echo(self, life: Life, message: Message) -> bool:
        """Whether nobody can know that this is a replay.

        Sent with the very headers of the original, itself delivered twice, and who
        acknowledged the original died before that was on record, or never heard of it.
        """
        return (
            not life.acknowledged
            and len(message.delivered_s) > 1
            and message.headers == life.headers
            and not any(
                other.body == life.body and other.acked_by is message.acked_by and other.ack_known
                for other in self.messages
                if other is not message
            )
        )

    def letters_of(self, life: Life) -> list[Letter]:
        """The copies of its dead letter."""
        return [letter for letter in self.letters if letter.id == f"m0-failed-{life.uid}"]

    def lettered(self, letter: Letter) -> None:
        """A dead letter has been stored."""
        before = [item for item in self.letters if item.id == letter.id]
        self.letters.append(letter)
        life = self.lives.get(letter.id.removeprefix("m0-failed-"))
        if life is not None:
            if life.body is not None and letter.body != life.body:
                self.world.blame(f"{life.name}'s dead letter has another body")
            if not life.failed:
                self.world.blame(f"{life.name} is {life.phase} and is dead-lettered")
        elif not any(m.body == letter.body and m.at_s < letter.at_s for m in self.messages):
            self.world.blame(f"a dead letter of nothing: {letter.id}")
        if not before:
            return
        self.stats["dead letters twice"] += 1
        # A refusal may come again whenever the acknowledgement was lost, and it is the same
        # for messages that nothing tells apart.
        if life is not None and before[-1].known and self._acts_still(before[-1].by):
            self.world.blame(f"{letter.id} is sent again though it was confirmed to {letter.by}")

    def _acts_still(self, process: Process) -> bool:
        return not process.gone and process.term == self.term

    # --- the backend -----------------------------------------------------------------------

    def hears(self, process_id: int | str, status: str) -> None:
        """The backend has got a status, and has taken or refused it."""
        before = self.told[process_id][-1:]
        self.told[process_id].append(status)
        if before == [status]:
            self.stats["statuses twice"] += 1
            return
        lives = [life for life in self.lives.values() if life.process_id == process_id]
        index, ended = self._cursor.get(process_id, (-1, True))
        if status == "QUEUED":
            fits = ended and index + 1 < len(lives)
            index, ended = index + 1, False
        elif ended:
            fits = index + 1 < len(lives) and not lives[index + 1].valid
            index += 1
        else:
            fits, ended = True, True
        self._cursor[process_id] = (index, ended)
        if not fits:
            self.world.blame(f"the backend hears of {process_id}: {self.told[process_id]}")
