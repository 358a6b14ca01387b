"""Splits a stream of packets into chunks, by presentation time, each packet into one.

The reference stream's packets are split in decoding order at its key frames; the other
streams' packets go by their presentation time to where the pictures of that time are.
Works on a stream without an end: nothing here needs a duration.

A chunk is begun as soon as a key frame may be its start. Whether enough follows for a chunk
of its own is known later; if the film ends before, the chunk before absorbs it.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.feed import Packet, PacketFeed
from m0_chunker.media.mp4.template import borrow_template
from m0_chunker.media.normalise import Normalise, choose_normalise
from m0_chunker.media.spool import Spooling
from m0_chunker.media.writer import ChunkWriter, StreamShape
from m0_chunker.plan import CutPlan, Resumption

SKEW_S = 10.0
"""A chunk waits this long, in film time, for packets of its other streams."""

WAITING_BYTES = 48 * 2**20
"""Packets of other streams that wait for pictures to come, at most."""

OUTLAST = Fraction(1)
"""Sound that goes on this much longer than the pictures moves the film's end, seconds."""


FINE_TICKS = 10_000
"""Ticks a second in a chunk, at least."""


class Splitter:
    """Pull packets from a feed, get chunks."""

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
        check: called at each packet; raises when nobody wants the chunks any more.
        """
        self._check = check
        self._feed, self._plan, self._spooling = feed, plan, spooling
        self._open: deque[ChunkWriter] = deque()
        self._chunk_id = 0
        self._waiting_bytes = 0
        self._told = 0
        self.delivered: list[int] = []

    def chunks(self, resumption: Resumption) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """Chunks, in order, after those that are done already; the taker closes their bodies.

        Raises:
            ChunkerError: whatever ended the film early.
        """
        try:
            for number, packet in self._feed.packets():
                self._check()
                if not self.delivered:
                    self._begin(resumption)
                self._take(number, packet)
                if len(self._open) > 1 and self._is_complete():
                    yield self._finish()
            if not self.delivered:
                raise ChunkerError(ErrorCode.NOT_MEDIA, "the film has not a single packet")
            yield from self._drain()
        finally:
            for writer in self._open:
                writer.discard()

    @property
    def end(self) -> Fraction:
        """Where the film ends: with its pictures, or with sound that clearly goes on.

        Seconds since the film's start.
        """
        ends = [
            ticks * base - self._feed.start
            for ticks, base in zip(self._max_ticks, self._bases, strict=True)
        ]
        own = ends[self._reference]
        return max(ends) if max(ends) > own + OUTLAST else own

    def _begin(self, resumption: Resumption) -> None:
        templates = self._feed.templates
        self._reference = self._feed.reference
        self._bases = [Fraction(template.time_base) for template in templates]
        self._seconds = [float(base) for base in self._bases]
        first = round(self._feed.start / self._bases[self._reference])
        self._max_ticks = [-(2**62)] * len(templates)
        self._max_ticks[self._reference] = first
        self.delivered = [0] * len(templates)
        self._normalise: list[Normalise | None] = [choose_normalise(each) for each in templates]
        self._shapes = [shape_of(template) for template in templates]
        # Another video track goes by its decoding times, which are in order.
        self._in_order = [template.type == "audio" for template in templates]
        self._pending: list[deque[Packet]] = [deque() for _ in templates]
        self._routed_s = [-1e18] * len(templates)
        self._horizon_s = -1e18
        # The open chunks' starts, in each stream's own ticks.
        self._limits: list[deque[int]] = [deque() for _ in templates]
        self._chunk_id = self._done = resumption.chunks
        self._resume_tick: int | None = None
        if resumption.chunks:
            time = (resumption.end + self._feed.start) / self._bases[self._reference]
            self._resume_tick = round(time)
        self._open_writer(resumption.end, resumption.end)

    def _open_writer(self, start: Fraction, nominal: Fraction) -> None:
        self._chunk_id += 1
        shift = max(start - nominal, Fraction(0))
        writer = ChunkWriter(self._chunk_id, start, shift, len(self._bases), self._spooling)
        self._open.append(writer)
        origin = self._feed.start + start
        for number, base in enumerate(self._bases):
            self._limits[number].append(ceil(origin / base))
        plan, base = self._plan, self._bases[self._reference]
        self._due = plan.next_nominal(start)
        self._due_tick = ceil((self._due - plan.tolerance + self._feed.start) / base)
        self._enough_tick = ceil((origin + plan.shortest - plan.tolerance) / base)

    def _take(self, number: int, packet: Packet) -> None:
        self.delivered[number] += 1
        end = packet.pts + (packet.duration or 0)
        if end > self._max_ticks[number]:
            self._max_ticks[number] = end
        if number == self._reference:
            self._take_reference(packet)
            return
        queue = self._pending[number]
        if queue or self._moment(number, packet) * self._seconds[number] > self._horizon_s:
            self._wait(number, packet)
        else:
            self._route(number, packet)

    def _moment(self, number: int, packet: Packet) -> int:
        """By which time a packet of another stream finds its chunk, ticks."""
        moment: int = packet.pts if self._in_order[number] else packet.dts
        return moment

    def _wait(self, number: int, packet: Packet) -> None:
        self._waiting_bytes += packet.size
        if self._waiting_bytes > WAITING_BYTES:
            raise ChunkerError(
                ErrorCode.UNSUPPORTED_MEDIA,
                f"stream {number} runs {WAITING_BYTES >> 20} MiB ahead of the pictures in the "
                "file: its tracks are not interleaved",
            )
        self._pending[number].append(packet)

    def _take_reference(self, packet: Packet) -> None:
        if self._resume_tick is not None and packet.is_keyframe:
            self._look_for_resumption(packet)
        if self._resume_tick is None:
            if packet.is_keyframe:
                self._consider(packet)
            self._write(self._open[-1], self._reference, packet)
            if self._plan.overlap:
                self._share_reference(packet)
        # No key frame still to come can be shown before what is decoded now, so every
        # boundary before this time is known, and the other streams may go on up to it.
        self._horizon_s = packet.dts * self._seconds[self._reference]
        for number, queue in enumerate(self._pending):
            if queue:
                self._release(number, queue)

    def _release(self, number: int, queue: deque[Packet]) -> None:
        seconds = self._seconds[number]
        while queue and self._moment(number, queue[0]) * seconds <= self._horizon_s:
            packet = queue.popleft()
            self._waiting_bytes -= packet.size
            self._route(number, packet)

    def _look_for_resumption(self, key_frame: Packet) -> None:
        """What an earlier attempt has done ends at a key frame of this very time."""
        assert self._resume_tick is not None  # noqa: S101 - the caller looked
        if key_frame.pts > self._resume_tick:
            raise ChunkerError(
                ErrorCode.INTEGRITY, "the film has no key frame where an earlier attempt ended"
            )
        if key_frame.pts == self._resume_tick:
            self._resume_tick = None

    def _consider(self, key_frame: Packet) -> None:
        """A key frame: perhaps the start of a chunk, perhaps the end of an overlap."""
        # Where pictures begin late, their first key frame is no boundary: no chunk without any.
        if key_frame.pts >= self._due_tick and self._open[-1].count(self._reference):
            self._open_writer(self._time(key_frame), self._due)
        if len(self._open) > 1 and self._open[-2].end is None:
            time = self._time(key_frame)
            reach = self._open[-1].start + self._plan.overlap
            if time >= reach - self._plan.tolerance:
                self._open[-2].end = time

    def _time(self, packet: Packet) -> Fraction:
        return Fraction(packet.pts * self._bases[self._reference] - self._feed.start)

    def _share_reference(self, packet: Packet) -> None:
        if len(self._open) > 1 and self._open[-2].end is None:
            self._open[-1].shared[self._reference] += 1
            self._write(self._open[-2], self._reference, packet)

    def _write(self, writer: ChunkWriter, number: int, packet: Packet) -> None:
        if self._shapes[number].template is None:
            shape = shape_of(self._feed.templates[number], packet)
            assert shape.template is not None  # noqa: S101 - the packet made it
            template = self._feed.adapt(number, shape.template)
            self._shapes[number] = replace(shape, template=template)
        normalise = self._normalise[number]
        data = packet if normalise is None else normalise(packet)
        writer.add(
            number,
            data,
            packet.size if normalise is None else len(data),
            packet.dts,
            packet.pts,
            packet.duration or 0,
            key=packet.is_keyframe,
        )

    def _route(self, number: int, packet: Packet) -> None:
        """Give a packet of another stream to the chunks that its time belongs to."""
        limits, moment = self._limits[number], self._moment(number, packet)
        if moment < limits[0] and self._open[0].chunk_id > 1:
            if self._open[0].chunk_id == self._done + 1:
                return  # an earlier attempt has it
            self._refuse_late(number, limits[0] - moment)
        self._routed_s[number] = moment * self._seconds[number]
        at = len(limits) - 1
        while at > 0 and moment < limits[at]:
            at -= 1
        self._write(self._open[at], number, packet)
        if self._plan.overlap and at > 0:
            before = self._open[at - 1]
            time = moment * self._bases[number] - self._feed.start
            if before.end is None or time < before.end:
                self._open[at].shared[number] += 1
                self._write(before, number, packet)

    def _refuse_late(self, number: int, ticks: int) -> None:
        raise ChunkerError(
            ErrorCode.UNSUPPORTED_MEDIA,
            f"stream {number} lags {ticks * self._seconds[number] + SKEW_S:.0f} s behind the "
            "pictures in the file: its tracks are not interleaved",
        )

    def _is_complete(self) -> bool:
        """Whether the oldest open chunk is sure to be one, and nothing can come for it any more."""
        oldest = self._open[0]
        if oldest.end is None:
            return False
        if len(self._open) == 2 and self._max_ticks[self._reference] < self._enough_tick:
            return False
        end_s = float(oldest.end + self._feed.start)
        if self._horizon_s > end_s + SKEW_S:
            return True
        return all(
            routed >= end_s - 1e-6
            for number, routed in enumerate(self._routed_s)
            if number != self._reference
        )

    def _finish(self, end: Fraction | None = None) -> tuple[Chunk, ChunkFacts]:
        """Close the oldest open chunk."""
        writer = self._open[0]
        repeated = self._open[1].shared if len(self._open) > 1 else [0] * len(self._bases)
        writer.encoded, self._told = self._feed.encoded - self._told, self._feed.encoded
        ends = writer.end if end is None else end
        assert ends is not None  # noqa: S101 - it is complete
        following = self._open[1].start if len(self._open) > 1 else None
        sealed, facts = writer.finish(
            ends, following, self._shapes, self._feed.start, self._reference, repeated
        )
        self._open.popleft()
        for limits in self._limits:
            limits.popleft()
        return sealed.chunk, facts

    def _drain(self) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """The feed is at its end."""
        for number, queue in enumerate(self._pending):
            self._horizon_s = float("inf")
            self._release(number, queue)
        newest = self._open[-1]
        if len(self._open) > 1 and not self._plan.is_enough(newest.start, self.end):
            tail = self._open.pop()
            self._open[-1].absorb(tail)
            self._open[-1].end = None
        while len(self._open) > 1:
            if self._open[0].end is None:
                self._open[0].end = self.end
            yield self._finish()
        yield self._finish(self.end)


def shape_of(stream: Any, packet: Packet = None) -> StreamShape:
    """What the writer must know of a stream; its template needs a packet of it."""
    base = Fraction(stream.time_base)
    name = stream.codec_context.name
    bits = re.fullmatch(r"pcm_[a-z]+?(\d+)?(?:[lb]e)?", name)
    frame_bytes = 0
    if bits:
        frame_bytes = int(bits[1] or 8) // 8 * stream.codec_context.layout.nb_channels
    # Coarse ticks (1 ms in Matroska, a whole frame in AVI) could not say where a cut is.
    finer = -(-FINE_TICKS // base.denominator)
    timescale = base.denominator * finer
    return StreamShape(
        timescale=timescale,
        factor=base.numerator * finer,
        template=None if packet is None else borrow_template(stream, packet),
        frame_bytes=frame_bytes,
        sample_rate=stream.codec_context.sample_rate if bits else 0,
        hidden=0 if packet is None else _priming(stream, packet, timescale),
    )


def _priming(stream: Any, packet: Packet, timescale: int) -> int:
    """How much of the first packet's sound the container says to skip, ticks."""
    if stream.type != "audio" or not packet.has_sidedata("skip_samples"):
        return 0
    (samples,) = struct.unpack_from("<I", bytes(packet.get_sidedata("skip_samples")))
    return int(samples * timescale // stream.codec_context.sample_rate)
