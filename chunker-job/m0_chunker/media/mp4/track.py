"""One track's samples as an index has them: looking up, without touching them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add, sub
from typing import TYPE_CHECKING

from m0_chunker.media.mp4.runs import Runs

if TYPE_CHECKING:
    from array import array


@dataclass(frozen=True, slots=True)
class Steps:
    """A run-length coded table (`stts`, `ctts`): a value for each sample.

    Attributes:
        firsts: the sample that each run begins with; one more entry, the number of samples.
        values: of each run.
    """

    firsts: Sequence[int]
    values: Sequence[int]

    def at(self, sample: int) -> int:
        """The value of one sample."""
        return self.values[bisect_right(self.firsts, sample) - 1]

    def between(self, start: int, end: int) -> Runs:
        """The runs of samples `start` to `end`; at least one sample."""
        low = bisect_right(self.firsts, start) - 1
        high = bisect_left(self.firsts, end)
        firsts = [start, *self.firsts[low + 1 : high], end]
        return Runs(list(map(sub, firsts[1:], firsts)), self.values[low:high])


@dataclass(frozen=True, slots=True)
class SampleRuns:
    """Runs of consecutive samples, in the order of the file, none over another.

    Attributes:
        firsts: the sample that each begins with; one more entry, the number of samples.
        counts: samples in each.
        offsets: where each is in the file.
        lengths: of each, bytes.
        descriptions: which sample description each uses, from 1; None: the first.
    """

    firsts: "array[int]"
    counts: "array[int]"
    offsets: "array[int]"
    lengths: "array[int]"
    descriptions: "array[int] | None"


@dataclass(frozen=True, slots=True)
class TrackIndex:
    """One track's samples.

    Attributes:
        track_id: as in the file.
        timescale: ticks a second of all its times.
        trak: the whole box's content.
        sizes: of each sample, bytes.
        ends: bytes of all samples before; one more entry, their sum.
        runs: where they are.
        deltas: decoding time steps.
        delta_times: the decoding time at which each of the `deltas`' runs begins, ticks.
        offsets: presentation minus decoding time, or None where all are 0.
        sync: the key frames, or None where all are.
        shift: ticks from a sample's own time to the film's (the edit list).
        hidden: what the edit list hides at the start of sound, ticks.
    """

    track_id: int
    timescale: int
    trak: memoryview
    sizes: "array[int]"
    ends: "array[int]"
    runs: SampleRuns
    deltas: Steps
    delta_times: Sequence[int]
    offsets: Steps | None
    sync: "array[int] | None"
    shift: int
    hidden: int

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.sizes)

    def dts(self, sample: int) -> int:
        """Decoding time, ticks; for the number of samples, the end of the last."""
        run = min(bisect_right(self.deltas.firsts, sample), len(self.deltas.values)) - 1
        return int(
            self.delta_times[run] + (sample - self.deltas.firsts[run]) * self.deltas.values[run]
        )

    def pts(self, sample: int) -> int:
        """Presentation time in the track's own timeline, ticks."""
        return self.dts(sample) + (self.offsets.at(sample) if self.offsets else 0)

    def first_at(self, tick: int) -> int:
        """The first sample that is decoded at or after `tick`."""
        run = max(bisect_left(self.delta_times, tick) - 1, 0)
        delta, ahead, steps = self.deltas.values[run], tick - self.delta_times[run], 0
        if ahead > 0:  # where a run takes no time, all of it is before
            steps = -(-ahead // delta) if delta else self.samples
        return int(min(self.deltas.firsts[run] + steps, self.deltas.firsts[run + 1]))

    def shown(self, first: int, after: int) -> list[int]:
        """Presentation times of samples `first` to `after`, ticks."""
        deltas = self.deltas.between(first, after).expanded()
        decoded = accumulate(deltas, initial=self.dts(first))
        if self.offsets is None:
            return list(decoded)[: after - first]
        return list(map(add, decoded, self.offsets.between(first, after).expanded()))

    def longest(self, first: int, after: int) -> int:
        """The latest presentation time of samples `first` to `after`, end included, ticks."""
        if self.offsets is None:
            return self.dts(after - 1) + self.deltas.at(after - 1)
        first = max(first, after - REORDER)
        deltas = self.deltas.between(first, after).expanded()
        longest: int = max(map(add, self.shown(first, after), deltas))
        return longest


REORDER = 32
"""Pictures that may be decoded after one that is shown later; H.264 allows 16."""
