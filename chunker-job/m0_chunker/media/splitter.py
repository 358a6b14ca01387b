"""Splits a stream of packets into chunks, by presentation time, each packet into one.

The reference stream's packets are split in decoding order at its key frames; the other
streams' packets go by their presentation time to where the pictures of that time are.
Works on a stream without an end: nothing here needs a duration.
"""

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import Certificate
from m0_chunker.media.feed import Packet, PacketFeed
from m0_chunker.media.writer import ChunkWriter, Spooling
from m0_chunker.plan import CutPlan

SKEW_S = 10.0
"""A chunk waits this long, in film time, for packets of its other streams."""

HELD_BYTES = 256 * 2**20
"""Packets held at most while it is open whether a boundary is one; a limit for bombs."""

OUTLAST = Fraction(1)
"""Sound that goes on this much longer than the pictures moves the film's end, seconds."""


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
        self._last = Fraction(0)  # the newest committed boundary
        self._candidate: Fraction | None = None
        self._held: list[Packet] = []
        self._held_bytes = 0
        self._ends: list[Fraction] = []  # seconds since start, by stream
        self.certificate: Certificate | None = None

    def chunks(self) -> Iterator[Chunk]:
        """Chunks, in order; the taker closes their bodies.

        Raises:
            ChunkerError: whatever ended the film early.
        """
        try:
            for number, packet in self._feed.packets():
                self._check()
                if self.certificate is None:
                    self._begin()
                self._take(number, packet)
                if len(self._open) > 1 and self._is_complete():
                    yield self._finish(self._open[1].start)
            if self.certificate is None:
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
        reference = self._ends[self._feed.reference]
        longest = max(self._ends)
        return longest if longest > reference + OUTLAST else reference

    def _begin(self) -> None:
        templates = self._feed.templates
        self._bases = [Fraction(template.time_base) for template in templates]
        self._seconds = [float(base) for base in self._bases]
        self._start_s = float(self._feed.start)
        self._ends = [Fraction(0)] * len(templates)
        self._max_ticks = [-(2**63)] * len(templates)
        self._pending: list[deque[Packet]] = [deque() for _ in templates]
        self._routed_s = [-1e18] * len(templates)
        self._horizon_s = -1e18
        # Boundaries in each stream's own ticks: the newest open chunks' starts.
        self._limits: list[deque[int]] = [deque() for _ in templates]
        self.certificate = Certificate(
            [template.type for template in templates],
            exact=self._feed.exact,
            counted=["pcm" not in template.codec_context.name for template in templates],
        )
        self._open_writer(Fraction(0))

    def _open_writer(self, start: Fraction) -> None:
        self._chunk_id += 1
        origin = self._feed.start + start
        self._open.append(
            ChunkWriter(self._chunk_id, start, origin, self._feed.templates, self._spooling)
        )
        for number, base in enumerate(self._bases):
            self._limits[number].append(round(origin / base))
        self._last = start

    def _take(self, number: int, packet: Packet) -> None:
        assert self.certificate is not None  # noqa: S101 - set by _begin
        self.certificate.count_in(number, packet)
        end = packet.pts + (packet.duration or 0)
        if end > self._max_ticks[number]:
            self._max_ticks[number] = end
            self._ends[number] = end * self._bases[number] - self._feed.start
        if number != self._feed.reference:
            self._pending[number].append(packet)
            self._route(number)
            return
        if packet.is_keyframe and self._candidate is None:
            self._consider(packet)
        if self._candidate is None:
            self._mux_reference(packet)
        else:
            self._hold(packet)

    def _consider(self, key_frame: Packet) -> None:
        """Decide whether this key frame is a boundary, or may turn out to be one."""
        time = key_frame.pts * self._bases[self._feed.reference] - self._feed.start
        if not self._plan.is_boundary(time, self._last):
            return
        known_end = self._feed.known_end
        if known_end is not None and self._plan.is_enough(time, known_end):
            self._open_writer(time)
        else:
            self._candidate = time

    def _hold(self, packet: Packet) -> None:
        """Keep packets back until enough has come after the candidate for a chunk."""
        assert self._candidate is not None  # noqa: S101 - the caller checked
        self._held.append(packet)
        self._held_bytes += packet.size
        if self._held_bytes > HELD_BYTES:
            raise ChunkerError(
                ErrorCode.LIMIT_EXCEEDED,
                f"half a chunk has more than {HELD_BYTES >> 20} MiB: ask for shorter chunks",
            )
        if self._plan.is_enough(self._candidate, self._ends[self._feed.reference]):
            self._open_writer(self._candidate)
            self._release()

    def _release(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        self._candidate = None
        for packet in held:
            self._mux_reference(packet)

    def _mux_reference(self, packet: Packet) -> None:
        reference = self._feed.reference
        # No key frame still to come can be shown before what is decoded now, so every
        # boundary before this time is known, and the other streams may go on up to it.
        self._horizon_s = packet.dts * self._seconds[reference]
        self._open[-1].mux(reference, packet)
        for number, queue in enumerate(self._pending):
            if queue:
                self._route(number)

    def _route(self, number: int, *, everything: bool = False) -> None:
        queue, seconds, limits = self._pending[number], self._seconds[number], self._limits[number]
        while queue and (everything or queue[0].pts * seconds <= self._horizon_s):
            packet = queue.popleft()
            at = len(limits) - 1
            while at > 0 and packet.pts < limits[at]:
                at -= 1
            if at == 0 and self._open[0].chunk_id > 1 and packet.pts < limits[0] - 1:
                self._refuse_late(number, packet)
            self._routed_s[number] = packet.pts * seconds
            self._open[at].mux(number, packet)

    def _refuse_late(self, number: int, packet: Packet) -> None:
        late_s = float(self._limits[number][0] - packet.pts) * self._seconds[number]
        raise ChunkerError(
            ErrorCode.UNSUPPORTED_MEDIA,
            f"stream {number} lags {late_s + SKEW_S:.0f} s behind the pictures in the file: "
            "its tracks are not interleaved",
        )

    def _is_complete(self) -> bool:
        """Whether nothing can come any more for the oldest open chunk."""
        end_s = float(self._open[1].start + self._feed.start)
        if self._horizon_s > end_s + SKEW_S:
            return True
        return all(
            routed >= end_s - 1e-6
            for number, routed in enumerate(self._routed_s)
            if number != self._feed.reference
        )

    def _finish(self, end: Fraction) -> Chunk:
        assert self.certificate is not None  # noqa: S101 - set by _begin
        chunk = self._open[0].finish(end, self.certificate)
        self._open.popleft()
        for limits in self._limits:
            limits.popleft()
        return chunk

    def _drain(self) -> Iterator[Chunk]:
        """The feed is at its end: what is held is the tail of the last chunk."""
        self._release()
        for number in range(len(self._pending)):
            self._route(number, everything=True)
        while len(self._open) > 1:
            yield self._finish(self._open[1].start)
        yield self._finish(self.end)
