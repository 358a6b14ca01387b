"""Where to cut: pure arithmetic on exact times.

Times are `Fraction`s of a second since the film's start, so that nothing drifts in a
ten-hour film. A boundary is the first key frame at or after a nominal time k·D. Nominal
times are counted from the film's start, never from the boundary before, so errors do not
add up, and a boundary depends only on the one before it, not on where reading began.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from m0_chunker.media.clock import Clock


@dataclass(frozen=True, slots=True)
class CutPlan:
    """The rule that boundaries follow.

    Attributes:
        duration: D, the wanted length of a chunk, seconds.
        tail_fraction: no chunk is shorter than this part of D, unless the film is.
        tolerance: how far before k·D a key frame still counts as being at it, seconds;
            half a tick of the film's clock, which may not be able to say k·D exactly.
        overlap: how far a chunk goes on after the next one's start, seconds, less than D:
            to the first key frame at or after it.
        shortest: the least length of a chunk, seconds.
    """

    duration: Fraction
    tail_fraction: Fraction = Fraction(1, 2)
    tolerance: Fraction = Fraction(0)
    overlap: Fraction = Fraction(0)
    shortest: Fraction = field(init=False)
    _enough: Fraction = field(init=False, repr=False)
    _before: Clock = field(init=False, repr=False)
    _from: Clock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out what follows from these, once for all chunks."""
        shortest = self.duration * self.tail_fraction
        enough = shortest - self.tolerance
        object.__setattr__(self, "shortest", shortest)
        object.__setattr__(self, "_enough", enough)
        # The numbers k of nominal times, as the ticks of clocks.
        object.__setattr__(self, "_before", Clock.of(self.tolerance, self.duration))
        object.__setattr__(self, "_from", Clock.of(enough, self.duration))

    def next_nominal(self, last: Fraction) -> Fraction:
        """The k·D that the boundary after `last` is looked for at.

        After a boundary that came very late (a long GOP) the nearest k·D would make a
        runt: then it is the one after.
        """
        return self.duration * max(self._from.first_from(last), self._before.last_until(last) + 1)

    def is_boundary(self, key_frame: Fraction, last: Fraction) -> bool:
        """Whether a key frame at this time ends the chunk that began at `last`."""
        return key_frame + self.tolerance >= self.next_nominal(last)

    def wanted_key(self, number: int, before: Fraction | None = None) -> Fraction:
        """The `number`th time, from 1, at which an encoder should put a key frame.

        Args:
            number: every second one, with overlap, is where an overlap ends.
            before: where the last one was put, seconds: an overlap counts from there, unless
                that one was another's.
        """
        if not self.overlap:
            return number * self.duration
        step, second = divmod(number - 1, 2)
        nominal = (step + 1) * self.duration
        if not second:
            return nominal
        if before is None or not nominal <= before < nominal + self.duration:
            before = nominal
        # Where that is after the next nominal time, a chunk's start goes before an overlap's end.
        return min(before + self.overlap, nominal + self.duration)

    def is_enough(self, boundary: Fraction, known_end: Fraction) -> bool:
        """Whether what follows `boundary` is sure to be long enough for a chunk."""
        return known_end - boundary >= self._enough


@dataclass(frozen=True, slots=True)
class Resumption:
    """How much an earlier attempt has done.

    Attributes:
        chunks: finished chunks, the first ones.
        end: where the last of them's successor begins, seconds since the film's start.
        certificate: what the certificate said then; empty when there is none.
    """

    chunks: int = 0
    end: Fraction = Fraction(0)
    certificate: str = ""


_NOT_LATE = Fraction(0)


def late(start: Fraction, nominal: Fraction) -> Fraction:
    """By how much a chunk begins after the time that it was to begin at, seconds."""
    return start - nominal if start > nominal else _NOT_LATE


def plan_cuts(plan: CutPlan, key_frames: list[Fraction], end: Fraction) -> list[Fraction]:
    """All boundaries of a film whose key frames and end are known, start and end included.

    What the splitter does on the fly; here for tests and for people.

    Args:
        plan: the rule.
        key_frames: ascending, seconds since the film's start.
        end: seconds since the film's start.
    """
    cuts = [Fraction(0)]
    for time in key_frames:
        if plan.is_boundary(time, cuts[-1]) and plan.is_enough(time, end):
            cuts.append(time)
    return [*cuts, end]
