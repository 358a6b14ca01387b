"""The matrix, as data: what is asked for, where it dies or what happens to it, and when."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "copy",
    "transcode",
    "applied",
    "replayed",
    "missing",
    "no film",
    "invalid",
    "garbage",
    "deleted",
]
"""What is asked for. The first four must end with all chunks handed on: a film cut as it is, one
in another size and rate, a resource applied by hand without any message, and a dead letter sent
again once its film is there. The others must end with one dead letter: an object that isn't there,
an object that is no film, a request without a field, no JSON, and a resource that is deleted while
its film is cut."""

Moment = Literal["before", "taken", "cutting", "ending", "telling"]
"""When it happens: before the request is sent; when its resource exists but the message is not
acknowledged; when the chunker has a row but no message for its second chunk (a request that
fails: when it knows); when the chunker is done but has not said so; when the operator is about
to tell others of the end."""

HOLDS: dict[Moment, dict[Kind, tuple[str, int]]] = {
    "before": {},
    "taken": {"copy": ("intake.created", 0)},
    "cutting": {
        "copy": ("chunk.recorded", 1),
        "transcode": ("chunk.recorded", 1),
        "deleted": ("chunk.recorded", 1),
        "missing": ("outcome.before-written", 0),
    },
    "ending": {
        "copy": ("outcome.before-written", 0),
        "transcode": ("outcome.before-written", 0),
        "missing": ("outcome.before-written", 0),
    },
    "telling": {
        # The first thing told is QUEUED.
        "copy": ("before.ReportBackend", 1),
        "missing": ("before.PublishDeadLetter", 0),
    },
}
"""Where a process is held at that moment: the crash point, and how often it passes before."""


@dataclass(frozen=True)
class Crash:
    """A process dies at this point; `skip`: it passes so many times before."""

    point: str
    skip: int = 0

    def __str__(self) -> str:
        return f"{self.point} ({self.skip + 1}.)" if self.skip else self.point

    @property
    def in_chunker(self) -> bool:
        """Whether it is a chunker that dies."""
        return self.point.split(".")[0] in {"source", "chunk", "outcome"}


@dataclass(frozen=True)
class Cell:
    """One request.

    Attributes:
        kind: what is asked for.
        crashes: where a process dies that is busy with it.
        letters: dead letters that may come of it, at most: more than one only where a process
            dies between the broker's confirmation and its record; all have one message id.
    """

    kind: Kind
    crashes: tuple[Crash, ...] = ()
    letters: int = 1


@dataclass(frozen=True)
class Scene:
    """Requests that are sent at once, and the fault that all of them meet.

    Attributes:
        cells: the requests.
        fault: one of `faults.FAULTS`, or none.
        moment: of the fault.
    """

    cells: tuple[Cell, ...]
    fault: str = ""
    moment: Moment = "before"


def dies(kind: Kind, *points: str, letters: int = 1) -> Cell:
    """A cell; a point is written `name` or `name+passes`."""
    parts = [point.partition("+") for point in points]
    return Cell(kind, tuple(Crash(name, int(n or 0)) for name, _, n in parts), letters)


def meets(fault: str, moment: Moment, *kinds: Kind) -> Scene:
    """A scene with a fault and no crash."""
    return Scene(tuple(Cell(kind) for kind in kinds), fault, moment)


OPERATOR_DIES = (
    # On the way from message to Job.
    Scene((dies("copy", "intake.taken"),)),
    Scene((dies("copy", "intake.created"), dies("applied", "finalizer.set"))),
    Scene((dies("copy", "intake.acked"),)),
    Scene((dies("copy", "job.created"), dies("copy", "report.sent.QUEUED"))),
    Scene((dies("invalid", "intake.created"),)),
    Scene((dies("garbage", "intake.refused", letters=2),)),
    # At the end.
    Scene((dies("copy", "report.sent.PROCESSING"), dies("missing", "reconcile.end-recorded"))),
    Scene((dies("copy", "job.expired"), dies("missing", "report.sent.FAILED"))),
    # One at a time: whoever dies here takes with it what others have sent and not recorded.
    Scene((dies("missing", "deadletter.published", letters=2),)),
    Scene((dies("invalid", "deadletter.published", letters=2),)),
    Scene((dies("no film", "before.PublishDeadLetter"), dies("missing", "job.expired"))),
    # Deleted, and sent again.
    Scene((dies("deleted", "job.deleted"),)),
    Scene((dies("deleted", "finalizer.removed"),)),
    Scene((dies("deleted", "deadletter.published", letters=2),)),
    Scene((dies("replayed", "intake.replacing"),)),
    # More than once, and as soon as it leads.
    Scene((dies("copy", "intake.created", "job.created", "report.sent.PROCESSING"),)),
    Scene((dies("copy", "intake.created", "lease.acquired"),)),
)

CHUNKER_DIES = (
    Scene(
        (
            dies("copy", "source.opened"),
            dies("copy", "chunk.cut"),
            dies("copy", "chunk.persistent-stored"),
        )
    ),
    Scene(
        (
            dies("copy", "chunk.cut+3"),
            dies("copy", "chunk.persistent-stored+2"),
            dies("copy", "chunk.cached+1"),
        )
    ),
    Scene(
        (
            dies("copy", "chunk.recorded+2"),
            dies("copy", "chunk.announced+1"),
            dies("copy", "chunk.announced+4"),
        )
    ),
    Scene(
        (
            dies("copy", "outcome.before-written"),
            dies("copy", "outcome.written"),
            dies("missing", "outcome.written"),
        )
    ),
    Scene(
        (
            dies("transcode", "chunk.recorded+1"),
            dies("transcode", "chunk.persistent-stored+1"),
            dies("missing", "outcome.before-written"),
        )
    ),
    Scene(
        (
            dies("copy", "chunk.cut", "chunk.recorded+1", "outcome.written"),
            dies("replayed", "chunk.announced"),
            dies("copy", "chunk.recorded+1", "job.expired"),
        )
    ),
)

BROKER = (
    meets("broker stopped", "taken", "copy"),
    meets("broker stopped", "cutting", "copy", "transcode", "missing"),
    meets("broker killed", "taken", "copy"),
    meets("broker killed", "cutting", "copy", "missing"),
    meets("broker killed", "ending", "copy", "missing"),
    meets("broker away for long", "cutting", "copy", "missing"),
    meets("connections closed", "taken", "copy"),
    meets("connections closed", "cutting", "copy", "missing"),
    meets("connections closed", "telling", "missing"),
)

BACKEND = (
    meets("backend away", "before", "copy", "missing", "invalid"),
    meets("backend away", "cutting", "copy", "transcode", "missing"),
    meets("backend answers 500", "before", "copy", "invalid", "missing"),
    meets("backend answers 500", "cutting", "copy", "missing"),
    meets("backend answers 500", "ending", "copy", "missing"),
    meets("backend answers late", "cutting", "copy", "transcode"),
    meets("backend answers late", "ending", "copy", "missing"),
    meets("backend hangs", "cutting", "copy", "missing"),
)

STORE = (
    meets("store away", "before", "copy", "no film"),
    meets("store away", "cutting", "copy", "transcode"),
    meets("store answers 500", "before", "copy", "missing"),
    meets("store answers 500", "cutting", "copy", "transcode"),
    meets("store away for long", "cutting", "copy"),
    meets("store frozen", "cutting", "copy", "transcode"),
)

KUBERNETES = (
    meets("API frozen", "before", "copy", "missing"),
    meets("API frozen", "cutting", "copy", "missing"),
    meets("API killed", "cutting", "copy", "missing"),
    meets("API killed", "ending", "copy", "missing"),
    meets("kubelet stopped", "cutting", "copy", "missing"),
    meets("pod evicted", "cutting", "copy", "transcode", "missing"),
    meets("pod deleted", "cutting", "copy", "transcode"),
    meets("pod killed", "cutting", "copy", "transcode"),
    meets("pod killed", "ending", "copy", "missing"),
    meets("Job deleted", "cutting", "copy", "transcode"),
)

OPERATORS = (
    meets("operator deleted", "before", "copy", "invalid", "garbage"),
    meets("operator deleted", "cutting", "copy", "missing"),
    meets("operator killed", "cutting", "copy", "missing"),
    meets("operator killed", "ending", "copy", "missing"),
    meets("operator away", "cutting", "copy", "deleted", "missing"),
    meets("two operators deleted", "cutting", "copy", "missing"),
    meets("leader paused", "telling", "missing"),
    meets("leader paused", "telling", "copy"),
    meets("leader paused", "cutting", "copy", "missing"),
)

MATRIX: dict[str, tuple[Scene, ...]] = {
    "The operator dies": OPERATOR_DIES,
    "The chunker dies": CHUNKER_DIES,
    "RabbitMQ": BROKER,
    "The GraphQL backend": BACKEND,
    "The store": STORE,
    "Kubernetes": KUBERNETES,
    "The operator's pods": OPERATORS,
}

SMALL: dict[str, Scene] = {
    "the operator dies with an unacknowledged message": OPERATOR_DIES[0],
    "the operator dies with an unrecorded dead letter": OPERATOR_DIES[8],
    "the chunker dies with a row and no message": CHUNKER_DIES[2],
    "the connections to the broker are closed": BROKER[7],
    "the backend answers 500": BACKEND[3],
    "the store is away": STORE[1],
    "the leader is paused before a dead letter": OPERATORS[6],
}
"""What `make test` runs of it: one scene of each kind, about three minutes."""
