"""A chunk made packet by packet."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, compress, count, islice, pairwise, repeat
from operator import add, lt, sub
from typing import NamedTuple

from m0_contract.errors import Stage

from m0_chunker.chunk import Chunk
from m0_chunker.errors import from_os_error
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.mp4.build import ChunkTrack
from m0_chunker.media.mp4.runs import Runs
from m0_chunker.media.mp4.template import without_priming
from m0_chunker.media.mp4.track import REORDER
from m0_chunker.media.packets import Packets
from m0_chunker.media.seal import make_head, seal
from m0_chunker.media.shape import StreamShape
from m0_chunker.media.spool import Spooling


@dataclass(slots=True)
class _Samples:
    """One stream's packets in this chunk, times in the stream's ticks.

    Attributes:
        usual_duration: of a packet that doesn't say its own.
        waiting: those that are not written yet.
        size_bytes: of all that were.
        keys: 1 for each key frame, 0 for each other.
    """

    usual_duration: int
    waiting: Packets = field(default_factory=Packets)
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    size_bytes: int = 0
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)
    run_firsts: list[int] = field(default_factory=list)
    run_places: list[int] = field(default_factory=list)
    last_duration: int = 1
    end: int = -(2**62)


BATCH_BYTES = 256 * 1024
"""Packets are written about this much at a time, each stream's together."""


class ChunkWriter:
    """Collects the packets of one chunk.

    Attributes:
        shared: how many packets of each stream, the first ones, the chunk before has as well.
        encoded: packets that are not the film's own.
    """

    def __init__(
        self,
        chunk_id: int,
        start: Fraction,
        shift: Fraction,
        *,
        durations: Sequence[int],
        spooling: Spooling,
    ) -> None:
        """Args:
        chunk_id: from 1.
        start: seconds since the film's start.
        shift: how far that is behind its nominal time, seconds.
        durations: of a packet of each stream that doesn't say its own, ticks.
        spooling: where the bytes go.
        """
        self.chunk_id, self.start, self.shift = chunk_id, start, shift
        self.end: Fraction | None = None
        self.shared = [0] * len(durations)
        self.encoded = 0
        self._samples = [_Samples(duration) for duration in durations]
        self.waiting = [samples.waiting for samples in self._samples]
        self._spool = spooling.open()

    def count(self, number: int) -> int:
        """Packets of stream `number` so far."""
        samples = self._samples[number]
        return len(samples.sizes) + len(samples.waiting)

    def times(self, number: int, but: int) -> set[int]:
        """When the packets of stream `number` are shown, without the last `but`, ticks."""
        self.write()
        pts = self._samples[number].pts
        return set(pts[: len(pts) - but])

    def ends(self) -> list[int]:
        """The latest end of each stream's packets, ticks; those that wait included."""
        self.write()
        return [samples.end for samples in self._samples]

    def write(self) -> None:
        """Write what was appended to `waiting`.

        Raises:
            ChunkerError: DISK_FULL.
        """
        for samples in self._samples:
            if samples.waiting.sizes:
                self._append(samples, samples.waiting)
                samples.waiting.drop(len(samples.waiting))

    def _append(self, samples: _Samples, packets: Packets) -> None:
        durations, usual = packets.durations, samples.usual_duration
        samples.last_duration = durations[-1] or usual
        if durations.count(durations[0]) == len(durations):  # as in most films
            end = max(packets.pts) + samples.last_duration
        else:
            end = max(map(add, packets.pts, (duration or usual for duration in durations)))
        samples.end = max(samples.end, end)
        samples.run_firsts.append(len(samples.sizes))
        samples.run_places.append(self._spool.size)
        samples.keys += bytes(packets.keys)
        samples.sizes.fromlist(packets.sizes)
        samples.dts.fromlist(packets.dts)
        samples.pts.fromlist(packets.pts)
        data = b"".join(packets.payloads)
        samples.size_bytes += len(data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            self._spool.write(data)
        except OSError as error:
            raise from_os_error(error, f"writing chunk {self.chunk_id}", Stage.CHUNK) from error

    def absorb(self, other: "ChunkWriter") -> None:
        """Take over what `other`, the next chunk, holds, but for what both have."""
        self.write()
        other.write()
        runs = sorted(
            (place, number, at)
            for number, samples in enumerate(other._samples)  # noqa: SLF001 - one of its own kind
            for at, place in enumerate(samples.run_places)
        )
        for place, number, at in runs:
            self._absorb_run(other, place, number, at)
        other.discard()

    def _absorb_run(self, other: "ChunkWriter", place: int, number: int, at: int) -> None:
        theirs, ours = other._samples[number], self._samples[number]  # noqa: SLF001
        first = theirs.run_firsts[at]
        after = theirs.run_firsts[at + 1] if at + 1 < len(theirs.run_firsts) else None
        skip = max(first, other.shared[number])
        sizes = theirs.sizes[skip:after]
        if not sizes:
            return
        other._spool.seek(place + sum(theirs.sizes[first:skip]))  # noqa: SLF001
        ours.run_firsts.append(len(ours.sizes))
        ours.run_places.append(self._spool.size)
        ours.keys += theirs.keys[skip:after]
        ours.sizes.extend(sizes)
        ours.dts.extend(theirs.dts[skip:after])
        ours.pts.extend(theirs.pts[skip:after])
        ours.last_duration, ours.end = theirs.last_duration, max(ours.end, theirs.end)
        data = other._spool.read(sum(sizes))  # noqa: SLF001
        ours.size_bytes += len(data)
        self._write(data)

    def discard(self) -> None:
        """Throw the chunk away."""
        self._spool.close()

    def finish(
        self,
        end: Fraction,
        next_start: Fraction | None,
        *,
        shapes: Sequence[StreamShape],
        reference: int,
        repeated: Sequence[int],
        following: "ChunkWriter | None" = None,
    ) -> tuple[Chunk, ChunkFacts]:
        """Make the chunk.

        Args:
            end: where it ends, seconds since the film's start.
            next_start: where the next one begins; None: there is none.
            shapes: of the streams.
            reference: which stream's gaps and leading pictures are told of.
            repeated: packets of each stream that the next chunk has as well.
            following: the next chunk; a gap may lie between the two.

        Raises:
            ChunkerError: INTEGRITY, DISK_FULL.
        """
        self.write()
        used = [number for number, samples in enumerate(self._samples) if samples.sizes]
        tracks = [self._describe(self._samples[at], shapes[at]) for at in used]
        head = make_head(self.chunk_id, tracks, self._spool.size)
        try:
            chunk = seal(self.chunk_id, self.start, end, next_start, head=head, spool=self._spool)
        except OSError as error:
            raise from_os_error(error, f"writing chunk {self.chunk_id}", Stage.CHUNK) from error
        written = [0] * len(self._samples)
        for number, track in zip(used, head.tracks, strict=True):
            samples = self._samples[number]
            whole = track.size_bytes == samples.size_bytes
            counted = len(samples.sizes) if shapes[number].frame_bytes else track.samples
            written[number] = counted if whole else 0
        samples = self._samples[reference]
        after = [] if following is None else following._first_dts(reference)  # noqa: SLF001
        after = after or [int(samples.dts[-1]) + samples.last_duration] if samples.dts else []
        gap_s, leading = self._look(shapes[reference], samples, after)
        return chunk, ChunkFacts(
            read=[len(samples.sizes) for samples in self._samples],
            written=written,
            repeated=list(repeated),
            size_bytes=chunk.size_bytes,
            sha256=bytes.fromhex(chunk.sha256),
            gap_s=gap_s,
            shift_s=float(following.shift) if following else 0.0,
            leading=leading,
            encoded=self.encoded,
        )

    def _first_dts(self, number: int) -> list[int]:
        """When the first packet of stream `number` is decoded, ticks; nothing if there is none."""
        self.write()
        return self._samples[number].dts[:1].tolist()

    def _look(self, shape: StreamShape, samples: _Samples, after: list[int]) -> tuple[float, int]:
        """(longest step between two packets in seconds, leading pictures) of the reference.

        Args:
            shape: of the reference.
            samples: likewise.
            after: when the first packet after them is decoded, ticks.
        """
        if not samples.dts:
            return 0.0, 0
        gap = max(map(sub, chain(islice(samples.dts, 1, None), after), samples.dts))
        leading = 0
        if self.chunk_id > 1:
            leading = sum(map(lt, samples.pts[1:REORDER], repeat(samples.pts[0])))
        over, under = shape.base.as_integer_ratio()
        return gap * over / under, leading

    def _describe(self, samples: _Samples, shape: StreamShape) -> ChunkTrack:
        assert shape.template is not None  # noqa: S101 - it has packets
        if shape.frame_bytes:
            return self._describe_pcm(samples, shape)
        times = _to_runs(samples, shape)
        if min(times.deltas.values) < 1 or (times.offsets and min(times.offsets.values) < 0):
            _put_in_order(samples)
            times = _to_runs(samples, shape)
        counts = map(sub, [*samples.run_firsts[1:], len(samples.sizes)], samples.run_firsts)
        first = self.chunk_id == 1
        begin, shown = shape.rescale([samples.dts[0], min(samples.pts[:REORDER])])
        return ChunkTrack(
            template=shape.template if first else without_priming(shape.template),
            timescale=shape.timescale,
            sizes=samples.sizes,
            deltas=times.deltas.scaled(times.factor),
            duration=times.duration * times.factor,
            offsets=times.offsets and times.offsets.scaled(times.factor),
            sync=array("I", compress(count(), samples.keys)) if 0 in samples.keys else None,
            run_counts=list(counts),
            run_places=samples.run_places,
            run_descriptions=None,
            begin=shape.chunk_clock.ticks_between(begin, self.start),
            hidden=shown - begin + (shape.priming if first else 0),
            span=shape.clock.seconds_between(self.start, samples.end),
        )

    def _describe_pcm(self, samples: _Samples, shape: StreamShape) -> ChunkTrack:
        """Uncompressed sound: a sample is one value of each channel, whatever a packet was."""
        assert shape.template is not None  # noqa: S101 - it has packets
        firsts = [*samples.run_firsts, len(samples.sizes)]
        counts = [sum(samples.sizes[a:b]) // shape.frame_bytes for a, b in pairwise(firsts)]
        first = shape.clock.time(samples.pts[0]) - self.start
        total = sum(counts)
        return ChunkTrack(
            template=shape.template,
            timescale=shape.sample_rate,
            sizes=(shape.frame_bytes, total),
            deltas=Runs([total], [1]),
            duration=total,
            offsets=None,
            sync=None,
            run_counts=counts,
            run_places=samples.run_places,
            run_descriptions=None,
            begin=float(-first * shape.sample_rate),
            hidden=0,
            span=float(first + Fraction(total, shape.sample_rate)),
        )


class _Times(NamedTuple):
    """When a stream's packets are decoded and shown.

    Attributes:
        deltas: decoding time steps.
        duration: their sum.
        offsets: from decoding to presentation; None where all are 0.
        factor: what to multiply all of these by to have the chunk's ticks.
    """

    deltas: Runs
    duration: int
    offsets: Runs | None
    factor: int


def _to_runs(samples: _Samples, shape: StreamShape) -> _Times:
    dts = samples.dts.tolist()
    pts = dts if samples.pts == samples.dts else samples.pts.tolist()
    last, factor = samples.last_duration, shape.factor
    if not factor or last < 1:  # else only what is left of the times need be converted
        dts, pts, (last,) = map(shape.rescale, (dts, pts, [last]))
        factor = 1
    last = max(last, 1)
    deltas = Runs.of(chain(map(sub, islice(dts, 1, None), dts), [last]))
    offsets = None if pts == dts else Runs.of(map(sub, pts, dts))
    return _Times(deltas, dts[-1] - dts[0] + last, offsets, factor)


def _put_in_order(samples: _Samples) -> None:
    """Damaged time stamps: keep the payload all the same, at times that an index can say."""
    before = samples.dts[0] - 1
    for at, time in enumerate(samples.dts):
        before = samples.dts[at] = max(before + 1, time)
    samples.pts = array("q", map(max, samples.pts, samples.dts))
