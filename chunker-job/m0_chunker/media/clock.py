"""A track's ticks and the film's seconds, converted in whole numbers.

The same exact values as with `Fraction`s all the way, which are most of what cutting a small
chunk costs otherwise.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Clock:
    """A stream's time.

    Attributes:
        origin: time stamp of the film's start, seconds, as (numerator, denominator).
        base: seconds in a tick, likewise.
    """

    origin: tuple[int, int]
    base: tuple[int, int]

    @classmethod
    def of(cls, origin: Fraction, base: Fraction) -> "Clock":
        """Those of a stream whose ticks are so long, in a film that starts there."""
        return cls(origin.as_integer_ratio(), base.as_integer_ratio())

    def first_from(self, time: Fraction) -> int:
        """The first tick at or after a time since the film's start."""
        ticks, parts = self._place(time)
        return -(-ticks // parts)

    def last_until(self, time: Fraction) -> int:
        """The last tick at or before a time since the film's start."""
        ticks, parts = self._place(time)
        return ticks // parts

    def time(self, tick: int) -> Fraction:
        """Seconds since the film's start."""
        (above, below), (over, under) = self.origin, self.base
        return Fraction(tick * over * below - above * under, under * below)

    def ticks_between(self, tick: int, time: Fraction) -> float:
        """How far a time is after a tick, ticks."""
        ticks, parts = self._place(time)
        return (ticks - tick * parts) / parts

    def seconds_between(self, time: Fraction, tick: int) -> float:
        """How far a tick is after a time, seconds."""
        (above, below), (over, under) = self.origin, self.base
        number, parts = time.as_integer_ratio()
        whole = tick * over * below * parts - (above * parts + number * below) * under
        return whole / (under * below * parts)

    def _place(self, time: Fraction) -> tuple[int, int]:
        """A time in ticks, as (numerator, denominator)."""
        (above, below), (over, under) = self.origin, self.base
        number, parts = time.as_integer_ratio()
        return (number * below + above * parts) * under, parts * below * over
