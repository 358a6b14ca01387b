"""A track's ticks and the film's seconds, converted in whole numbers.

The same exact values as with `Fraction`s all the way, which are most of what cutting a small
chunk costs otherwise.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm


@dataclass(frozen=True, slots=True)
class Clock:
    """A stream's time, in units so fine that all of this is a whole number of them.

    Attributes:
        second: units in a second.
        origin: time stamp of the film's start, units.
        tick: units in a tick.
    """

    second: int
    origin: int
    tick: int

    @classmethod
    def of(cls, origin: Fraction, base: Fraction) -> "Clock":
        """Those of a stream whose ticks are so long, in a film that starts there; seconds."""
        second = lcm(origin.denominator, base.denominator)
        return cls(second, int(origin * second), int(base * second))

    def ahead(self, by: Fraction) -> "Clock":
        """One that takes each time for so many seconds more: what is added to all, added once."""
        origin, base = Fraction(self.origin, self.second), Fraction(self.tick, self.second)
        return Clock.of(origin + by, base)

    def first_from(self, time: Fraction) -> int:
        """The first tick at or after a time since the film's start."""
        number, parts = time.as_integer_ratio()
        return -(-(number * self.second + self.origin * parts) // (self.tick * parts))

    def last_until(self, time: Fraction) -> int:
        """The last tick at or before a time since the film's start."""
        number, parts = time.as_integer_ratio()
        return (number * self.second + self.origin * parts) // (self.tick * parts)

    def time(self, tick: int) -> Fraction:
        """Seconds since the film's start."""
        return Fraction(tick * self.tick - self.origin, self.second)

    def ticks_between(self, tick: int, time: Fraction) -> float:
        """How far a time is after a tick, ticks."""
        number, parts = time.as_integer_ratio()
        units = number * self.second + (self.origin - tick * self.tick) * parts
        return units / (self.tick * parts)

    def seconds_between(self, time: Fraction, tick: int) -> float:
        """How far a tick is after a time, seconds."""
        number, parts = time.as_integer_ratio()
        units = (tick * self.tick - self.origin) * parts - number * self.second
        return units / (self.second * parts)
