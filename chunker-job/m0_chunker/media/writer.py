"""A chunk made packet by packet."""

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any

from m0_contract.errors import ErrorCode, Stage

from m0_chunker.errors import ChunkerError, from_os_error
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.mp4.build import ChunkTrack
from m0_chunker.media.mp4.template import TrackTemplate, without_priming
from m0_chunker.media.seal import Sealed, seal
from m0_chunker.media.spool import Spool, Spooling


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What the writer must know of a stream.

    Attributes:
        timescale: ticks a second in the chunk.
        factor: of those, in a tick of the stream's packets.
        template: None until its first packet has come.
        frame_bytes: of uncompressed sound, bytes of one sample of all channels; else 0.
        sample_rate: of uncompressed sound.
        hidden: what is not to be played at the film's start, ticks of the chunk.
    """

    timescale: int
    factor: int
    template: TrackTemplate | None
    frame_bytes: int = 0
    sample_rate: int = 0
    hidden: int = 0


@dataclass
class _Samples:
    """One stream's packets in this chunk, times in the stream's ticks."""

    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    sync: "array[int]" = field(default_factory=lambda: array("I"))
    run_firsts: list[int] = field(default_factory=list)
    run_places: list[int] = field(default_factory=list)
    last_duration: int = 1


BATCH_BYTES = 256 * 1024
"""Packets are written this much at a time."""


class ChunkWriter:
    """Collects the packets of one chunk."""

    def __init__(
        self, chunk_id: int, start: Fraction, shift: Fraction, streams: int, spooling: Spooling
    ) -> None:
        """`shared` counts the packets, the first ones, that the chunk before has as well.

        Args:
        chunk_id: from 1.
        start: seconds since the film's start.
        shift: how far that is behind its nominal time, seconds.
        streams: how many there are.
        spooling: where the bytes go.
        """
        self.chunk_id, self.start, self.shift = chunk_id, start, shift
        self.end: Fraction | None = None
        self.shared = [0] * streams
        self.encoded = 0
        self._samples = [_Samples() for _ in range(streams)]
        self._spool = spooling.open()
        self._batch: list[Any] = []
        self._batch_bytes = 0
        self._size = 0
        self._crc = 0
        self._latest: _Samples | None = None

    def add(
        self, number: int, data: Any, size: int, dts: int, pts: int, duration: int, *, key: bool
    ) -> None:
        """Append a packet of stream `number`: `size` bytes of `data`, times in its ticks.

        Raises:
            ChunkerError: DISK_FULL.
        """
        samples = self._samples[number]
        count = len(samples.sizes)
        if samples is not self._latest:
            samples.run_firsts.append(count)
            samples.run_places.append(self._size)
            self._latest = samples
        if key:
            samples.sync.append(count)
        if count and dts <= samples.dts[-1]:  # damaged time stamps: keep the payload all the same
            dts = samples.dts[-1] + 1
        samples.dts.append(dts)
        samples.pts.append(pts if pts >= dts else dts)
        samples.last_duration = duration
        samples.sizes.append(size)
        self._size += size
        self._batch.append(data)
        self._batch_bytes += size
        if self._batch_bytes >= BATCH_BYTES:
            self._write_batch()

    def _write_batch(self) -> None:
        if not self._batch:
            return
        data = b"".join(self._batch)
        self._batch, self._batch_bytes = [], 0
        self._crc = zlib.crc32(data, self._crc)
        try:
            self._spool.write(data)
        except OSError as error:
            raise from_os_error(error, f"writing chunk {self.chunk_id}", Stage.CHUNK) from error

    def count(self, number: int) -> int:
        """Packets of stream `number` so far."""
        return len(self._samples[number].sizes)

    def absorb(self, other: "ChunkWriter") -> None:
        """Take over what `other`, the next chunk, holds, but for what both have."""
        other._write_batch()  # noqa: SLF001 - one of its own kind
        runs = sorted(
            (place, number, at)
            for number, samples in enumerate(other._samples)  # noqa: SLF001 - one of its own kind
            for at, place in enumerate(samples.run_places)
        )
        for place, number, at in runs:
            self._absorb_run(other, place, number, at, other.shared[number])
        other.discard()

    def _absorb_run(
        self, other: "ChunkWriter", place: int, number: int, at: int, skip: int
    ) -> None:
        samples = other._samples[number]  # noqa: SLF001 - one of its own kind
        firsts = [*samples.run_firsts, len(samples.sizes)]
        sync = set(samples.sync)
        for sample in range(firsts[at], firsts[at + 1]):
            size = samples.sizes[sample]
            if sample >= skip:
                other._spool.seek(place)  # noqa: SLF001
                following = sample + 1 < len(samples.sizes)
                self.add(
                    number,
                    other._spool.read(size),  # noqa: SLF001
                    size,
                    samples.dts[sample],
                    samples.pts[sample],
                    samples.dts[sample + 1] - samples.dts[sample]
                    if following
                    else samples.last_duration,
                    key=sample in sync,
                )
            place += size

    def discard(self) -> None:
        """Throw the chunk away."""
        self._spool.close()

    def finish(
        self,
        end: Fraction,
        next_start: Fraction | None,
        shapes: Sequence[StreamShape],
        origin: Fraction,
        reference: int,
        repeated: Sequence[int],
    ) -> tuple[Sealed, ChunkFacts]:
        """Make the chunk.

        Args:
            end: where it ends, seconds since the film's start.
            next_start: where the next one begins; None: there is none.
            shapes: of the streams.
            origin: the time stamp of the film's start, seconds.
            reference: which stream's gaps and leading pictures are told of.
        repeated: packets of each stream that the next chunk has as well.

        Raises:
            ChunkerError: INTEGRITY, DISK_FULL.
        """
        used = [number for number, samples in enumerate(self._samples) if samples.sizes]
        tracks = [self._describe(self._samples[at], shapes[at], origin) for at in used]
        try:
            self._check_bytes()
            sealed = seal(self.chunk_id, self.start, end, next_start, tracks, self._spool)
        except OSError as error:
            raise from_os_error(error, f"writing chunk {self.chunk_id}", Stage.CHUNK) from error
        written = [0] * len(self._samples)
        for number, track in zip(used, sealed.tracks, strict=True):
            samples = self._samples[number]
            whole = track.size_bytes == sum(samples.sizes)
            counted = len(samples.sizes) if shapes[number].frame_bytes else track.samples
            written[number] = counted if whole else 0
        gap_s, leading = self._look(shapes[reference], self._samples[reference])
        return sealed, ChunkFacts(
            read=[len(samples.sizes) for samples in self._samples],
            written=written,
            repeated=list(repeated),
            size_bytes=sealed.payload_bytes,
            payload_sha256=sealed.payload_sha256,
            gap_s=gap_s,
            shift_s=float(self.shift),
            leading=leading,
            encoded=self.encoded,
        )

    def _check_bytes(self) -> None:
        """What is on the spool is what was put there."""
        self._write_batch()
        crc = 0
        for data in self._spool.buffers():
            crc = zlib.crc32(data, crc)
        if crc != self._crc:
            raise ChunkerError(
                ErrorCode.INTEGRITY,
                "what was read back is not what was written",
                chunk_id=self.chunk_id,
            )

    def _look(self, shape: StreamShape, samples: _Samples) -> tuple[float, int]:
        """(longest step between two packets in seconds, leading pictures) of the reference."""
        if not samples.dts:
            return 0.0, 0
        gap = max(map(int.__sub__, samples.dts[1:], samples.dts), default=samples.last_duration)
        key = samples.pts[0]
        leading = sum(pts < key for pts in samples.pts[1:33]) if self.chunk_id > 1 else 0
        return gap * shape.factor / shape.timescale, leading

    def _describe(self, samples: _Samples, shape: StreamShape, origin: Fraction) -> ChunkTrack:
        assert shape.template is not None  # noqa: S101 - it has packets
        if shape.frame_bytes:
            return self._describe_pcm(samples, shape, origin)
        factor, dts, pts = shape.factor, samples.dts, samples.pts
        steps = list(map(int.__sub__, dts[1:], dts))
        offsets = list(map(int.__sub__, pts, dts))
        end = max(pts[-1 - at] for at in range(min(32, len(pts)))) + max(samples.last_duration, 1)
        origin_ticks = (origin + self.start) * shape.timescale
        counts = map(int.__sub__, [*samples.run_firsts[1:], len(dts)], samples.run_firsts)
        first = self.chunk_id == 1
        return ChunkTrack(
            template=shape.template if first else without_priming(shape.template),
            timescale=shape.timescale,
            sizes=samples.sizes,
            deltas=_run_lengths([*steps, max(samples.last_duration, 1)], factor),
            offsets=_run_lengths(offsets, factor) if any(offsets) else None,
            sync=None if len(samples.sync) == len(dts) else samples.sync,
            run_counts=list(counts),
            run_places=samples.run_places,
            run_descriptions=None,
            begin=origin_ticks - dts[0] * factor,
            hidden=shape.hidden if first else 0,
            span=Fraction(end * factor, shape.timescale) - origin - self.start,
        )

    def _describe_pcm(self, samples: _Samples, shape: StreamShape, origin: Fraction) -> ChunkTrack:
        """Uncompressed sound: a sample is one value of each channel, whatever a packet was."""
        assert shape.template is not None  # noqa: S101 - it has packets
        firsts = [*samples.run_firsts, len(samples.sizes)]
        pairs = zip(firsts, firsts[1:], strict=False)
        counts = [sum(samples.sizes[a:b]) // shape.frame_bytes for a, b in pairs]
        first = Fraction(samples.pts[0] * shape.factor, shape.timescale) - origin - self.start
        total = sum(counts)
        return ChunkTrack(
            template=shape.template,
            timescale=shape.sample_rate,
            sizes=(shape.frame_bytes, total),
            deltas=[(total, 1)],
            offsets=None,
            sync=None,
            run_counts=counts,
            run_places=samples.run_places,
            run_descriptions=None,
            begin=-first * shape.sample_rate,
            hidden=0,
            span=first + Fraction(total, shape.sample_rate),
        )


def _run_lengths(values: Sequence[int], factor: int) -> list[tuple[int, int]]:
    return [(len(list(same)), value * factor) for value, same in groupby(values)]
