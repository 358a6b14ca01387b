"""A track's ticks and the film's seconds, converted in whole numbers.

The same exact values as with `Fraction`s all the way, which are most of what cutting a small
chunk costs otherwise.
"""

from dataclasses import dataclass
from fractions import Fraction

from m0_chunker.media.mp4.track import TrackIndex


@dataclass(frozen=True, slots=True)
class Clock:
    """One track's time.

    Attributes:
        scale: ticks a second.
        shift: ticks from a sample's own time to the film's.
        origin: where the film starts, seconds, as (numerator, denominator).
    """

    scale: int
    shift: int
    origin: tuple[int, int]

    @classmethod
    def of(cls, track: TrackIndex, start: Fraction) -> "Clock":
        """The clock of `track` in a film that starts at `start`."""
        return cls(track.timescale, track.shift, start.as_integer_ratio())

    def time(self, tick: int) -> Fraction:
        """Seconds since the film's start."""
        above, below = self.origin
        return Fraction((tick + self.shift) * below - above * self.scale, below * self.scale)

    def tick_from(self, time: Fraction) -> int:
        """The first tick at or after a time since the film's start."""
        ticks, parts = self._ticks(time)
        return -(-ticks // parts)

    def ticks_between(self, tick: int, time: Fraction) -> float:
        """How far a time is after a tick, in ticks."""
        ticks, parts = self._ticks(time)
        return (ticks - tick * parts) / parts

    def seconds_between(self, time: Fraction, tick: int) -> float:
        """How far a tick is after a time, in seconds."""
        ticks, parts = self._ticks(time)
        return (tick * parts - ticks) / (parts * self.scale)

    def _ticks(self, time: Fraction) -> tuple[int, int]:
        """A time in ticks, as (numerator, denominator)."""
        above, below = self.origin
        number, parts = time.as_integer_ratio()
        return (
            (number * below + above * parts) * self.scale - self.shift * parts * below,
            parts * below,
        )
