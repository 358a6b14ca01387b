"""Splits a stream of packets into chunks, by presentation time, each packet into one.

The reference stream's packets are split in decoding order at its key frames; the other
streams' packets go by their presentation time to where the pictures of that time are.
Works on a stream without an end: nothing here needs a duration.

A chunk is begun as soon as a key frame may be its start. Whether enough follows for a chunk
of its own is known later; if the film ends before, the chunk before absorbs it.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, chain, pairwise

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.clock import Clock
from m0_chunker.media.feed import PacketFeed
from m0_chunker.media.packets import Batch, Packet, Packets
from m0_chunker.media.router import SKEW_S, Router
from m0_chunker.media.shape import shape_of, usual_duration
from m0_chunker.media.spool import Spooling
from m0_chunker.media.writer import BATCH_BYTES, ChunkWriter
from m0_chunker.plan import CutPlan, Resumption, late

SKEW = Fraction(SKEW_S)

OUTLAST = Fraction(1)
"""Sound that goes on this much longer than the pictures moves the film's end, seconds."""


class Splitter:
    """Pull packets from a feed, get chunks.

    Attributes:
        delivered: packets of each stream that came so far.
        kinds: `v` or `a` for each stream; known when the first packet has come.
    """

    def __init__(
        self,
        feed: PacketFeed,
        plan: CutPlan,
        spooling: Spooling,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        feed: the packets.
        plan: where to cut.
        spooling: where chunks are kept meanwhile.
        check: called now and then; raises when nobody wants the chunks any more.
        """
        self._check = check
        self._feed, self._plan, self._spooling = feed, plan, spooling
        self._open: deque[ChunkWriter] = deque()
        self._newest: int | None = None
        self.delivered: list[int] = []
        self.kinds = ""

    def chunks(self, resumption: Resumption) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """Chunks, in order, after those that are done already; the taker closes their bodies.

        Raises:
            ChunkerError: whatever ended the film early.
        """
        try:
            batches = self._feed.batches()
            first = next(batches, None)
            if first is None:
                raise ChunkerError(ErrorCode.NOT_MEDIA, "the film has not a single packet")
            self._begin(resumption)
            yield from self._split(chain([first], batches))
            yield from self._drain()
        finally:
            for writer in self._open:
                writer.discard()

    def _begin(self, resumption: Resumption) -> None:
        templates = self._feed.templates
        self._reference = self._feed.reference
        self._bases = [Fraction(template.time_base) for template in templates]
        plan, clock = self._plan, Clock.of(self._feed.start, self._base)
        self._clock, self._due_clock = clock, clock.ahead(-plan.tolerance)
        self._enough_clock, self._skew_clock = clock.ahead(plan.shortest), clock.ahead(SKEW)
        self._overlaps = bool(plan.overlap)
        self._reach_clock = clock.ahead(plan.overlap - plan.tolerance)
        self.delivered = [0] * len(templates)
        self.kinds = "".join(template.type[0] for template in templates)
        self._undescribed = set(range(len(templates)))
        self._shapes = [shape_of(template, self._feed.start) for template in templates]
        self._durations = [usual_duration(template) for template in templates]
        self._router = Router(templates, self._reference, self._feed.start)
        self._ends = [-(2**62)] * len(templates)
        self._ends[self._reference] = round(self._feed.start / self._base)
        self._chunk_id = self._done = resumption.chunks
        self._resume_tick: int | None = None
        if resumption.chunks:
            self._resume_tick = round((resumption.end + self._feed.start) / self._base)
        self._open_writer(resumption.end, resumption.end)

    @property
    def _base(self) -> Fraction:
        """Seconds in a tick of the reference."""
        return self._bases[self._reference]

    def _split(self, batches: Iterable[Batch]) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """The loop that all packets pass, as many at a time as go the same way."""
        unwritten = 0
        for batch in batches:
            self._look_at(batch)
            count, reference = len(batch), batch.streams[self._reference]
            ends = list(accumulate(batch.sizes, initial=0))
            places, keys = batch.key_frames(self._reference)
            taken = [0] * len(batch.streams)
            at = seen = 0
            while at < count:
                while seen < len(keys) and not self._matters(reference, keys[seen]):
                    seen += 1
                after = bisect_left(ends, ends[at] + BATCH_BYTES - unwritten, at + 1)
                if seen < len(keys) and at == places[seen]:
                    if self._consider(reference, keys[seen]):
                        unwritten, after = BATCH_BYTES, at + 1
                    seen += 1
                after = min([after, count, *places[seen : seen + 1]])
                self._take(batch, at, after, taken)
                unwritten += ends[after] - ends[at]
                at = after
                if unwritten >= BATCH_BYTES:
                    unwritten = 0
                    self._write()
                    while len(self._open) > 1 and self._is_complete():
                        yield self._finish()

    def _matters(self, packets: Packets, at: int) -> bool:
        """Whether a key frame may have to do with a boundary, by the reference's packets."""
        return (
            packets.pts[at] >= self._due_tick
            or packets.dts[at] >= self._enough_tick
            or self._resume_tick is not None
            or self._overlaps
        )

    def _look_at(self, batch: Batch) -> None:
        """Count what comes, and describe streams of which nothing came before."""
        self.delivered = [
            known + len(packets)
            for known, packets in zip(self.delivered, batch.streams, strict=True)
        ]
        for number in self._undescribed & batch.examples.keys():
            self._undescribed.remove(number)
            self._describe(number, batch.examples[number])

    def _take(self, batch: Batch, at: int, after: int, taken: list[int]) -> None:
        """Put packets `at` to `after` where they wait to be written, or to find their chunk.

        Args:
            batch: which they are in.
            at: the first; none but it is a key frame that matters.
            after: the one after the last.
            taken: how many of each stream were before; they are counted on.
        """
        order = batch.order[at:after]
        for number, packets in enumerate(batch.streams):
            first = taken[number]
            last = taken[number] = first + order.count(number)
            if first == last:
                continue
            if number != self._reference:
                self._router.queues[number].extend(packets, first, last)
                continue
            self._newest = packets.dts[last - 1]
            if self._resume_tick is None:
                self._open[-1].waiting[number].extend(packets, first, last)
                if self._overlaps:
                    self._share_reference(packets, first, last)

    def _describe(self, number: int, packet: Packet) -> None:
        shape = shape_of(self._feed.templates[number], self._feed.start, packet)
        assert shape.template is not None  # noqa: S101 - the packet made it
        template = self._feed.adapt(number, shape.template)
        self._shapes[number] = replace(shape, template=template)

    def _consider(self, packets: Packets, at: int) -> bool:
        """A key frame: perhaps the start of a chunk, perhaps the end of an overlap.

        Args:
            packets: of the reference.
            at: which of them.

        Returns:
            Whether it is time to write: a chunk begins, or may be complete.
        """
        began, pts = False, packets.pts[at]
        time = self._clock.time(pts)
        if self._resume_tick is not None:
            began = self._look_for_resumption(pts, self._resume_tick)
        # Where pictures begin late, their first key frame is no boundary: no chunk without any.
        elif pts >= self._due_tick and self._open[-1].count(self._reference):
            self._open_writer(time, self._due)
            began = True
        # An overlap may reach over the next chunk, and end where yet another one begins.
        for writer, following in pairwise(self._open):
            if writer.end is None and pts >= self._reach_clock.first_from(following.start):
                writer.end = time
        # When is written what, and so each chunk's layout, must not depend on the chunks before:
        # they are not there in a run that goes on from one.
        return began or packets.dts[at] >= self._enough_tick

    def _look_for_resumption(self, pts: int, wanted: int) -> bool:
        """What an earlier attempt has done ends at a key frame of this very time: at this one?"""
        if pts > wanted:
            raise ChunkerError(
                ErrorCode.INTEGRITY, "the film has no key frame where an earlier attempt ended"
            )
        if pts == wanted:
            self._resume_tick = None
        return self._resume_tick is None

    def _open_writer(self, start: Fraction, nominal: Fraction) -> None:
        self._chunk_id += 1
        shift = late(start, nominal)
        self._open.append(
            ChunkWriter(
                self._chunk_id,
                start,
                shift,
                durations=self._durations,
                spooling=self._spooling,
            )
        )
        self._router.begin(start)
        self._due = self._plan.next_nominal(start)
        self._due_tick = self._due_clock.first_from(self._due)
        self._enough_tick = self._enough_clock.first_from(start)

    def _share_reference(self, packets: Packets, first: int, after: int) -> None:
        """The chunks before have these packets too, as long as their ends are not known."""
        for writer, following in pairwise(self._open):
            if writer.end is None:
                following.shared[self._reference] += after - first
                writer.waiting[self._reference].extend(packets, first, after)

    def _write(self, *, to_the_end: bool = False) -> None:
        """Find the chunks of what has come, and write it."""
        self._check()
        if to_the_end or self._newest is not None:
            self._router.route(
                self._open,
                # No key frame still to come can be shown before what is decoded now.
                None if to_the_end else self._newest,
                resumed=self._open[0].chunk_id == self._done + 1,
            )
        for writer in self._open:
            writer.write()

    def _is_complete(self) -> bool:
        """Whether the oldest open chunk is sure to be one, and nothing can come for it any more."""
        oldest = self._open[0]
        if oldest.end is None or self._newest is None:
            return False
        if len(self._open) == 2 and self._newest < self._enough_tick:
            return False
        if self._newest > self._skew_clock.last_until(oldest.end):
            return True
        return self._router.has_passed(oldest.end)

    def _finish(self, end: Fraction | None = None) -> tuple[Chunk, ChunkFacts]:
        """Close the oldest open chunk; at `end` if it goes on to the film's."""
        writer = self._open[0]
        following = self._open[1] if len(self._open) > 1 else None
        shared = following.shared if following else [0] * len(self._bases)
        if self._feed.encoded:
            times = writer.times(self._reference, shared[self._reference])
            writer.encoded = len(times & self._feed.encoded)
            self._feed.encoded -= times
        ends = writer.end if end is None else end
        assert ends is not None  # noqa: S101 - it is complete
        chunk, facts = writer.finish(
            ends,
            following.start if following else None,
            shapes=self._shapes,
            reference=self._reference,
            repeated=shared,
            following=following,
        )
        self._ends = list(map(max, self._ends, writer.ends()))
        self._open.popleft()
        self._router.end()
        return chunk, facts

    def _drain(self) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """The feed is at its end."""
        self._write(to_the_end=True)
        if self._resume_tick is not None:
            raise ChunkerError(
                ErrorCode.INTEGRITY, "the film ends before an earlier attempt's last chunk does"
            )
        end = self.end
        if len(self._open) > 1 and not self._plan.is_enough(self._open[-1].start, end):
            tail = self._open.pop()
            self._open[-1].absorb(tail)
            self._open[-1].end = None
        while len(self._open) > 1:
            yield self._finish(end if self._open[0].end is None else None)
        yield self._finish(end)

    @property
    def end(self) -> Fraction:
        """Where the film ends: with its pictures, or with sound that clearly goes on.

        Seconds since the film's start.
        """
        for writer in self._open:
            self._ends = list(map(max, self._ends, writer.ends()))
        ends = [
            ticks * base - self._feed.start
            for ticks, base in zip(self._ends, self._bases, strict=True)
        ]
        own = ends[self._reference]
        return max(ends) if max(ends) > own + OUTLAST else own
