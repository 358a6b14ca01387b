"""Key frames by their time, and where stretches of samples are in the file."""

from bisect import bisect_left, bisect_right
from operator import ge
from typing import TYPE_CHECKING, NamedTuple

from m0_chunker.media.mp4.index import UnsuitableIndexError
from m0_chunker.media.mp4.track import TrackIndex

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyFrames:
    """Looks up key frames by presentation time."""

    def __init__(self, track: TrackIndex) -> None:
        self._track = track
        self._samples: Sequence[int] | None = track.sync
        if track.sync is None and track.offsets is not None:
            self._samples = range(track.samples)
        self._times = [track.pts(sample) for sample in self._samples or ()]
        if any(map(ge, self._times, self._times[1:])):
            raise UnsuitableIndexError("its key frames are out of order")

    def first_at(self, tick: int) -> int | None:
        """The first key frame shown at or after `tick`; None: there is none."""
        if self._samples is None:
            sample = self._track.first_at(tick)
            return sample if sample < self._track.samples else None
        at = bisect_left(self._times, tick)
        return self._samples[at] if at < len(self._times) else None


class Stretch(NamedTuple):
    """The runs of some consecutive samples; see `SampleRuns`."""

    counts: list[int]
    offsets: list[int]
    lengths: list[int]
    descriptions: "Sequence[int] | None"


def runs_between(track: TrackIndex, first: int, after: int) -> Stretch:
    """The runs of samples `first` to `after`; of the outer ones what is in between."""
    runs, ends = track.runs, track.ends
    low = bisect_right(runs.firsts, first) - 1
    high = bisect_left(runs.firsts, after)
    counts = runs.counts[low:high].tolist()
    offsets = runs.offsets[low:high].tolist()
    lengths = runs.lengths[low:high].tolist()
    begin, end = runs.firsts[low], runs.firsts[high]
    counts[0] -= first - begin
    counts[-1] -= end - after
    offsets[0] += ends[first] - ends[begin]
    lengths[0] -= ends[first] - ends[begin]
    lengths[-1] -= ends[end] - ends[after]
    descriptions = runs.descriptions and runs.descriptions[low:high]
    return Stretch(counts, offsets, lengths, descriptions)
