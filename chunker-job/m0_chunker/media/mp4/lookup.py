"""Key frames by their time, and where stretches of samples are in the file."""

from bisect import bisect_left
from operator import ge, sub
from typing import TYPE_CHECKING

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


def runs_between(
    track: TrackIndex, first: int, after: int
) -> tuple[list[int], list[int], list[int], list[int]]:
    """(sample counts, offsets, lengths, descriptions) of the runs of samples `first` to `after`."""
    low = bisect_left(track.run_firsts, first + 1) - 1
    high = bisect_left(track.run_firsts, after)
    firsts = [first, *track.run_firsts[low + 1 : high], after]
    bounds = list(map(track.ends.__getitem__, firsts))
    offsets = list(track.run_offsets[low:high])
    offsets[0] += track.ends[first] - track.ends[track.run_firsts[low]]
    return (
        list(map(sub, firsts[1:], firsts)),
        offsets,
        list(map(sub, bounds[1:], bounds)),
        list(track.run_descriptions[low:high]),
    )
