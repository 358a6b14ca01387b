"""Looking through the dead-letter queue: list, show, replay, purge.

A queue can't be read without taking from it: a look holds all its messages and gives
them back at its end. Each is published again, confirmed, before it is removed, so that
a crash leaves it in both places and never in none; the copy has the letter's own id,
by which the intake knows that it has run it.

It keeps one message's body at a time, and no more than `at_most` letters.
"""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from m0_contract.request import RequestError, parse_request
from m0_wire.errors import WireError

from m0_operator.domain.letters import Letter, LetterFilter, parse_letter
from m0_operator.services.ports import Message

logger = logging.getLogger(__name__)

LOOK_AT_MOST = 5000
RENEW_AT = 10
"""A quorum queue drops a message that it has got back too often, by default more than 20 times
(RabbitMQ 4.0 to 4.2 count each look): at half of that it is replaced by a fresh copy."""

EVERYTHING = LetterFilter()

Edit = bytes | Callable[[Letter, bytes], bytes]


class Held(Message, Protocol):
    """A dead letter in the hand of who looks."""

    @property
    def looks(self) -> int:
        """How often the queue says it has been given back; 0 where it doesn't count."""
        ...


class Look(Protocol):
    """One pass over the queue; BrokerUnavailableError when the connection goes."""

    @property
    def waiting(self) -> int:
        """Messages in the queue when it began."""
        ...

    async def take(self) -> Held | None:
        """Hold the next message."""
        ...

    async def resubmit(
        self, held: Held, body: bytes, *, message_id: str, priority: int | None
    ) -> None:
        """Publish to the requests, confirmed: all as it is, but for what is given here."""
        ...

    async def renew(self, held: Held, *, message_id: str) -> None:
        """Publish a copy to the dead letters, confirmed."""
        ...


class LetterQueue(Protocol):
    """The dead-letter queue and the requests' own."""

    def look(self) -> AbstractAsyncContextManager[Look]:
        """Begin a pass; at its end all that is still held goes back to its place."""
        ...


class LettersUnseenError(Exception):
    """The letter is not among those looked at, but there are more."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a look found.

    Attributes:
        letters: the newest failure first; each once, however many copies there are.
        matched: how many were meant, those beyond the limit included.
        complete: whether the whole queue was seen.
    """

    letters: tuple[Letter, ...]
    matched: int
    complete: bool


@dataclass(frozen=True, slots=True)
class FullLetter:
    """A letter with all that came with it."""

    letter: Letter
    body: bytes
    headers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the letters that were meant.

    Attributes:
        letters: replayed or purged, in the queue's order.
        refused: not replayed, since the edited request would be refused: (letter, why).
        missing: ids that were asked for and not seen.
        complete: whether the whole queue was seen.
    """

    letters: tuple[Letter, ...]
    refused: tuple[tuple[Letter, str], ...] = ()
    missing: frozenset[str] = frozenset()
    complete: bool = True


@dataclass(slots=True)
class _Pass:
    """How far a look has come."""

    complete: bool = False
    settled: dict[tuple[str, str], Letter] = field(default_factory=dict)
    refused: dict[tuple[str, str], tuple[Letter, str]] = field(default_factory=dict)

    def finish(self, wanted: LetterFilter) -> Settled:
        seen = {key[0] for key in (*self.settled, *self.refused)}
        return Settled(
            letters=tuple(self.settled.values()),
            refused=tuple(self.refused.values()),
            missing=(wanted.ids or frozenset()) - seen,
            complete=self.complete,
        )


class DeadLetterBox:
    """The dead letters, for people. Stateless: any number of them may be used at once."""

    def __init__(self, queue: LetterQueue, *, at_most: int = LOOK_AT_MOST) -> None:
        """Args:
        at_most: messages that one pass looks at; what lies behind them is not seen.
        """
        self._queue = queue
        self._at_most = at_most

    async def list(self, wanted: LetterFilter = EVERYTHING, *, limit: int = 100) -> Listing:
        """The letters that are meant.

        Raises:
            BrokerUnavailableError: or somebody else is looking.
        """
        found: dict[tuple[str, str], Letter] = {}
        run = _Pass()
        async with self._queue.look() as look:
            async for _, letter in self._pass(look, run):
                if wanted.matches(letter):
                    found.setdefault(letter.key, letter)
        ordered = sorted(found.values(), key=_newest_first)
        return Listing(tuple(ordered[:limit]), len(ordered), run.complete)

    async def show(self, letter_id: str) -> FullLetter | None:
        """One letter whole; None when there is none of this id.

        Raises:
            LettersUnseenError: not all letters could be looked at.
            BrokerUnavailableError: as `list`.
        """
        found: FullLetter | None = None
        run = _Pass()
        async with self._queue.look() as look:
            async for held, letter in self._pass(look, run):
                if letter.id == letter_id and found is None:
                    found = FullLetter(letter, held.body, dict(held.headers))
        if found is None and not run.complete:
            raise LettersUnseenError(f"{letter_id} is not among the first {self._at_most} letters")
        return found

    async def replay(
        self,
        wanted: LetterFilter | Collection[str],
        *,
        edit: Edit | None = None,
        priority: int | None = None,
    ) -> Settled:
        """Hand the letters to the operator again, under their own ids.

        Args:
            wanted: ids, or a filter.
            edit: the new body of a single letter, or what makes it from (letter, old body).
                What would be refused is not sent.
            priority: instead of the letter's own, 0-9.

        Raises:
            ValueError: one body for more than one id.
            UnroutableError: the requests' queue does not exist.
            BrokerUnavailableError: some may have been replayed; doing it again does no harm.
        """
        wanted = _as_filter(wanted)
        if isinstance(edit, bytes) and len(wanted.ids or ()) != 1:
            raise ValueError("one new body is for one letter: name it by its id")
        run = _Pass()
        try:
            async with self._queue.look() as look:
                async for held, letter in self._pass(look, run, but=wanted):
                    await _replay_one(look, run, held, letter, edit=edit, priority=priority)
        except WireError as error:
            raise _with_count(error, len(run.settled), "replayed") from error
        logger.info("Dead letters replayed", extra={"letters": len(run.settled)})
        return run.finish(wanted)

    async def purge(self, wanted: LetterFilter | Collection[str]) -> Settled:
        """Remove letters for good.

        Raises:
            BrokerUnavailableError: some may have been removed.
        """
        wanted = _as_filter(wanted)
        run = _Pass()
        try:
            async with self._queue.look() as look:
                async for held, letter in self._pass(look, run, but=wanted):
                    await held.ack()
                    run.settled.setdefault(letter.key, letter)
        except WireError as error:
            raise _with_count(error, len(run.settled), "purged") from error
        logger.info("Dead letters purged", extra={"letters": len(run.settled)})
        return run.finish(wanted)

    async def _pass(
        self, look: Look, run: _Pass, *, but: LetterFilter | None = None
    ) -> AsyncIterator[tuple[Held, Letter]]:
        """The messages with what they say; those that are not in `but` are kept fresh."""
        # What comes in meanwhile is left for the next look, our own fresh copies as well.
        for _ in range(min(look.waiting, self._at_most)):
            held = await look.take()
            if held is None:
                break
            letter = parse_letter(
                held.body, held.headers, priority=held.priority, message_id=held.message_id
            )
            if but is None or but.matches(letter):
                yield held, letter
                if but is not None:
                    continue
            if held.looks >= RENEW_AT:
                await _renew(look, held, letter)
        run.complete = look.waiting <= self._at_most


async def _replay_one(
    look: Look,
    run: _Pass,
    held: Held,
    letter: Letter,
    *,
    edit: Edit | None,
    priority: int | None,
) -> None:
    try:
        body = _edited(letter, held.body, edit)
    except RequestError as error:
        run.refused.setdefault(letter.key, (letter, str(error)))
        return
    # Its copy is in the requests already: this one only has to go.
    if letter.key not in run.settled:
        await look.resubmit(held, body, message_id=letter.id, priority=priority)
        run.settled[letter.key] = letter
    await held.ack()


def _edited(letter: Letter, body: bytes, edit: Edit | None) -> bytes:
    if edit is None:
        return body
    new = edit if isinstance(edit, bytes) else edit(letter, body)
    parse_request(new)
    return new


async def _renew(look: Look, held: Held, letter: Letter) -> None:
    try:
        await look.renew(held, message_id=letter.id)
    except WireError as error:
        # A full queue may refuse it. It is still the same letter, only nearer to its end.
        logger.warning("Dead letter not renewed", extra={"reason": str(error)})
        return
    await held.ack()


def _as_filter(wanted: LetterFilter | Collection[str]) -> LetterFilter:
    if isinstance(wanted, LetterFilter):
        return wanted
    ids = [wanted] if isinstance(wanted, str) else wanted
    return LetterFilter(ids=frozenset(ids))


def _newest_first(letter: Letter) -> float:
    return -(letter.failed or datetime.min.replace(tzinfo=UTC)).timestamp()


def _with_count(error: WireError, count: int, done: str) -> WireError:
    if not count:
        return error
    return type(error)(f"{error}; {count} were {done} before that, the others are where they were")
