"""Brings one range of an object into memory, whatever the connection does meanwhile.

A connection that breaks, stands still or crawls is given up, and the next one goes on
from the byte where it stopped. How long that goes on is decided by what came: an attempt
that brought something costs nothing, and only several in a row that didn't end it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeVar

from m0_contract.errors import ERRORS, ErrorCode, Verdict

from m0_chunker.errors import ChunkerError, ThrottledError

T = TypeVar("T")

ATTEMPTS = 5
"""In a row that bring nothing to speak of."""

FIRST_DELAY_S = 0.2
THROTTLED_DELAY_S = 1.0
"""Before the second attempt, doubled with each; the second where the store asked for rest."""

PIECE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """When a connection is too slow to be kept.

    Attributes:
        bytes_per_s: less than this is too slow.
        window_s: measured over this time; also how long nothing at all may come.
    """

    bytes_per_s: int = 32 * 1024
    window_s: float = 10.0


class RangeStream(Protocol):
    """The body of one answer."""

    def read1(self, size: int, /) -> bytes:
        """What has come, at most `size` bytes; empty at the end.

        Raises:
            ChunkerError: transient; it broke or nothing came for too long.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


OpenRange = Callable[[int, int], RangeStream]
"""(offset, length) -> the body of that range; ChunkerError when there is none."""

Sink = Callable[[bytes], None]
"""Takes the next bytes of the range."""


def patiently(do: Callable[[], T], sleep: Callable[[float], object] = time.sleep) -> T:
    """Call `do` until it succeeds; for one answer that is needed before all others.

    Raises:
        ChunkerError: permanent, or transient for too long.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return do()
        except ChunkerError as error:
            if not _is_transient(error):
                raise
            sleep(_delay_s(error, attempt))
    return do()


def _is_transient(error: ChunkerError) -> bool:
    return ERRORS[error.code].verdict is Verdict.TRANSIENT


def _delay_s(error: ChunkerError, futile: int) -> float:
    """How long to wait after so many attempts in a row that brought nothing."""
    throttled = isinstance(error, ThrottledError)
    if not futile and not throttled:
        return 0.0  # it moved: go on at once
    first = THROTTLED_DELAY_S if throttled else FIRST_DELAY_S
    return float(first * 2 ** max(0, futile - 1) * random.uniform(0.5, 1))  # noqa: S311


class Pump:
    """Fetches ranges; one for an object, used by several threads."""

    def __init__(
        self,
        open_range: OpenRange,
        *,
        pace: Pace | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        open_range: asks the store.
        pace: what is too slow.
        sleep: waits between attempts, seconds; by default until `stop`.
        clock: seconds.
        """
        self._open, self._pace, self._clock = open_range, pace or Pace(), clock
        self._stopped = Event()
        self._sleep = sleep or self._stopped.wait

    def stop(self) -> None:
        """Give up what is under way, soon."""
        self._stopped.set()

    def fetch(
        self, offset: int, length: int, sink: Sink, stream: RangeStream | None = None
    ) -> None:
        """Bring `length` bytes from `offset` to `sink`, in order, each once.

        Args:
            offset: first byte.
            length: bytes.
            sink: takes them.
            stream: an answer that is under way already.

        Raises:
            ChunkerError: permanent, or transient for too long.
        """
        done, futile = 0, 0
        while done < length:
            before = done

            def take(data: bytes) -> None:
                nonlocal done
                done += len(data)
                sink(data)

            try:
                opened = stream or self._open(offset + done, length - done)
                stream = None
                self._drain(opened, length - done, take)
            except ChunkerError as error:
                futile = 0 if done - before >= PIECE_BYTES else futile + 1
                if not _is_transient(error) or futile >= ATTEMPTS or self._stopped.is_set():
                    raise
                if delay := _delay_s(error, futile):
                    self._sleep(delay)

    def _drain(self, stream: RangeStream, length: int, take: Sink) -> None:
        left, since, came = length, self._clock(), 0
        try:
            while left and not self._stopped.is_set():
                data = stream.read1(min(left, PIECE_BYTES))
                if not data:
                    raise _broken(f"the connection ended {left} bytes early")
                take(data)
                left -= len(data)
                came += len(data)
                elapsed = self._clock() - since
                if left and elapsed >= self._pace.window_s:
                    if came < self._pace.bytes_per_s * elapsed:
                        raise _broken(f"only {came / elapsed:.0f} bytes a second came")
                    since, came = self._clock(), 0
        finally:
            stream.close()
        if left:
            raise _broken("reading was given up")


def _broken(text: str) -> ChunkerError:
    return ChunkerError(ErrorCode.SOURCE_UNREACHABLE, f"reading the source: {text}")
