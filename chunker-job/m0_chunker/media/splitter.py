"""Splits a stream of packets into chunks, by presentation time, each packet into one.

The reference stream's packets are split in decoding order at its key frames; the other
streams' packets go by their presentation time to where the pictures of that time are.
Works on a stream without an end: nothing here needs a duration.

A chunk is begun as soon as a key frame may be its start. Whether enough follows for a chunk
of its own is known later; if the film ends before, the chunk before absorbs it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.clock import Clock
from m0_chunker.media.feed import Packet, PacketFeed
from m0_chunker.media.router import SKEW_S, Router
from m0_chunker.media.shape import shape_of, usual_duration
from m0_chunker.media.spool import Spooling
from m0_chunker.media.writer import BATCH_BYTES, ChunkWriter
from m0_chunker.plan import CutPlan, Resumption

OUTLAST = Fraction(1)
"""Sound that goes on this much longer than the pictures moves the film's end, seconds."""


class Splitter:
    """Pull packets from a feed, get chunks.

    Attributes:
        delivered: packets of each stream that came so far.
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
        self._newest: Packet | None = None
        self.delivered: list[int] = []

    def chunks(self, resumption: Resumption) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """Chunks, in order, after those that are done already; the taker closes their bodies.

        Raises:
            ChunkerError: whatever ended the film early.
        """
        try:
            packets = self._feed.packets()
            first = next(packets, None)
            if first is None:
                raise ChunkerError(ErrorCode.NOT_MEDIA, "the film has not a single packet")
            self._begin(resumption)
            yield from self._split(chain([first], packets))
            yield from self._drain()
        finally:
            for writer in self._open:
                writer.discard()

    def _begin(self, resumption: Resumption) -> None:
        templates = self._feed.templates
        self._reference = self._feed.reference
        self._bases = [Fraction(template.time_base) for template in templates]
        self._clock = Clock.of(self._feed.start, self._base)
        self.delivered = [0] * len(templates)
        self._normalise = list(map(self._feed.normalise, range(len(templates))))
        self._shapes = [shape_of(template) for template in templates]
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
    def kinds(self) -> str:
        """`v` or `a` for each stream."""
        return "".join(template.type[0] for template in self._feed.templates)

    @property
    def _base(self) -> Fraction:
        """Seconds in a tick of the reference."""
        return self._bases[self._reference]

    def _split(self, packets: Iterable[tuple[int, Packet]]) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """The loop that every packet passes; all that can is done for many at a time."""
        reference, delivered, queues = self._reference, self.delivered, self._router.queues
        opened, overlap, unwritten = self._open, bool(self._plan.overlap), 0
        undescribed = set(range(len(queues)))
        taking, newest = opened[-1].waiting[reference], self._newest
        for number, packet in packets:
            delivered[number] += 1
            if undescribed and number in undescribed:
                undescribed.remove(number)
                self._describe(number, packet)
            if number == reference:
                newest = packet
                if packet.is_keyframe:
                    if self._consider(packet):
                        unwritten = BATCH_BYTES
                    taking = opened[-1].waiting[reference]
                if self._resume_tick is None:
                    taking.append(packet)
                    if overlap:
                        self._share_reference(packet)
            else:
                queues[number].append(packet)
            unwritten += packet.size
            if unwritten >= BATCH_BYTES:
                unwritten = 0
                self._newest = newest
                self._write()
                while len(opened) > 1 and self._is_complete():
                    yield self._finish()

    def _describe(self, number: int, packet: Packet) -> None:
        shape = shape_of(self._feed.templates[number], packet)
        assert shape.template is not None  # noqa: S101 - the packet made it
        template = self._feed.adapt(number, shape.template)
        self._shapes[number] = replace(shape, template=template)

    def _consider(self, key_frame: Packet) -> bool:
        """A key frame: perhaps the start of a chunk, perhaps the end of an overlap.

        Returns:
            Whether it is time to write: a chunk begins, or may be complete.
        """
        began = False
        if self._resume_tick is not None:
            began = self._look_for_resumption(key_frame, self._resume_tick)
        # Where pictures begin late, their first key frame is no boundary: no chunk without any.
        elif key_frame.pts >= self._due_tick and self._open[-1].count(self._reference):
            self._open_writer(self._time(key_frame), self._due)
            began = True
        # An overlap may reach over the next chunk, and end where yet another one begins.
        for writer, following in pairwise(self._open):
            if writer.end is None and key_frame.pts >= self._reach(following.start):
                writer.end = self._time(key_frame)
        # When is written what, and so each chunk's layout, must not depend on the chunks before:
        # they are not there in a run that goes on from one.
        return began or key_frame.dts >= self._enough_tick

    def _reach(self, boundary: Fraction) -> int:
        """The first tick at which the chunk before `boundary` may end."""
        return self._clock.first_from(boundary + self._plan.overlap - self._plan.tolerance)

    def _look_for_resumption(self, key_frame: Packet, wanted: int) -> bool:
        """What an earlier attempt has done ends at a key frame of this very time: at this one?"""
        if key_frame.pts > wanted:
            raise ChunkerError(
                ErrorCode.INTEGRITY, "the film has no key frame where an earlier attempt ended"
            )
        if key_frame.pts == wanted:
            self._resume_tick = None
        return self._resume_tick is None

    def _open_writer(self, start: Fraction, nominal: Fraction) -> None:
        self._chunk_id += 1
        shift = max(start - nominal, Fraction(0))
        self._open.append(
            ChunkWriter(
                self._chunk_id,
                start,
                shift,
                normalise=self._normalise,
                durations=self._durations,
                spooling=self._spooling,
            )
        )
        self._router.begin(start)
        self._due = self._plan.next_nominal(start)
        self._due_tick = self._clock.first_from(self._due - self._plan.tolerance)
        self._enough_tick = self._clock.first_from(start + self._plan.shortest)

    def _time(self, packet: Packet) -> Fraction:
        return self._clock.time(packet.pts)

    def _share_reference(self, packet: Packet) -> None:
        for writer, following in pairwise(self._open):
            if writer.end is None:
                following.shared[self._reference] += 1
                writer.waiting[self._reference].append(packet)

    def _write(self, *, to_the_end: bool = False) -> None:
        """Find the chunks of what has come, and write it."""
        self._check()
        if to_the_end or self._newest is not None:
            self._router.route(
                self._open,
                # No key frame still to come can be shown before what is decoded now.
                None if to_the_end or self._newest is None else self._newest.dts,
                resumed=self._open[0].chunk_id == self._done + 1,
            )
        for writer in self._open:
            writer.write()

    def _is_complete(self) -> bool:
        """Whether the oldest open chunk is sure to be one, and nothing can come for it any more."""
        oldest = self._open[0]
        if oldest.end is None or self._newest is None:
            return False
        if len(self._open) == 2 and self._newest.dts < self._enough_tick:
            return False
        if self._newest.dts > self._clock.last_until(oldest.end + SKEW_S):
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
        sealed, facts = writer.finish(
            ends,
            following.start if following else None,
            shapes=self._shapes,
            origin=self._feed.start,
            reference=self._reference,
            repeated=shared,
            following=following,
        )
        self._ends = list(map(max, self._ends, writer.ends()))
        self._open.popleft()
        self._router.end()
        return sealed.chunk, facts

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
