"""Cuts a film by its index alone: no packet is touched, only ranges of bytes are moved.

For progressive MP4 and MOV. Boundaries, contents and times are the general path's
(`splitter`), found by looking up instead of by reading.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.mp4.build import ChunkTrack
from m0_chunker.media.mp4.index import UnsuitableIndexError
from m0_chunker.media.mp4.lookup import KeyFrames, runs_between
from m0_chunker.media.mp4.template import TrackTemplate, without_priming
from m0_chunker.media.mp4.track import REORDER, TrackIndex
from m0_chunker.media.seal import Sealed, seal
from m0_chunker.media.source import Film
from m0_chunker.media.splitter import OUTLAST
from m0_chunker.media.spool import Spool, Spooling
from m0_chunker.plan import CutPlan, Resumption

_READ_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Slice:
    """A chunk to be.

    Attributes:
        chunk_id: from 1.
        start: seconds since the film's start.
        end: likewise.
        next_start: likewise; None for the last.
        shift: how far `start` is behind its nominal time, seconds.
        parts: (first sample, sample after the last) of each track.
        repeated: how many samples of each track are in the next chunk as well.
    """

    chunk_id: int
    start: Fraction
    end: Fraction
    next_start: Fraction | None
    shift: Fraction
    parts: tuple[tuple[int, int], ...]
    repeated: tuple[int, ...]


class Slicer:
    """A film's chunks, by its index."""

    def __init__(
        self,
        film: Film,
        tracks: Sequence[TrackIndex],
        templates: Sequence[TrackTemplate],
        plan: CutPlan,
        spooling: Spooling,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        film: its bytes, its start, and which stream is the reference.
        tracks: of its streams, in their order.
        templates: likewise.
        plan: where to cut.
        spooling: where chunks are kept.
        check: called now and then; raises when nobody wants the chunks any more.

        Raises:
            UnsuitableIndexError: times go back and forth where they must not.
        """
        self._film, self._tracks, self._templates = film, tracks, templates
        self._plan, self._spooling, self._check = plan, spooling, check
        self._reference = tracks[film.reference]
        self._keys = KeyFrames(self._reference)
        for number, track in enumerate(tracks):
            if number != film.reference and track.offsets is not None:
                raise UnsuitableIndexError("its sound is not in order")
        self.end = self._find_end()

    @property
    def kinds(self) -> str:
        """`v` or `a` for each stream."""
        return "".join(stream.type[0] for stream in self._film.streams)

    @property
    def delivered(self) -> list[int]:
        """Packets of each stream in the film."""
        return [track.samples for track in self._tracks]

    def chunks(self, resumption: Resumption) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """Chunks, in order, after those that are done already; the taker closes their bodies."""
        slices = self.slices()
        if resumption.chunks and (
            resumption.chunks >= len(slices) or slices[resumption.chunks].start != resumption.end
        ):
            raise ChunkerError(ErrorCode.INTEGRITY, "the film is not cut as an earlier attempt did")
        for part in slices:
            if part.chunk_id > resumption.chunks:
                self._check()
                yield self._assemble(part)

    def slices(self) -> list[Slice]:
        """What each chunk will consist of."""
        cuts = self._cuts()
        slices = []
        for at, (start, nominal, parts) in enumerate(cuts):
            following = None
            end, until, repeated = self.end, self.delivered, [0] * len(parts)
            if at + 1 < len(cuts):
                following, _, next_parts = cuts[at + 1]
                end, until = self._reach(following)
                repeated = [b - a for a, b in zip(next_parts, until, strict=True)]
            spans = tuple(zip(parts, until, strict=True))
            shift = max(start - nominal, Fraction(0))
            slices.append(Slice(at + 1, start, end, following, shift, spans, tuple(repeated)))
        return slices

    def _cuts(self) -> list[tuple[Fraction, Fraction, list[int]]]:
        """(boundary, nominal time, first sample of each track) of each chunk."""
        plan, cuts = self._plan, [(Fraction(0), Fraction(0), [0] * len(self._tracks))]
        while True:
            nominal = plan.next_nominal(cuts[-1][0])
            sample = self._key_at(nominal)
            if sample == 0:  # pictures that begin late: no chunk is to be without
                sample = self._keys.first_at(self._reference.pts(0) + 1)
            if sample is None:
                return cuts
            time = self._time(self._reference, self._reference.pts(sample))
            if not plan.is_enough(time, self.end):
                return cuts
            cuts.append((time, nominal, self._samples_at(time, sample)))

    def _reach(self, boundary: Fraction) -> tuple[Fraction, list[int]]:
        """Where the chunk before `boundary` ends: there, or after the overlap."""
        sample = self._key_at(boundary + self._plan.overlap)
        if sample is None:
            return self.end, self.delivered
        time = self._time(self._reference, self._reference.pts(sample))
        return time, self._samples_at(time, sample)

    def _key_at(self, time: Fraction) -> int | None:
        """The first key frame at or after `time`, seconds since the film's start."""
        earliest = self._tick(self._reference, time - self._plan.tolerance)
        return self._keys.first_at(ceil(earliest))

    def _samples_at(self, time: Fraction, key_frame: int) -> list[int]:
        """The first sample of each track that belongs after a boundary."""
        return [
            key_frame if track is self._reference else track.first_at(ceil(self._tick(track, time)))
            for track in self._tracks
        ]

    def _tick(self, track: TrackIndex, time: Fraction) -> Fraction:
        """A time since the film's start in a track's own ticks."""
        return (time + self._film.start) * track.timescale - track.shift

    def _time(self, track: TrackIndex, tick: int) -> Fraction:
        """The other way round."""
        return (tick + track.shift) / track.timescale - self._film.start

    def _find_end(self) -> Fraction:
        ends = [self._time(track, track.longest(0, track.samples)) for track in self._tracks]
        own = ends[self._film.reference]
        return max(ends) if max(ends) > own + OUTLAST else own

    def _assemble(self, part: Slice) -> tuple[Chunk, ChunkFacts]:
        used = [number for number, (first, after) in enumerate(part.parts) if after > first]
        runs, places = self._lay_out(part, used)
        spool = self._spooling.open(sum(length for _, length in runs))
        try:
            self._fetch(runs, spool)
            tracks = [
                self._describe(part, number, counts, where, descriptions)
                for number, (counts, where, descriptions) in zip(used, places, strict=True)
            ]
            sealed = seal(
                part.chunk_id, part.start, part.end, part.next_start, tracks=tracks, spool=spool
            )
        except BaseException:
            spool.close()
            raise
        return sealed.chunk, self._state_facts(part, used, sealed)

    def _lay_out(
        self, part: Slice, used: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[tuple[list[int], list[int], list[int]]]]:
        """Keep the samples in the film's own order, without what lies between.

        Returns:
            (offset in the film, length) of what is to be read; and for each used track its
            runs' sample counts, places in the media data, and descriptions.
        """
        runs: list[tuple[int, int, int, int]] = []
        tables: list[tuple[list[int], list[int], list[int]]] = []
        for slot, number in enumerate(used):
            counts, offsets, lengths, descriptions = runs_between(
                self._tracks[number], *part.parts[number]
            )
            runs.extend(
                zip(offsets, lengths, [slot] * len(offsets), range(len(offsets)), strict=True)
            )
            tables.append((counts, [0] * len(offsets), descriptions))
        runs.sort()
        spans: list[tuple[int, int]] = []
        at, begin, end = 0, runs[0][0], runs[0][0]
        where = [table[1] for table in tables]
        for offset, length, slot, number in runs:
            where[slot][number] = at
            at += length
            if offset != end:
                spans.append((begin, end - begin))
                begin = offset
            end = offset + length
        spans.append((begin, end - begin))
        return spans, tables

    def _fetch(self, spans: Sequence[tuple[int, int]], spool: Spool) -> None:
        file = self._film.file
        for offset, length in spans:
            file.seek(offset)
            left = length
            while left:
                data = file.read(min(left, _READ_BYTES))
                if not data:
                    raise self._film.cut_off()
                spool.write(data)
                left -= len(data)
            self._check()

    def _describe(
        self,
        part: Slice,
        number: int,
        counts: Sequence[int],
        places: Sequence[int],
        descriptions: Sequence[int],
    ) -> ChunkTrack:
        track, (first, after) = self._tracks[number], part.parts[number]
        sync = track.sync
        if sync is not None:
            low, high = bisect_left(sync, first), bisect_left(sync, after)
            sync = array("I", [sample - first for sample in sync[low:high]])
        template = self._templates[number]
        return ChunkTrack(
            template=without_priming(template) if first else template,
            timescale=track.timescale,
            sizes=track.sizes[first:after],
            deltas=track.deltas.between(first, after),
            offsets=track.offsets.between(first, after) if track.offsets else None,
            sync=sync,
            run_counts=counts,
            run_places=places,
            run_descriptions=descriptions,
            begin=float(self._tick(track, part.start) - track.dts(first)),
            hidden=self._hidden(track, first, after),
            span=float(self._time(track, track.longest(first, after)) - part.start),
        )

    def _hidden(self, track: TrackIndex, first: int, after: int) -> int:
        """Ticks after a track's first decoding time in which nothing is shown or heard."""
        if track.offsets is None:
            return 0 if first else track.hidden
        return min(track.shown(first, min(first + REORDER, after))) - track.dts(first)

    def _state_facts(self, part: Slice, used: Sequence[int], sealed: Sealed) -> ChunkFacts:
        written = [0] * len(part.parts)
        for number, track in zip(used, sealed.tracks, strict=True):
            expected = self._tracks[number].ends
            first, after = part.parts[number]
            whole = track.size_bytes == expected[after] - expected[first]
            written[number] = track.samples if whole else 0
        reference, (first, after) = self._reference, part.parts[self._film.reference]
        return ChunkFacts(
            read=[after - first for first, after in part.parts],
            written=written,
            repeated=part.repeated,
            size_bytes=sealed.chunk.size_bytes,
            sha256=bytes.fromhex(sealed.chunk.sha256),
            gap_s=max(reference.deltas.between(first, after).values) / reference.timescale,
            shift_s=float(part.shift),
            leading=self._count_leading(first, after),
        )

    def _count_leading(self, first: int, after: int) -> int:
        """Pictures that come after a boundary's key frame and are shown before it."""
        reference = self._reference
        if not first or reference.offsets is None:
            return 0
        key, *others = reference.shown(first, min(first + REORDER, after))
        return sum(time < key for time in others)
