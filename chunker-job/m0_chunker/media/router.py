"""Which chunk a packet of a stream other than the reference belongs to: by its time.

Packets wait until the pictures have come so far that no boundary before them can still turn
up; then they are given to the open chunks, many at a time.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.clock import Clock
from m0_chunker.media.packets import Packets
from m0_chunker.media.writer import ChunkWriter

SKEW_S = 10
"""A chunk waits this long, in film time, for packets of its other streams."""

WAITING_BYTES = 48 * 2**20
"""Packets of other streams that wait for pictures to come, at most."""


class Router:
    """The other streams' packets on their way to their chunks.

    Attributes:
        queues: of each stream, what has not found its chunk yet; append to it.
    """

    def __init__(self, streams: Sequence[Any], reference: int, origin: Fraction) -> None:
        """Args:
        streams: all of them.
        reference: which is not routed.
        origin: time stamp of the film's start, seconds.
        """
        self.queues = [Packets() for _ in streams]
        self._reference = reference
        bases = [Fraction(stream.time_base) for stream in streams]
        self._bases = bases
        self._clocks = [Clock.of(origin, base) for base in bases]
        # From the reference's ticks to each stream's, as (numerator, denominator).
        self._factors = [(bases[reference] / base).as_integer_ratio() for base in bases]
        self._is_video = [stream.type == "video" for stream in streams]
        self._group = [-(2**62)] * len(streams)
        self._limits: list[deque[int]] = [deque() for _ in streams]
        self._routed = [-(2**62)] * len(streams)

    def begin(self, start: Fraction) -> None:
        """A chunk was begun at `start`, seconds since the film's start."""
        for limits, clock in zip(self._limits, self._clocks, strict=True):
            limits.append(clock.first_from(start))

    def end(self) -> None:
        """The oldest chunk was finished."""
        for limits in self._limits:
            limits.popleft()

    def has_passed(self, time: Fraction) -> bool:
        """Whether all streams have given what lies before `time`, seconds of the film."""
        return all(
            routed >= clock.first_from(time)
            for number, (routed, clock) in enumerate(zip(self._routed, self._clocks, strict=True))
            if number != self._reference
        )

    def route(self, writers: Sequence[ChunkWriter], horizon: int | None, *, resumed: bool) -> None:
        """Hand over what is due.

        Args:
            writers: the open chunks.
            horizon: up to when all boundaries are known, ticks of the reference; None: there
                are no more.
            resumed: what lies before the oldest chunk was done by an earlier attempt.

        Raises:
            ChunkerError: UNSUPPORTED_MEDIA: the tracks are too far apart in the file.
        """
        for number, queue in enumerate(self.queues):
            if not queue.sizes:
                continue
            moments, due = self._moments(number, queue), len(queue)
            if horizon is not None:
                over, under = self._factors[number]
                due = bisect_right(moments, horizon * over // under)
            if due:
                self._routed[number] = moments[due - 1]
                first = self._skip_done(number, moments, due, writers[0], resumed=resumed)
                self._hand_over(number, moments, first, due, writers)
                if self._is_video[number]:
                    self._group[number] = moments[due - 1]
                queue.drop(due)
            if len(queue) > 100 and sum(queue.sizes) > WAITING_BYTES:
                raise _too_far(number, f"runs {WAITING_BYTES >> 20} MiB ahead of")

    def _moments(self, number: int, queue: Packets) -> list[int]:
        """By which time each packet finds its chunk, ticks, in order.

        Another video track's pictures go with the key frame before them, so that they can be
        decoded: such a track may go on a little after its chunk's end.
        """
        if not self._is_video[number]:
            return queue.pts
        moment, moments = self._group[number], []
        for pts, key in zip(queue.pts, queue.keys, strict=True):
            if key:
                moment = pts
            moments.append(moment)
        return moments

    def _skip_done(
        self, number: int, moments: list[int], due: int, oldest: ChunkWriter, *, resumed: bool
    ) -> int:
        """How many of the packets that are due are in chunks that are finished already."""
        if oldest.chunk_id == 1:
            return 0
        before = bisect_left(moments, self._limits[number][0], 0, due)
        if before and not resumed:
            late_s = (self._limits[number][0] - moments[0]) * self._bases[number]
            raise _too_far(number, f"lags {float(late_s) + SKEW_S:.0f} s behind")
        return before

    def _hand_over(
        self,
        number: int,
        moments: list[int],
        first: int,
        due: int,
        writers: Sequence[ChunkWriter],
    ) -> None:
        """Give packets `first` to `due` of a queue to their chunks."""
        queue, limits, opened = self.queues[number], self._limits[number], list(writers)
        for at, writer in enumerate(opened):
            after = due
            if at + 1 < len(opened):
                after = bisect_left(moments, limits[at + 1], first, due)
            if first == after:
                continue
            writer.waiting[number].extend(queue, first, after)
            if at:
                self._share(number, moments, first, after, opened[: at + 1])
            first = after

    def _share(
        self,
        number: int,
        moments: list[int],
        first: int,
        after: int,
        writers: Sequence[ChunkWriter],
    ) -> None:
        """The chunks before the last of `writers` have them too, as far as they overlap."""
        for before, own in reversed(list(pairwise(writers))):
            until = after
            if before.end is not None:
                limit = self._clocks[number].first_from(before.end)
                until = bisect_left(moments, limit, first, after)
            if until == first:
                return
            before.waiting[number].extend(self.queues[number], first, until)
            own.shared[number] += until - first


def _too_far(number: int, how: str) -> ChunkerError:
    return ChunkerError(
        ErrorCode.UNSUPPORTED_MEDIA,
        f"stream {number} {how} the pictures in the file: its tracks are not interleaved",
    )
