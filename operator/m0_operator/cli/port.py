"""All that the commands know of M0: a control room, with a cluster or a gateway behind it."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Protocol

from m0_operator.cli.findings import Finding
from m0_operator.domain.letters import Letter, LetterFilter
from m0_operator.domain.views import VideoView
from m0_operator.domain.wanted import VideoFilter
from m0_operator.gateway.models import LetterDetail, LetterList
from m0_operator.gateway.submission import Submission
from m0_operator.services.jobs import StopReceipt, Update, VideoPage
from m0_operator.services.pod_logs import LogPart


@dataclass(frozen=True, slots=True)
class Happening:
    """A Kubernetes Event about a video, its Job or its pods.

    Attributes:
        at: RFC 3339, the last time.
        about: `Pod/NAME`.
    """

    at: str
    type: str
    reason: str
    about: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the dead letters that were meant.

    Attributes:
        refused: not replayed, since the edited request would be refused: (letter, why).
        missing: ids that were not seen.
        complete: whether the whole queue was looked at.
    """

    letters: tuple[Letter, ...]
    refused: tuple[tuple[Letter, str], ...] = ()
    missing: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class QueueState:
    """How much there is to do; None is what can't be told.

    Attributes:
        waiting: requests in the queue.
        kind: of the queue, and what it makes of priorities.
        dead: dead letters.
        active: videos in the cluster that have not ended.
        limit: how many there may be of those.
        finished: that ended within the last `window_s` seconds.
        notes: why something can't be told.
    """

    waiting: int | None
    active: int
    finished: int
    window_s: int
    kind: str = ""
    dead: int | None = None
    limit: int | None = None
    notes: tuple[str, ...] = field(default=())


class Videos(Protocol):
    """Videos. A video is called by its process_id or by its resource's name."""

    async def submit(self, submission: Submission, *, direct: bool) -> str:
        """Hand a request over; a sentence. With `direct` to the cluster, without the queue."""
        ...

    async def list(self, wanted: VideoFilter, *, limit: int, token: str) -> VideoPage:
        """A page of videos."""
        ...

    async def get(self, name: str) -> VideoView:
        """One in full; VideoNotFoundError."""
        ...

    def follow(self, name: str) -> AsyncGenerator[Update, None]:
        """One as it is and as it changes, until it is final."""
        ...

    async def stop(self, name: str) -> StopReceipt:
        """End it; VideoNotFoundError, VideoEndedError."""
        ...

    async def suspend(self, name: str, *, suspend: bool) -> VideoView:
        """Hold it back, or let it go on; raises as `stop`."""
        ...

    async def retry(self, view: VideoView, priority: int | None) -> str:
        """Run a failed one again; a sentence."""
        ...

    async def events(self, view: VideoView) -> tuple[Happening, ...] | None:
        """What happened to it, the oldest first; None where that can't be told."""
        ...

    def logs(
        self, view: VideoView, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[LogPart, None]:
        """What the pods of its latest Job have written; NoPodError."""
        ...


class Letters(Protocol):
    """Dead letters."""

    async def letters(self, wanted: LetterFilter, limit: int) -> LetterList:
        """Those that are meant, the newest failure first."""
        ...

    async def letter(self, letter_id: str) -> LetterDetail | None:
        """One in full; None when there is none."""
        ...

    async def replay(
        self, wanted: LetterFilter, *, edit: Submission | None, priority: int | None
    ) -> Settlement:
        """Hand them to the operator again."""
        ...

    async def purge(self, wanted: LetterFilter) -> Settlement:
        """Remove them for good."""
        ...


class State(Protocol):
    """M0 itself."""

    async def queue(self) -> QueueState:
        """How much there is to do."""
        ...

    def diagnose(self) -> AsyncIterator[Finding]:
        """Look at everything, in the order of cause and effect."""
        ...

    async def version(self) -> str:
        """What runs there; empty where that can't be told."""
        ...


class Room(Videos, Letters, State, Protocol):
    """The control room."""


def build_filter(ids: Collection[str]) -> LetterFilter:
    """These very letters."""
    return LetterFilter(ids=frozenset(ids))
