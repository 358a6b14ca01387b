"""At which times pictures are shown: pure arithmetic on time stamps.

Two kinds, alike to their user: `SteadyGrid` at a rate that was asked for, `OwnGrid` with
the film's own time stamps. A picture is any object; it is only handed through.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any, Protocol

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError

MAX_GAP_S = 3600
"""More seconds between two pictures are no film but absurd time stamps, and a bomb: they
would be filled with pictures, or with boundaries."""

Shown = tuple[int, int, Any]
"""A picture's tick, for how many ticks it is shown, and the picture."""


class Grid(Protocol):
    """Gives pictures their new time stamps.

    Attributes:
        base: of one tick, seconds.
    """

    base: Fraction

    def key_tick(self, time: Fraction) -> int:
        """The first tick at or after `time`, seconds since the film's start."""
        ...

    def take(self, pts: int, duration: int, picture: Any) -> Iterator[Shown]:
        """A decoded picture, in the source's ticks; what can be said of it and those before."""
        ...

    def finish(self) -> Iterator[Shown]:
        """No more pictures come."""
        ...


class _Ticks:
    """From the source's ticks to ours, rounded to the nearest, halves away from zero."""

    def __init__(self, source_base: Fraction, start: Fraction, base: Fraction) -> None:
        factor, offset = source_base / base, start / base
        self._divisor = 2 * factor.denominator * offset.denominator
        self._factor = 2 * factor.numerator * offset.denominator
        self._offset = 2 * offset.numerator * factor.denominator
        self._half = self._divisor // 2
        self._max_gap = ceil(MAX_GAP_S / source_base)
        self._last: int | None = None

    def convert(self, pts: int) -> int:
        value = pts * self._factor - self._offset
        if value < 0:
            return -((self._half - value) // self._divisor)
        return (value + self._half) // self._divisor

    def check_gap(self, pts: int) -> None:
        """Raises: ChunkerError: LIMIT_EXCEEDED."""
        if self._last is not None and pts - self._last > self._max_gap:
            raise ChunkerError(
                ErrorCode.LIMIT_EXCEEDED,
                f"the film's time stamps jump by more than {MAX_GAP_S} s",
            )
        self._last = pts


class SteadyGrid:
    """Constant rate, as libavfilter's `fps=RATE:start_time=0` has it.

    At each tick the newest picture whose time, rounded to a tick, has come is shown; the
    first one also at all ticks before. Without a second's pictures it is shown on and on.
    Not that filter itself: this one costs nothing for pictures that are dropped, survives
    a change of size, and can begin at any tick.
    """

    def __init__(
        self, rate: Fraction, source_base: Fraction, start: Fraction, resume_at: Fraction
    ) -> None:
        """Args:
        rate: pictures a second.
        source_base: the source's tick, seconds.
        start: the film's start in the source's time stamps, seconds.
        resume_at: no tick before this time is shown; seconds since the film's start.
        """
        self.base = 1 / rate
        self._ticks = _Ticks(source_base, start, self.base)
        self._next = self.key_tick(resume_at)
        self._held: Any = None
        self._end = 0

    def key_tick(self, time: Fraction) -> int:
        """See `Grid`."""
        return ceil(time / self.base)

    def take(self, pts: int, duration: int, picture: Any) -> Iterator[Shown]:
        """See `Grid`."""
        self._ticks.check_gap(pts)
        if self._held is not None:
            yield from self._show(self._ticks.convert(pts))
        self._held = picture
        self._end = self._ticks.convert(pts + duration)

    def finish(self) -> Iterator[Shown]:
        """See `Grid`."""
        if self._held is not None:
            yield from self._show(self._end)

    def _show(self, until: int) -> Iterator[Shown]:
        while self._next < until:
            yield self._next, 1, self._held
            self._next += 1


class OwnGrid:
    """The source's pictures and time stamps, each once.

    A tick is the source's, or a whole part of it where that is coarse: the film's start
    may be the sound's and lie between the pictures' ticks.
    """

    def __init__(self, source_base: Fraction, start: Fraction, resume_at: Fraction) -> None:
        """As `SteadyGrid`."""
        self.base = source_base
        while self.base > Fraction(1, 10_000):
            self.base /= 2
        self._half_tick = source_base / 2
        self._parts = int(source_base / self.base)
        self._ticks = _Ticks(source_base, start, self.base)
        self._first = self.key_tick(resume_at) if resume_at else None
        self._last: int | None = None

    def key_tick(self, time: Fraction) -> int:
        """See `Grid`; the source's clock may not be able to say `time`, so half of it less."""
        return ceil((time - self._half_tick) / self.base)

    def take(self, pts: int, duration: int, picture: Any) -> Iterator[Shown]:
        """See `Grid`."""
        self._ticks.check_gap(pts)
        tick = self._ticks.convert(pts)
        if self._first is not None and tick < self._first:
            return
        if self._last is not None and tick <= self._last:
            tick = self._last + 1  # damaged time stamps: keep the picture all the same
        self._last = tick
        yield tick, duration * self._parts, picture

    def finish(self) -> Iterator[Shown]:
        """See `Grid`: nothing is ever held back."""
        return iter(())
